package cgoheaptest

import (
	"context"
	"fmt"
	"os"
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
	// reported holds leaks that were reported while other tests were unfinished: then the mark can't move on.
	reported map[string]leak
}

var (
	// current is the baseline of the next VerifyNone. Protected by mu.
	current baseline
	mu      sync.Mutex
)

func init() {
	if asideReason() != "" {
		return
	}
	warmUp()
	cgoheap.SetRate(1)
	current = newBaseline()
}

func newBaseline() baseline {
	return baseline{mark: capi.Mark(), lost: lostSoFar()}
}

// VerifyNone fails the test when C memory that was allocated since the last VerifyNone, or since package initialisation, is
// still live, and lists the stacks that allocated it. It judges when it is called, so defer it first, or give it to t.Cleanup
// first when other functions given to t.Cleanup free memory. It doesn't stop the test.
func VerifyNone(t TestingT, opts ...Option) {
	t.Helper()
	if reason := asideReason(); reason != "" {
		t.Logf("%s", skippedLine(reason))
		return
	}
	o, err := newOptions(opts)
	if err != nil {
		t.Errorf("cgoheaptest: %v", err)
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
	aside, failing := asideReason(), false
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

// verdict is what a verification found.
type verdict struct {
	own     []leak   // the test's
	unclear []leak   // can't be told apart from other tests'
	others  []string // unfinished tests
	notes   []string // what may be missing
}

// verify judges again and again until nothing is left or the time is over, and draws the next baseline.
func verify(base *baseline, o *options, name string, others func() []string) (*verdict, error) {
	deadline := time.Now().Add(o.retry)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		garbage.Collect(context.Background())
		v, next, err := judge(base, o, name, others())
		if err != nil {
			return nil, err
		}
		left := time.Until(deadline)
		if len(v.own) == 0 && len(v.unclear) == 0 || left <= 0 {
			mu.Lock()
			*base = next
			mu.Unlock()
			return v, nil
		}
		time.Sleep(min(pause, left))
	}
}

// judge says what is live now, and what the next baseline would be.
func judge(base *baseline, o *options, name string, others []string) (*verdict, baseline, error) {
	mu.Lock()
	defer mu.Unlock()
	// Drawn before the look at what is live: a block that is allocated in between is seen twice, rather than never.
	next := newBaseline()
	leaks, err := liveSince(base.mark)
	if err != nil {
		return nil, next, err
	}
	leaks = less(leaks, base.reported)
	kept := leaks[:0]
	for _, l := range leaks {
		if !o.ignores(&l) {
			kept = append(kept, l)
		}
	}
	v := &verdict{others: others, notes: next.lost.since(base.lost)}
	if base.counted {
		v.notes = append(v.notes, "a benchmark with ReportAllocs was running meanwhile: blocks that were allocated then are not verified")
	}
	v.own, v.unclear = sides(kept, name, others)
	if o.allows(v.own) {
		v.own = nil
	}
	if o.allows(v.unclear) {
		v.unclear = nil
	}
	if len(others) > 0 {
		// Other tests' blocks lie behind the old mark: it stays, and what is reported as this test's now won't be
		// reported again.
		next.mark, next.reported = base.mark, map[string]leak{}
		for key, l := range base.reported {
			next.reported[key] = l
		}
		for _, l := range v.own {
			before := next.reported[l.key()]
			l.bytes += before.bytes
			l.blocks += before.blocks
			next.reported[l.key()] = l
		}
	}
	return v, next, nil
}

// blind says why nothing can be seen in this program, and whether that is to be passed over.
func blind() (problem string, skip bool) {
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	switch {
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
