package look

import (
	"strings"
	"testing"
	"time"
)

const mib = 1 << 20

// story makes n moments, a second apart.
func story(n int, tell func(i int, m *moment)) (moments []moment) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		m := moment{time: begin.Add(time.Duration(i) * time.Second), rss: 100 * mib, gcCycles: uint64(i / 5), lastGC: begin}
		tell(i, &m)
		moments = append(moments, m)
	}
	return moments
}

func TestRules(t *testing.T) {
	up := func(i int) uint64 { return uint64(i) * mib }
	for _, test := range []struct {
		name string
		n    int
		tell func(i int, m *moment)
		want kind
		sure string
	}{
		{"nothing happens", 60, func(int, *moment) {}, kindFine, "likely"},
		{"too early", 5, func(i int, m *moment) { m.cLiveBytes = up(i) }, kindTooEarly, "certain"},
		{"C live grows over collections", 60, func(i int, m *moment) { m.cLiveBytes = up(i) }, kindLeak, "certain"},
		{"C live grows within its error", 60, func(i int, m *moment) { m.cLiveBytes, m.cMargin = up(i), 100*mib }, kindFine, "likely"},
		{"C live grows too little to matter", 60, func(i int, m *moment) { m.cLiveBytes, m.rss = up(i)/8, 1<<30 }, kindFine, "likely"},
		{"C live grew and is full", 60, func(i int, m *moment) { m.cLiveBytes = up(min(i, 20)) }, kindFine, "likely"},
		{"collections free it", 60, func(i int, m *moment) { m.cLiveBytes = up(i % 5) }, kindFine, "likely"},
		{"a burst since the last collection", 60, func(i int, m *moment) {
			m.gcCycles = 0
			m.cLiveBytes = 10*mib + 10*mib*uint64(max(i-54, 0))
		}, kindFine, "likely"},
		{"C live grows, no collection", 60, func(i int, m *moment) { m.cLiveBytes, m.gcCycles = up(i), 0 }, kindFinalizers, "likely"},
		{"C live grows since a collection that freed all", 60, func(i int, m *moment) {
			m.gcCycles = uint64(i / 30)
			m.cLiveBytes = up(i % 30)
		}, kindFinalizers, "certain"},
		{"C live grows since a collection that freed nothing", 60, func(i int, m *moment) {
			m.gcCycles = uint64(i / 30)
			m.cLiveBytes = up(i)
		}, kindLeak, "certain"},
		{"malloc keeps it", 60, func(i int, m *moment) { m.resident[cFree] = 50 * mib }, kindRetention, "certain"},
		{"malloc keeps less than is live", 60, func(i int, m *moment) { m.resident[cFree], m.resident[cLive] = 40*mib, 50*mib }, kindFine, "likely"},
		{"a saw of Go's heap", 60, func(i int, m *moment) { m.resident[goDead] = up(i % 20) }, kindFine, "likely"},
		{"Go's heap", 60, func(i int, m *moment) { m.goMarked = up(i) }, kindGoHeap, "certain"},
		{"Go's heap, collected ever more rarely", 64, func(i int, m *moment) {
			for m.gcCycles = 0; 1<<m.gcCycles <= i; m.gcCycles++ {
			}
			m.goMarked = 2 * mib << m.gcCycles
		}, kindGoHeap, "certain"},
		{"Go's heap grew and is full", 60, func(i int, m *moment) { m.goMarked = up(min(i, 20)) }, kindFine, "likely"},
		{"goroutines, and what they hold", 60, func(i int, m *moment) { m.resident[goStacks], m.goMarked = up(i), up(i)/2 }, kindGoStacks, "certain"},
		{"threads", 60, func(i int, m *moment) { m.resident[threadStacks] = up(i) }, kindThreads, "certain"},
		{"mmap", 60, func(i int, m *moment) { m.resident[mapped] = up(i) }, kindMapped, "certain"},
		{"files", 60, func(i int, m *moment) { m.resident[files] = up(i) }, kindMapped, "certain"},
		{"C memory that isn't seen", 60, func(i int, m *moment) { m.resident[cMore] = up(i) }, kindUnseen, "certain"},
		{"two things grow alike", 60, func(i int, m *moment) { m.resident[mapped], m.goMarked = up(i), up(i)*9/10 }, kindMapped, "likely"},
	} {
		moments := story(test.n, test.tell)
		v := judge(moments, moments)
		if v.Kind != test.want || v.Sure != test.sure {
			t.Errorf("%s: %s, %s: %s %q; want %s, %s", test.name, v.Kind, v.Sure, v.Sentence, v.Evidence, test.want, test.sure)
		}
		if v.Sentence == "" || v.Next == "" {
			t.Errorf("%s: says too little: %+v", test.name, v)
		}
	}
}

func TestGoStacksCandidate(t *testing.T) {
	if candidates[goStacksCandidate].kind != kindGoStacks {
		t.Error("candidates have another order")
	}
}

func TestHistoryIsOfFixedSizeAndCoversTheWholeLife(t *testing.T) {
	l := thinning[int]{room: make([]int, 0, 8), every: 1}
	r := ring[int]{room: make([]int, 0, 4)}
	for i := range 1000 {
		l.add(i)
		r.add(i)
	}
	if len(l.room) > 8 || l.room[0] != 0 || l.room[len(l.room)-1] < 800 {
		t.Errorf("%v", l.room)
	}
	for i := 2; i < len(l.room); i++ {
		if l.room[i]-l.room[i-1] != l.room[1]-l.room[0] {
			t.Errorf("not evenly: %v", l.room)
		}
	}
	if got := r.all(); len(got) != 4 || got[0] != 996 || got[3] != 999 {
		t.Errorf("%v", got)
	}
}

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 999: "999 B", 1024: "1.0 KiB", 200 << 10: "200 KiB", -3 * mib: "-3.0 MiB", 5 << 30: "5.00 GiB", 1000 * mib: "0.98 GiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

// A leak of 10 MiB a second is called that.
func TestRateOfALeak(t *testing.T) {
	moments := story(61, func(i int, m *moment) { m.cLiveBytes = 10 * mib * uint64(i) })
	if v := judge(moments, moments); !strings.Contains(v.Sentence, "grew by 450 MiB in 45 s (600 MiB a minute)") {
		t.Error(v.Sentence)
	}
}
