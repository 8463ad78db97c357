package look

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

// stackRow is one C stack as the page shows it.
type stackRow struct {
	ID           uint32
	InUse, Alloc int64
	Objects      int64
	Growth       int64 // since the baseline
	AtLeast      bool  // the stack was too small then to be remembered: it grew by this or a little more
	Old          int64 // bytes that outlived the age asked for
	Rate         int64 // bytes allocated in all, per minute of the process's life
	Line         string
	Caller       string   // the innermost Go function; empty when the stack has none
	Own          string   // the innermost Go function of the program's own module, if that isn't Caller
	Frames       []string // leaf first
	Long         bool     // a name was cut
	named        []verdict.Frame
}

const (
	topStacks = 15
	// oldAge is what "outlived" means, unless ?age= says otherwise.
	oldAge = 2 * time.Minute
)

// stackTables are the lists of the page.
type stackTables struct {
	Largest, Growing, Old []stackRow
	Since                 time.Time // that growth is counted from
	Grown                 int64     // what all stacks that grew have grown by since, as asked for
}

// callStacks bounds how many of the stacks that grew get names for the verdict, which adds them up by call; they stop where
// callShare of the growth is named.
const (
	callStacks = 256
	callShare  = 0.97
)

// readStacks names the stacks that are largest, that grew most since a moment, and whose live blocks are oldest. calls are those
// that grew, as the verdict takes them; when nothing is known of before, by what they have in use.
// cut are those that allocated most, whatever they have in use; it is asked for where many stacks were cut.
func readStacks(b memory.Baseline, known bool, age time.Duration, began time.Time, wantCut bool) (t stackTables, calls, cut []verdict.Stack, err error) {
	all := capi.LargestStacks(capi.Filter{}, 4096)
	old := map[uint32]int64{}
	for _, s := range capi.LargestStacks(capi.Filter{MinAge: age}, 4096) {
		old[s.ID] = s.InuseBytes
	}
	rows := map[uint32]*stackRow{}
	minutes := max(time.Since(began).Minutes(), 1.0/60)
	for _, s := range all {
		row := &stackRow{ID: s.ID, InUse: s.InuseBytes, Alloc: s.AllocBytes, Objects: s.InuseObjects, Old: old[s.ID],
			Rate: int64(float64(s.AllocBytes) / minutes)}
		if known {
			before, exact := b.Bytes(s.ID)
			row.Growth, row.AtLeast = s.InuseBytes-before, !exact
		}
		rows[s.ID] = row
	}
	// The largest of each list, by number; what follows needs names for these only.
	ranked := func(value func(*stackRow) int64) (ids []uint32) {
		for id, row := range rows {
			if value(row) > 0 {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, func(a, b uint32) int {
			if d := value(rows[b]) - value(rows[a]); d != 0 {
				return sign(d)
			}
			return sign(int64(a) - int64(b))
		})
		return ids
	}
	top := func(value func(*stackRow) int64) []uint32 {
		ids := ranked(value)
		return ids[:min(len(ids), topStacks)]
	}
	largest := top(func(r *stackRow) int64 { return r.InUse })
	growing := top(func(r *stackRow) int64 { return r.Growth })
	// Suspects: what is old, against what the stack allocates anyway.
	oldest := top(func(r *stackRow) int64 { return r.Old })
	slices.SortStableFunc(oldest, func(a, b uint32) int { return sign(suspicion(rows[b]) - suspicion(rows[a])) })

	var allocated []uint32
	if wantCut {
		if err := addFreed(rows); err != nil {
			return t, nil, nil, err
		}
		allocated = top(func(r *stackRow) int64 { return r.Alloc })
	}
	grown, allGrown := func(r *stackRow) int64 { return r.Growth }, int64(0)
	for _, row := range rows {
		allGrown += max(row.Growth, 0)
	}
	if !known {
		grown = func(r *stackRow) int64 { return r.InUse }
	}
	called := ranked(grown)
	sum, named := int64(0), int64(0)
	for _, id := range called {
		sum += grown(rows[id])
	}
	for i, id := range called {
		if i == callStacks || float64(named) >= callShare*float64(sum) {
			called = called[:i]
			break
		}
		named += grown(rows[id])
	}
	if err := nameStacks(rows, slices.Concat(largest, growing, oldest, called, allocated), longName); err != nil {
		return t, nil, nil, err
	}
	for _, id := range called {
		calls = append(calls, verdict.Stack{Bytes: grown(rows[id]), Frames: rows[id].named})
	}
	for _, id := range allocated {
		cut = append(cut, verdict.Stack{Bytes: rows[id].Alloc, Frames: rows[id].named})
	}
	list := func(ids []uint32) (out []stackRow) {
		for _, id := range ids {
			out = append(out, *rows[id])
		}
		return out
	}
	return stackTables{Largest: list(largest), Growing: list(growing), Old: list(oldest), Since: b.Time, Grown: allGrown}, calls, cut, nil
}

// addFreed adds the stacks that have nothing in use any more.
func addFreed(rows map[uint32]*stackRow) error {
	s, err := capi.Take()
	if err != nil {
		return err
	}
	defer s.Free()
	for _, stack := range s.Stacks() {
		if rows[stack.ID] == nil {
			rows[stack.ID] = &stackRow{ID: stack.ID, Alloc: stack.AllocBytes}
		}
	}
	return nil
}

// suspicion ranks by the share of all that a stack ever allocated which is live and old: a cache that is full has a small
// one, a leak has one near 1. In the unit of bytes, so that what is small stays below.
func suspicion(r *stackRow) int64 {
	if r.Alloc <= 0 {
		return 0
	}
	return int64(float64(r.Old) * float64(r.Old) / float64(max(r.Alloc, r.Old)))
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// nameStacks fills in the frames of some rows, with names of at most longest letters.
func nameStacks(rows map[uint32]*stackRow, ids []uint32, longest int) error {
	if len(ids) == 0 {
		return nil
	}
	s, err := capi.Take()
	if err != nil {
		return err
	}
	defer s.Free()
	slices.Sort(ids)
	if err := s.Keep(slices.Compact(ids)); err != nil {
		return err
	}
	stacks := s.Stacks()
	data, err := s.EncodeEach()
	if err != nil {
		return err
	}
	p, err := profiledata.Decode(data)
	if err != nil {
		return err
	}
	isAllocator := allocatorPattern(p.DropFrames)
	if len(p.Samples) != len(stacks) {
		return fmt.Errorf("cgoheap: %d samples for %d stacks", len(p.Samples), len(stacks))
	}
	for i := range stacks {
		row := rows[stacks[i].ID]
		if row == nil {
			continue
		}
		for j := range p.Samples[i].Stack {
			named, whole := verdictFrame(&p.Samples[i].Stack[j], isAllocator, longest)
			row.Long = row.Long || !whole
			row.named = append(row.named, named)
			row.Frames = append(row.Frames, named.Text)
		}
		joinLiterals(row.named, p.Samples[i].Stack)
		own := false
		for _, named := range row.named {
			if !named.Go {
				continue
			}
			if named.Own && !own {
				own = true
				if row.Caller != "" && row.Caller != named.Text {
					row.Own = named.Text
				}
			}
			if row.Caller == "" {
				row.Caller = named.Text
			}
		}
		c := verdict.Stack{Frames: row.named}
		row.Line = c.C()
	}
	return nil
}

// joinLiterals gives function literals the name of the function that they stand in, where both are at the same line: the tool cgo makes
// one of each call whose arguments it has to check.
func joinLiterals(named []verdict.Frame, stack []profiledata.Frame) {
	for i := len(named) - 2; i >= 0; i-- {
		inner, outer := &stack[i], &stack[i+1]
		if !named[i].Go || !named[i+1].Go || inner.File != outer.File || inner.Line != outer.Line {
			continue
		}
		if literal.ReplaceAllString(inner.Function, "") == outer.Function {
			named[i] = named[i+1]
		}
	}
}

// literal is how Go's compiler ends the name of a function literal.
var literal = regexp.MustCompile(`\.func\d+$`)

// isGo says whether a frame is a Go function. Go files have C functions too, in their preambles, and calls C.x; a Go function's
// name has its package before a dot.
func isGo(f *profiledata.Frame) bool {
	return filepath.Ext(f.File) == ".go" && strings.Contains(f.Function, ".") && !strings.HasPrefix(f.Function, "C.")
}

// verdictFrame is a frame as the verdict takes it, with names of at most longest letters, and whether they are whole.
func verdictFrame(f *profiledata.Frame, isAllocator func(string) bool, longest int) (v verdict.Frame, whole bool) {
	short := *f
	short.Function = cut(f.Function, longest)
	if f.File != "" {
		short.File = cut(filepath.Base(f.File), longest)
	}
	v = verdict.Frame{Function: short.Function, Text: frameText(&short), Go: isGo(f), Allocator: isAllocator(f.Function),
		Cut: strings.HasPrefix(f.Function, "[stack cut")}
	v.Own = v.Go && isOwn(f)
	if f.Object != "" {
		v.Object = filepath.Base(f.Object)
	}
	if v.Go {
		v.Function = f.Function // functions are told apart by it
	}
	return v, short.Function == f.Function
}

// allocatorPattern reads the profile's drop_frames, which names the functions that only pass memory on: one list for the page
// and for go tool pprof. As pprof does, it is taken for the whole name, without the parameters.
func allocatorPattern(drop string) func(string) bool {
	if drop == "" {
		return func(string) bool { return false }
	}
	pattern, err := regexp.Compile("^(?:" + drop + ")$")
	if err != nil {
		return func(string) bool { return false }
	}
	return func(function string) bool {
		for from := 0; ; {
			at := strings.IndexByte(function[from:], '(')
			if at < 0 {
				break
			}
			if at += from; strings.HasPrefix(function[at:], "(anonymous namespace)") || strings.HasSuffix(function[:at], "operator") {
				from = at + 1
				continue
			}
			function = function[:at]
			break
		}
		return function != "" && pattern.MatchString(function)
	}
}

// mainModule is the path of the module that the program is of; empty when it isn't known.
var mainModule = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
})

// isOwn says whether a Go function is of the program's own module, rather than of a library that it uses.
func isOwn(f *profiledata.Frame) bool {
	slash := strings.LastIndexByte(f.Function, '/') + 1
	name, _, _ := strings.Cut(f.Function[slash:], ".")
	path := f.Function[:slash] + name
	module := mainModule()
	return path == "main" || module != "" && (path == module || strings.HasPrefix(path, module+"/"))
}

func frameText(f *profiledata.Frame) string {
	switch {
	case f.Function == "" && f.Object != "":
		return fmt.Sprintf("%s+%#x", filepath.Base(f.Object), f.Offset)
	case f.Function == "":
		return fmt.Sprintf("%#x", f.Address)
	case f.File == "":
		return f.Function
	}
	return fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line)
}
