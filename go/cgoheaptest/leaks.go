package cgoheaptest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// leak is a stack and what is live of the blocks that it allocated since the baseline.
type leak struct {
	stack         []profiledata.Frame // leaf first
	bytes, blocks int64
	ids           []uint32 // numbers of the stack, or of several that look alike
}

var (
	// accepted says of stacks, by number, that blocks older than the mark are no leaks of any test to come: a test has
	// accepted or reported them. Protected by mu.
	accepted = map[uint32]uint32{}
	// kept are the numbers of stacks whose blocks are kept on purpose, by libc for example. A stack keeps its number
	// and its answer as long as the process runs. Protected by mu.
	kept = map[uint32]bool{}
	// mainMark is where VerifyTestMain begins. Protected by mu.
	mainMark uint32
)

// most is more stacks than a process has.
const most = 1 << 24

// accept says that what is live of the stack at a mark is no leak. The caller holds mu.
func (l *leak) accept(mark uint32) {
	for _, id := range l.ids {
		accepted[id] = mark
	}
}

// acceptLive accepts all that is live, but what belongs to unfinished tests beside the one with the given name.
func acceptLive(name string, others []string) error {
	mu.Lock()
	defer mu.Unlock()
	next, since := newBaseline(), current.mark
	if inTestMain.Load() {
		since = mainMark
	}
	if len(others) == 0 {
		current = next
		if !inTestMain.Load() {
			clear(accepted)
			return nil
		}
		for id := range talliesSince(since) {
			accepted[id] = next.mark
		}
		return nil
	}
	leaks, err := liveSince(since)
	if err != nil {
		return err
	}
	own, unclear := sides(leaks, name, others)
	for _, l := range append(own, unclear...) {
		l.accept(next.mark)
	}
	return nil
}

// acceptOwn accepts what a test has left behind that has failed.
func acceptOwn(name string, others []string) error {
	mu.Lock()
	defer mu.Unlock()
	next := newBaseline()
	if len(others) == 0 {
		current = next
		return nil
	}
	leaks, err := liveSince(current.mark)
	if err != nil {
		return err
	}
	own, _ := sides(leaks, name, others)
	for _, l := range own {
		l.accept(next.mark)
	}
	return nil
}

// talliesSince returns the bytes and blocks that are live of those allocated since a mark, by number of stack, without what was
// accepted and what is known to be kept. The caller holds mu.
func talliesSince(mark uint32) map[uint32]capi.Stack {
	var tallies map[uint32]capi.Stack
	add := func(s capi.Stack) {
		if tallies == nil {
			tallies = map[uint32]capi.Stack{}
		}
		tallies[s.ID] = s
	}
	var later map[uint32][]uint32 // stacks that count from a later mark on only
	for _, s := range capi.LargestStacks(capi.Filter{SinceMark: mark}, most) {
		from, ok := accepted[s.ID]
		switch {
		case kept[s.ID]:
		case ok && int32(from-mark) > 0:
			if later == nil {
				later = map[uint32][]uint32{}
			}
			later[from] = append(later[from], s.ID)
		default:
			add(s)
		}
	}
	for from, ids := range later {
		for _, s := range capi.LargestStacks(capi.Filter{SinceMark: from}, most) {
			if slices.Contains(ids, s.ID) {
				add(s)
			}
		}
	}
	return tallies
}

// liveSince returns what is live of the blocks allocated since a mark, without what was accepted and what is kept on purpose by
// libc and the like, largest first. The caller holds mu.
func liveSince(mark uint32) ([]leak, error) {
	tallies := talliesSince(mark)
	if len(tallies) == 0 {
		return nil, nil
	}
	if err := learn(); err != nil {
		return nil, err
	}
	leaks, err := named(capi.Filter{SinceMark: mark}, slices.Sorted(maps.Keys(tallies)))
	if err != nil {
		return nil, err
	}
	rest := leaks[:0]
	for _, l := range leaks {
		t := tallies[l.ids[0]]
		l.bytes, l.blocks = t.InuseBytes, t.InuseObjects
		if keeper(&l) == "" {
			rest = append(rest, l)
		} else if !isExitList(&l) { // which goes by size
			kept[l.ids[0]] = true
		}
	}
	return sorted(rest), nil
}

// named returns the stacks with these numbers that have live blocks which pass the filter; with the zero filter also those that
// have none. The caller fills in how much is live.
func named(filter capi.Filter, ids []uint32) ([]leak, error) {
	take := capi.Take
	if filter != (capi.Filter{}) {
		take = func() (*capi.Snapshot, error) { return capi.TakeFiltered(filter) }
	}
	snapshot, err := take()
	if err != nil {
		return nil, err
	}
	defer snapshot.Free()
	if err := snapshot.Keep(ids); err != nil {
		return nil, err
	}
	stacks := snapshot.Stacks()
	data, err := snapshot.EncodeEach()
	if err != nil {
		return nil, err
	}
	p, err := profiledata.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("cgoheap: reading the profile: %w", err)
	}
	if len(p.Samples) != len(stacks) {
		return nil, fmt.Errorf("cgoheap: %d samples for %d stacks", len(p.Samples), len(stacks))
	}
	var leaks []leak
	for i, s := range stacks {
		leaks = append(leaks, leak{stack: p.Samples[i].Stack, ids: []uint32{s.ID}})
	}
	return leaks, nil
}

// sorted puts the largest leak first, and leaks whose stacks look alike into one.
func sorted(leaks []leak) []leak {
	byKey := map[string]int{}
	var out []leak
	for _, l := range leaks {
		at, known := byKey[l.key()]
		if !known {
			byKey[l.key()] = len(out)
			out = append(out, l)
			continue
		}
		out[at].bytes += l.bytes
		out[at].blocks += l.blocks
		out[at].ids = append(out[at].ids, l.ids...)
	}
	slices.SortStableFunc(out, func(a, b leak) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(b.blocks, a.blocks), strings.Compare(a.key(), b.key()))
	})
	return out
}

func total(leaks []leak) (bytes, blocks int64) {
	for _, l := range leaks {
		bytes += l.bytes
		blocks += l.blocks
	}
	return bytes, blocks
}

// key is the same for the same stack.
func (l *leak) key() string {
	var b strings.Builder
	for _, f := range l.stack {
		fmt.Fprintf(&b, "%s\x00%s\x00%d\x00%x\n", f.Function, f.File, f.Line, f.Address)
	}
	return b.String()
}
