package verdict

import (
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/allocators"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

func TestMappingsAreNamed(t *testing.T) {
	growing := stacksOf(100, "make main.handle main.main")
	for _, test := range []struct {
		name            string
		part            memory.Part
		groups          []memory.Group
		says, saysNot   string
		next, nextIsNot string
	}{
		{"a database", memory.Files, []memory.Group{{Path: "/db/data.mdb", Count: 1, Size: 4 << 30, RSS: 700 * mib, Clean: 600 * mib, Growth: 600 * mib}},
			"/db/data.mdb: 700 MiB resident of 4.00 GiB, of which 600 MiB are pages of the file itself, grew by 600 MiB", "main.handle", "leave it", "strace"},
		{"many mappings of one file, and one that stays", memory.Files, []memory.Group{{Path: "/idx", Count: 30, RSS: 90 * mib, Growth: 90 * mib, Clean: 90 * mib}, {Path: "/big", Count: 1, RSS: 900 * mib, Clean: 900 * mib}},
			"/idx: 90.0 MiB resident of 0 B in 30 mappings", "/big", "leave it", "strace"},
		{"shared memory", memory.Files, []memory.Group{{Path: "/dev/shm/ring", Count: 1, Size: 99 * mib, RSS: 99 * mib, Clean: 99 * mib, Growth: 99 * mib}},
			"/dev/shm/ring: 99.0 MiB resident of 99.0 MiB, shared memory", "no leak", "by name", "leave it"},
		{"a file in memory", memory.Files, []memory.Group{{Path: "/tmp/ring", Memory: true, Count: 1, Size: 99 * mib, RSS: 99 * mib, Clean: 99 * mib, Growth: 99 * mib}},
			"shared memory", "no leak", "by name", "leave it"},
		{"equal mappings", memory.Mapped, []memory.Group{{Count: 140, Size: 2 * mib, RSS: 140 * mib, Growth: 140 * mib}},
			"140 mappings of 2.0 MiB: 140 MiB resident, grew by 140 MiB", "no leak", "mmap", "leave it"},
		{"the call that came with them", memory.Mapped, []memory.Group{{Count: 140, Size: 2 * mib, RSS: 140 * mib, Growth: 140 * mib}},
			"100 % of it is below main.handle", "no leak", "mmap", "leave it"},
		{"named by their owner", memory.Mapped, []memory.Group{{Path: "[anon:v8]", Count: 3, Size: 2 * mib, RSS: 6 * mib, Growth: 6 * mib}},
			"3 mappings of 2.0 MiB [anon:v8]", "no leak", "mmap", "leave it"},
	} {
		v := Verdict{Kind: Mapped, Part: test.part, Next: "Look for calls of mmap."}
		if test.part == memory.Files {
			v.Next = "The files are listed below, by name."
		}
		v.Explain(&Details{Mapped: test.groups, Growing: growing})
		evidence := strings.Join(v.Evidence, "; ")
		if !strings.Contains(evidence, test.says) || strings.Contains(evidence, test.saysNot) {
			t.Errorf("%s: %q should say %q, and not %q", test.name, evidence, test.says, test.saysNot)
		}
		if !strings.Contains(v.Next, test.next) || strings.Contains(v.Next, test.nextIsNot) {
			t.Errorf("%s: next: %s", test.name, v.Next)
		}
	}
}

func TestWhatCannotBeSeenIsSaid(t *testing.T) {
	find := func() []allocators.Allocator {
		return []allocators.Allocator{{Name: "jemalloc", Symbol: "je_malloc", Object: "/lib/x.so", Stats: "je_malloc_stats_print"}}
	}
	large := &memory.Moment{RSS: 100 * mib}
	large.Resident[memory.Mapped] = 50 * mib
	cut := stacksOf(90, "v8_new [stack_cut:_no_unwind_table]", 10, "a main.f")
	for _, test := range []struct {
		name    string
		kind    Kind
		details Details
		want    []string
	}{
		{"nothing", Fine, Details{Now: &memory.Moment{RSS: 100 * mib}, Allocators: find}, nil},
		{"another allocator", Fine, Details{Now: large, Allocators: find}, []string{"jemalloc (je_malloc in x.so)", "je_malloc_stats_print says"}},
		{"stacks that were cut", Fine, Details{Cut: cut}, []string{"90 % of the bytes that C allocated", "v8_new"}},
		{"the leak's stacks were cut", Leak, Details{Growing: cut, Cut: cut}, []string{"90 % of these bytes"}},
		{"frees unseen", Leak, Details{FreesUnseen: 5, InDoubt: 3 * mib}, []string{"5 sampled blocks were freed where cgoheap doesn't look", "up to 3.0 MiB may be freed"}},
		{"malloc was not asked", Fine, Details{Estimated: true}, []string{"an estimate by cgoheap's own counters"}},
	} {
		v := Verdict{Kind: test.kind}
		v.Explain(&test.details)
		got := strings.Join(v.Blind, "; ")
		if len(test.want) == 0 && got != "" {
			t.Errorf("%s: %s", test.name, got)
		}
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q doesn't say %q", test.name, got, want)
			}
		}
	}
}

// Where no Go function is on the stacks, the next step doesn't send the reader to one.
func TestALeakOfThreadsOfC(t *testing.T) {
	for _, test := range []struct {
		name   string
		stacks []Stack
		queue  bool
	}{
		{"threads of C", stacksOf(100, "rd_kafka_op_new worker start_thread"), true},
		{"below Go", stacksOf(100, "a main.f main.main", 5, "b start_thread"), false},
		{"cut", stacksOf(100, "a [stack_cut:_no_unwind_table]"), false},
		{"unknown", nil, false},
	} {
		v := Verdict{Kind: Leak, Next: "The stacks below"}
		v.Explain(&Details{Growing: test.stacks})
		if got := strings.Contains(v.Next, "queue"); got != test.queue {
			t.Errorf("%s: %s", test.name, v.Next)
		}
	}
}
