package cgoheaptest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// leak is a stack and what is live of the blocks that it allocated since the baseline.
type leak struct {
	stack         []profiledata.Frame // leaf first
	bytes, blocks int64
}

// liveSince returns what is live of the blocks allocated since a mark, without what is kept on purpose by libc and the
// like, largest first.
func liveSince(mark uint32) ([]leak, error) {
	snapshot, err := capi.TakeFiltered(capi.Filter{SinceMark: mark})
	if err != nil {
		return nil, err
	}
	data, err := snapshot.Encode(0)
	snapshot.Free()
	if err != nil {
		return nil, err
	}
	p, err := profiledata.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("cgoheap: reading the profile: %w", err)
	}
	return leaksOf(p), nil
}

func leaksOf(p *profiledata.Profile) []leak {
	var leaks []leak
	for _, s := range p.Samples {
		l := leak{s.Stack, s.Values[3], s.Values[2]}
		if l.blocks > 0 && keeper(&l) == "" {
			leaks = append(leaks, l)
		}
	}
	slices.SortStableFunc(leaks, func(a, b leak) int {
		if a.bytes != b.bytes {
			return int(min(max(b.bytes-a.bytes, -1), 1))
		}
		if a.blocks != b.blocks {
			return int(min(max(b.blocks-a.blocks, -1), 1))
		}
		return strings.Compare(a.key(), b.key())
	})
	return leaks
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

// less takes off what was reported before.
func less(leaks []leak, reported map[string]leak) []leak {
	if len(reported) == 0 {
		return leaks
	}
	var rest []leak
	for _, l := range leaks {
		before := reported[l.key()]
		l.bytes -= before.bytes
		l.blocks -= before.blocks
		if l.blocks > 0 {
			rest = append(rest, l)
		}
	}
	return rest
}
