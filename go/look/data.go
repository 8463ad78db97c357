package look

import (
	"slices"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/allocators"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/human"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

// The page renders what package memory measures and package verdict says of it.
type moment = memory.Moment

func size[T int64 | uint64](bytes T) string    { return human.Size(bytes) }
func duration(d time.Duration) string          { return human.Duration(d) }
func measure() (*memory.Measurement, error)    { return memory.Measure() }
func collectable(goHeap, goStacks uint64) bool { return goHeap+goStacks <= cheapHeap }

// evaluated is the verdict and all that the page shows beside it.
type evaluated struct {
	verdict.Verdict
	Now          *memory.Measurement
	Recent, Life []moment // both end with Now
	Call         string   // that the bytes are from, in a sentence; empty: the verdict is of another kind
	Mapped       []string // the largest mappings that are nobody's, and the largest mapped files
	Since        time.Time
	Stacks       stackTables
	StacksError  error
}

// evaluate measures the process and applies the rules to it. since is where growth of stacks is counted from; the zero time stands for the
// beginning of the verdict's window.
func evaluate(since time.Time, age time.Duration) (*evaluated, error) {
	now, err := measure()
	if err != nil {
		return nil, err
	}
	e := applyRules(now)
	if e.WouldCollect && collect(now) {
		if now, err = measure(); err != nil {
			return nil, err
		}
		e = applyRules(now)
	}
	if e.Since = since; since.IsZero() {
		e.Since = e.Begin
	}
	b, known := server.history.Since(e.Since)
	e.Since = b.Time
	for i := range now.Mapped {
		g := &now.Mapped[i]
		if g.IsFile() && i < mostFiles {
			g.Memory = capi.FileInMemory(g.Path)
		}
		g.Growth = int64(g.RSS)
		if known {
			g.Growth -= int64(b.GroupRSS(g))
		}
	}
	e.Mapped = mappedLines(now.Mapped)
	lost := &now.Stats.Lost
	ended := lost.StacksTooDeep + lost.StacksNoUnwindInfo + lost.StacksBadUnwindInfo + lost.StacksUnreadable
	var growing, cut []verdict.Stack
	e.Stacks, growing, cut, e.StacksError = readStacks(b, known, age, server.began, 10*ended >= now.Stats.Samples && ended > 0)
	details := verdict.Details{Growing: growing, Cut: cut, Mapped: now.Mapped, Now: &now.Moment, FreesUnseen: now.Stats.Lost.FreesUnseen, InDoubt: now.Stats.LiveBytesInDoubt, Estimated: now.MallocEstimated, Unknown: now.MallocUnknown}
	details.Allocators = func() []allocators.Allocator { return allocators.Find(memory.Objects()) }
	slices.SortStableFunc(details.Mapped, func(a, b memory.Group) int { return sign(b.Growth - a.Growth) })
	e.Call = e.Explain(&details)
	return e, nil
}

// applyRules applies the rules to what was measured now and before.
func applyRules(now *memory.Measurement) *evaluated {
	e := &evaluated{Now: now}
	e.Recent, e.Life = server.history.Moments()
	e.Recent = append(e.Recent, now.Moment)
	if len(e.Life) == 0 {
		e.Life = e.Recent[:len(e.Recent)-1]
	}
	e.Life = append(slices.Clip(e.Life), now.Moment)
	e.Verdict = verdict.Evaluate(e.Recent, e.Life, server.actions.facts(&now.Stats))
	return e
}

// mostFiles bounds for how many files it is asked what they lie on.
const mostFiles = 32

// mappedLines describes the largest groups of mappings.
func mappedLines(groups []memory.Group) (lines []string) {
	const most, least = 12, 256 << 10
	for i := range groups {
		if len(lines) == most || groups[i].RSS < least {
			break
		}
		lines = append(lines, cut(verdict.GroupWords(&groups[i]), 2*longName))
	}
	return lines
}
