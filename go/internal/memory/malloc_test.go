package memory

import (
	"testing"
	"time"
)

// glibc is not asked where its answer would hold up the program, and rarely where it costs anything.
func TestMallocIsAskedWhereThatIsCheap(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		arenas uint64
		hooks  Hooks
		takes  time.Duration
		asked  int // in 100 moments, 2 s apart
	}{
		// The program of the case: 8 million blocks, every other one freed.
		{"4 million free blocks", 1400 << 20, Hooks{Live: 640 << 20, LiveObjects: 4_000_000, Whole: true}, 90 * time.Millisecond, 0},
		{"a small heap", 20 << 20, Hooks{Live: 15 << 20, LiveObjects: 100_000, Whole: true}, 0, 100},
		{"a large heap without much that is free", 2 << 30, Hooks{Live: 2<<30 - 1<<20, LiveObjects: 1_000_000, Whole: true}, 0, 100},
		// Only glibc knows there: at most 1 part in 1,000 of the time.
		{"4 million free blocks that only glibc knows", 1400 << 20, Hooks{Live: 1 << 20, LiveObjects: 1000}, 30 * time.Millisecond, 7},
		{"a heap that turns out slow", 20 << 20, Hooks{Live: 15 << 20, LiveObjects: 100_000, Whole: true}, 10 * time.Millisecond, 20},
	} {
		var p Pause
		asked := 0
		for i := range 100 {
			m := p.Next(begin.Add(time.Duration(i)*2*time.Second), test.arenas, test.hooks, func() Malloc {
				asked++
				time.Sleep(test.takes)
				return Malloc{Used: 1}
			})
			if !m.Estimated && m.Used != 1 {
				t.Fatalf("%s: %+v", test.name, m)
			}
		}
		// A sleep takes longer on a busy machine, and then there are fewer.
		if asked > test.asked || asked == 0 && test.asked > 0 {
			t.Errorf("%s: asked %d times of 100, want at most %d", test.name, asked, test.asked)
		}
	}
}

// A C library that can't tell isn't asked. Where cgoheap sees all, there is an estimate; else all that malloc has may be in use.
func TestWhereMallocCantTellItIsUnknown(t *testing.T) {
	p := Pause{last: Malloc{Unknown: true}, force: true}
	never := func() Malloc { t.Error("asked"); return Malloc{} }
	hooks := Hooks{Live: 30 << 20, LiveObjects: 1000}
	owners := Owners{Arenas: 100 << 20, RSS: 200 << 20}
	for _, whole := range []bool{false, true} {
		hooks.Whole = whole
		malloc := p.Next(time.Now(), owners.Arenas, hooks, never)
		if !malloc.Unknown || malloc.Estimated != whole {
			t.Errorf("whole: %v: %+v", whole, malloc)
		}
		var m Moment
		m.Divide(&owners, malloc, Runtime{}, hooks)
		free, used := m.Resident[CFree], m.Resident[CLive]+m.Resident[CMore]
		if !m.MallocUnknown || free+used != owners.Arenas || (free > 0) != whole || m.CElsewhere != 0 {
			t.Errorf("whole: %v: free %d, used %d, elsewhere %d, unknown %v", whole, free, used, m.CElsewhere, m.MallocUnknown)
		}
	}
}

func TestAfterATrimMallocIsAsked(t *testing.T) {
	p := Pause{force: true}
	hooks := Hooks{Live: 640 << 20, LiveObjects: 4_000_000, Whole: true}
	ask := func() Malloc { return Malloc{Used: 1} }
	if m := p.Next(time.Now(), 1400<<20, hooks, ask); m.Estimated {
		t.Error("it was not")
	}
	if m := p.Next(time.Now(), 1400<<20, hooks, ask); !m.Estimated {
		t.Error("it was asked again")
	}
}
