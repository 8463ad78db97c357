package cgoheaptest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
)

// TestingT is what [VerifyNone] needs of a *testing.T, *testing.B or *testing.F.
type TestingT interface {
	Helper()
	Name() string
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// TestingM is what [VerifyTestMain] needs of a *testing.M.
type TestingM interface {
	Run() int
}

// baseline is where a verification begins.
type baseline struct {
	mark uint32
	lost lost
	// counted says that ReportAllocs has counted since: what was allocated then is not known.
	counted bool
}

var (
	// current is the baseline of the next VerifyNone. Protected by mu.
	current baseline
	mu      sync.Mutex
)

func init() {
	if skipReason() != "" {
		return
	}
	// In a libc without symbols the time zone's blocks can't be known by name: they are allocated before the baseline, once and
	// for all.
	capi.ReadTimeZone()
	cgoheap.SetRate(1)
	learnEarly()
	readRateVariable()
	current = newBaseline()
}

func newBaseline() baseline {
	return baseline{mark: capi.Mark(), lost: lostSoFar()}
}

// Baseline accepts what is live now: a VerifyNone that follows, and VerifyTestMain, see what is allocated from now on. It is for
// what a library allocates at its first use and keeps as long as the process runs, which nearly every library does:
//
//	func TestParse(t *testing.T) {
//		parse("<a/>") // the first use
//		cgoheaptest.Baseline(t)
//		defer cgoheaptest.VerifyNone(t)
//		...
//	}
//
// Tests that are unfinished meanwhile keep what is theirs: see Parallel tests above.
func Baseline(t TestingT) {
	t.Helper()
	if skipReason() != "" {
		return // VerifyNone says so
	}
	if err := acceptLive(t.Name(), othersUnfinished(t)); err != nil {
		t.Errorf("cgoheaptest: %v", err)
	}
}

// VerifyNone fails the test when C memory that was allocated since the last VerifyNone, or since package initialisation, is
// still live, and lists the stacks that allocated it. It looks when it is called, so defer it first, or give it to t.Cleanup
// first when other functions given to t.Cleanup free memory. It doesn't stop the test.
//
// To a test that has failed or panics it adds nothing, and what such a test leaves behind is no other test's leak. During a panic
// it puts itself off to t.Cleanup, for the case that the panic is recovered.
func VerifyNone(t TestingT, opts ...Option) {
	t.Helper()
	if reason := skipReason(); reason != "" {
		t.Logf("%s", skippedLine(reason))
		return
	}
	o, err := newOptions(opts)
	if err != nil {
		t.Errorf("cgoheaptest: %v", err)
		return
	}
	if failed(t) {
		// The report needs no second failure; an error here would be one.
		_ = acceptOwn(t.Name(), othersUnfinished(t))
		return
	}
	if panicking() {
		if c, ok := t.(interface{ Cleanup(func()) }); ok {
			c.Cleanup(func() {
				if !panicking() {
					t.Helper()
					VerifyNone(t, opts...)
				}
			})
		}
		return
	}
	if problem, skip := blind(); problem != "" {
		if skip {
			t.Logf("%s", skippedLine(problem))
		} else {
			t.Errorf("cgoheaptest: %s", problem)
		}
		return
	}
	v, err := verify(&current, o, t.Name(), func() []string { return othersUnfinished(t) })
	if err != nil {
		t.Errorf("cgoheaptest: %v", err)
		return
	}
	for _, note := range v.notes {
		t.Logf("cgoheaptest: %s", note)
	}
	if len(v.own) > 0 || len(v.unclear) > 0 {
		t.Errorf("%s", v.report(t))
	}
	if err := writeRequestedProfile(); err != nil {
		t.Errorf("cgoheaptest: -cgoheapprofile: %v", err)
	}
}

// VerifyTestMain runs the package's tests and ends the program, as failed when C memory that they allocated is still live:
//
//	func TestMain(m *testing.M) { cgoheaptest.VerifyTestMain(m) }
//
// Memory allocated before the call, in package initialisation for example, doesn't count. When a test fails, nothing is
// verified: what a failed test leaves behind says little.
func VerifyTestMain(m TestingM, opts ...Option) {
	os.Exit(verifyMain(m, opts))
}

func verifyMain(m TestingM, opts []Option) int {
	o, err := newOptions(opts)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cgoheaptest: VerifyTestMain: %v\n", err)
		return 1
	}
	inTestMain.Store(true)
	aside, failing := skipReason(), false
	if aside == "" {
		if problem, skip := blind(); skip {
			aside = problem
		} else if problem != "" {
			aside, failing = problem, true
		}
	}
	var base baseline
	if aside == "" {
		// Baselines drawn before main may lie before other packages' initialisation; here all of it is over.
		mu.Lock()
		current = newBaseline()
		base = current
		mainMark = base.mark
		mu.Unlock()
	}
	code := m.Run()
	if err := writeRequestedProfileAtEnd(); err != nil {
		fmt.Fprintf(os.Stderr, "cgoheaptest: -cgoheapprofile: %v\n", err)
		code = max(code, 1)
	}
	switch {
	case failing:
		fmt.Fprintf(os.Stderr, "cgoheaptest: %s\n", aside)
		return max(code, 1)
	case aside != "":
		fmt.Fprintln(os.Stderr, skippedLine(aside))
		return code
	case code != 0:
		return code
	}
	if benchmarksCounted() {
		base.counted = true
	}
	v, err := verify(&base, o, "", func() []string { return nil })
	if err != nil {
		fmt.Fprintf(os.Stderr, "cgoheaptest: %v\n", err)
		return 1
	}
	for _, note := range v.notes {
		fmt.Fprintf(os.Stderr, "cgoheaptest: %s\n", note)
	}
	if len(v.own) > 0 {
		fmt.Fprintf(os.Stderr, "%s\n", v.report(nil))
		return 1
	}
	return 0
}

// failed says whether a test has failed already.
func failed(t TestingT) bool {
	f, ok := t.(interface{ Failed() bool })
	return ok && f.Failed()
}

// panicking says whether a deferred function is running in which, or above which, a panic is under way or was recovered.
func panicking() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if f.Function == "runtime.gopanic" {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// verdict is what a verification found.
type verdict struct {
	own     []leak   // the test's
	unclear []leak   // can't be told apart from other tests'
	others  []string // unfinished tests
	notes   []string // what may be missing
	// settled are leaks that no later verification need look at: accepted by an option, or reported as this test's.
	settled []leak
}

// verify looks again and again until nothing is left or the time is over, and draws the next baseline.
func verify(base *baseline, o *options, name string, others func() []string) (*verdict, error) {
	// Most tests leave nothing behind, and need no garbage collection to prove it: a fuzz target can't afford one.
	v, next, err := inspect(base, o, name, others())
	end := capi.Monotonic() + o.retry
	for pause := time.Millisecond; err == nil && !v.clean(); pause = min(2*pause, 100*time.Millisecond) {
		look := func() bool {
			v, next, err = inspect(base, o, name, others())
			return err != nil || v.clean()
		}
		garbage.CollectUntil(context.Background(), look)
		if err == nil && !v.clean() {
			look() // also when finalizers took too long to be waited for
		}
		left := end - capi.Monotonic()
		if left <= 0 {
			break
		}
		if err == nil && !v.clean() {
			capi.Sleep(min(pause, left))
		}
	}
	if err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	settle(base, next, v)
	return v, nil
}

func (v *verdict) clean() bool { return len(v.own) == 0 && len(v.unclear) == 0 }

// inspect says what is live now, and what the next baseline would be.
func inspect(base *baseline, o *options, name string, others []string) (*verdict, baseline, error) {
	mu.Lock()
	defer mu.Unlock()
	// Drawn before the look at what is live: a block that is allocated in between is seen twice, rather than never.
	next := newBaseline()
	leaks, err := liveSince(base.mark)
	if err != nil {
		return nil, next, err
	}
	v := &verdict{others: others, notes: next.lost.since(base.lost)}
	if base.counted {
		v.notes = append(v.notes, "a benchmark with ReportAllocs was running meanwhile: blocks that were allocated then are not verified")
	}
	// Another unfinished test's blocks are in neither, so that no option of this test accepts them.
	v.own, v.unclear = sides(leaks, name, others)
	for _, side := range []*[]leak{&v.own, &v.unclear} {
		var rest []leak
		for _, l := range *side {
			if o.ignores(&l) {
				v.settled = append(v.settled, l)
			} else {
				rest = append(rest, l)
			}
		}
		if o.allows(rest) {
			v.settled = append(v.settled, rest...)
			rest = nil
		}
		*side = rest
	}
	v.settled = append(v.settled, v.own...)
	return v, next, nil
}

// settle takes over the next baseline. While other tests are unfinished their blocks lie behind the old mark: it stays then,
// and what is settled is remembered stack by stack. So it is for VerifyTestMain, whose mark stays to the end. The caller holds mu.
func settle(base *baseline, next baseline, v *verdict) {
	mark := next.mark
	if len(v.others) > 0 {
		next.mark = base.mark
	}
	*base = next
	if len(v.others) == 0 && !inTestMain.Load() {
		clear(accepted) // all of it lies behind the new mark
		return
	}
	for _, l := range v.settled {
		l.accept(mark)
	}
}

// blind says why nothing can be seen in this program, and whether that is to be passed over.
func blind() (problem string, skip bool) {
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	switch problem := rateProblem(); {
	case problem != "":
		return problem, false
	case s.Interpose == cgoheap.InterposePartly:
		return s.Interpose.String(), true
	case s.Rate == 0:
		return "the rate is 0, so no allocation is seen and nothing can be verified: remove the call of cgoheap.SetRate " +
			"or the flag -cgoheapprofilerate", false
	}
	return "", false
}

// lost counts allocations and frees that the tables missed.
type lost struct {
	samples, frees, stacks uint64
}

func lostSoFar() lost {
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	return lost{
		samples: s.Lost.SamplesNoMemory + s.Lost.SamplesLockBusy,
		frees:   s.Lost.FreesLockBusy,
		stacks:  s.Lost.StacksTableFull,
	}
}

func (l lost) since(o lost) []string {
	var notes []string
	if n := l.samples - o.samples; n > 0 {
		notes = append(notes, fmt.Sprintf("%d allocations could not be recorded: leaks among them are not seen", n))
	}
	if n := l.frees - o.frees; n > 0 {
		notes = append(notes, fmt.Sprintf("%d frees could not be recorded: up to as many blocks may look live and be free", n))
	}
	if n := l.stacks - o.stacks; n > 0 {
		notes = append(notes, fmt.Sprintf("%d allocations were recorded without their stack: there are too many stacks", n))
	}
	return notes
}
