package events

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/tests/real/heap"
)

func stats() (s cgoheap.Stats) {
	cgoheap.ReadStats(&s)
	return s
}

func TestForkWithoutExec(t *testing.T) {
	if wrong := fork(20); wrong != 0 {
		t.Errorf("%d children went wrong", wrong)
	}
	if wrong := forkUnderLoad(50); wrong != 0 {
		t.Errorf("under load: %d went wrong", wrong)
	}
	p := heap.Now(t)
	p.Expect(t, 0, 0, "C.events_fork") // the children's work is not ours
	p.Expect(t, 0, 0, "churn")
}

func TestVforkAndClone(t *testing.T) {
	if wrong := vfork(20); wrong != 0 {
		t.Errorf("vfork: %d went wrong", wrong)
	}
	if wrong := cloneThread(20); wrong != 0 {
		t.Errorf("clone: %d went wrong", wrong)
	}
	heap.Now(t).Expect(t, 0, 0, "churn")
}

func TestExecUnderLoad(t *testing.T) {
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() { forkUnderLoad(5) })
	}
	for range 100 {
		if out, err := exec.Command("/bin/echo", "well").Output(); err != nil || string(out) != "well\n" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	load.Wait()
}

// library builds a shared library whose functions have names of their own.
func library(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	source := fmt.Sprintf(`#include <stdlib.h>
static void *last;
void *plugin_last(void) { return last; }
__attribute__((noinline)) static void %s(int size) { last = malloc(size); __asm__ volatile("" ::: "memory"); }
__attribute__((visibility("default"))) void plugin_leak(int n, int size) { for (int i = 0; i < n; i++) %[1]s(size); }
`, name)
	if err := os.WriteFile(filepath.Join(folder, name+".c"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "lib"+name+".so")
	if out, err := exec.Command("gcc", "-O1", "-g", "-shared", "-fPIC", "-o", file, filepath.Join(folder, name+".c")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestLibrariesComeAndGo(t *testing.T) {
	file := library(t, "guest")
	before := stats().LiveBytes
	if wrong := openAndClose(file, 1000); wrong != 0 {
		t.Fatal("dlopen")
	}
	p := heap.Now(t)
	p.Expect(t, 0, 0, "plugin_leak")
	if got := stats().LiveBytes; got > before+100_000 {
		t.Errorf("%d bytes in use before 1000 rounds of dlopen, %d after", before, got)
	}
	if n := stats().Lost.ModulesTableFull; n != 0 {
		t.Errorf("%d objects had no room", n)
	}
}

// Two libraries, one after the other, at the same addresses: each block keeps the name of the function that made it.
func TestClosedLibrariesKeepTheirNames(t *testing.T) {
	first, second := library(t, "earlier"), library(t, "later__")
	for _, file := range []string{first, second} {
		l := openLibrary(file)
		if l == nil || callLibrary(l, 10, 555) != 0 || closeLibrary(l) != 0 {
			t.Fatal(file)
		}
	}
	p := heap.Now(t)
	for _, name := range []string{"earlier", "later__"} {
		objects := int64(0)
		for _, s := range p.Sample {
			stack := heap.Stack(s)
			if s.Value[3] == 555*s.Value[2] && (stack[0] == name || stack[0] == "?lib"+name+".so") {
				objects += s.Value[2]
			}
		}
		if objects != 10 {
			t.Errorf("%s: %d objects\n%s", name, objects, p.Text("callLibrary"))
		}
	}
}

func TestThreadsWhoseDestructorsAllocate(t *testing.T) {
	before := stats().Lost
	if destructors(200) != 0 {
		t.Fatal("threads")
	}
	heap.Now(t).Expect(t, 0, 0, "destructor")
	heap.Now(t).Expect(t, 0, 0, "thread_with_data")
	if after := stats().Lost; after.FreesUnseen != before.FreesUnseen || after.SamplesLockBusy != before.SamplesLockBusy {
		t.Errorf("%+v, before %+v", after, before)
	}
}

func TestSignalHandlersOnTheAlternateStack(t *testing.T) {
	if signals(100, 4321) != 0 || signalsNear(100, 4327, 0) != 0 || signalsNear(100, 4337, 1) != 0 {
		t.Fatal("signals")
	}
	// Through the signal frame, back on the interrupted stack, down to Go.
	p := heap.Now(t)
	p.Expect(t, 10, 43210, "handler", "interrupted", "interrupt", "events_signals", "events.signals", "TestSignalHandlersOnTheAlternateStack")
	p.Expect(t, 20, 43270+43370, "handler", "interrupted", "interrupt", "near_thread")
	if n := stats().Lost.StacksUnreadable; n != 0 {
		t.Errorf("%d stacks were cut, as not readable\n%s", n, p.Text("handler"))
	}
}

func TestDeepRecursionIsCutAndMarked(t *testing.T) {
	before := stats().Lost.StacksTooDeep
	recurse(10_000, 3, 1111)
	if got := stats().Lost.StacksTooDeep - before; got != 3 {
		t.Errorf("%d stacks were counted as too deep, want 3", got)
	}
	p := heap.Now(t)
	p.Expect(t, 3, 3333, "events_recurse", "events_recurse")
	for _, s := range p.Sample {
		if stack := heap.Stack(s); s.Value[3] == 3333 && heap.In(stack, "events_recurse", "events_recurse") {
			if last := stack[len(stack)-1]; !strings.HasPrefix(last, "[stack cut: ") || len(stack) < 100 {
				t.Errorf("%d frames, the last is %s", len(stack), last)
			}
		}
	}
	recurse(50, 3, 1112)
	p.Expect(t, 0, 0, "events_recurse", "TestDeepRecursionIsCutAndMarked")
	heap.Now(t).Expect(t, 3, 3336, "events_recurse", "events.recurse", "TestDeepRecursionIsCutAndMarked")
}

// bySize finds the one stack with n blocks of a size.
func bySize(t *testing.T, n, size int) []string {
	t.Helper()
	for _, s := range heap.Now(t).Sample {
		if s.Value[2] == int64(n) && s.Value[3] == int64(n*size) {
			return heap.Stack(s)
		}
	}
	t.Fatalf("no stack has %d blocks of %d bytes", n, size)
	return nil
}

func TestCodeWithoutTablesEndsAStackCleanly(t *testing.T) {
	before := stats().Lost.StacksNoUnwindInfo
	if jit(5, 2221) != 0 || assembly(7, 2223) != 0 {
		t.Fatal("no memory")
	}
	if got := stats().Lost.StacksNoUnwindInfo - before; got < 12 {
		t.Errorf("%d stacks were counted, want 12", got)
	}
	if got := bySize(t, 5, 2221); len(got) != 2 || !strings.HasPrefix(got[0], "?") || !strings.HasPrefix(got[1], "[stack cut: ") {
		t.Errorf("JIT: %v", got)
	}
	if got := bySize(t, 7, 2223); len(got) != 2 || got[0] != "events_bare_malloc" || !strings.HasPrefix(got[1], "[stack cut: ") {
		t.Errorf("assembly: %v", got)
	}
}

func TestCoroutines(t *testing.T) {
	if coroutine(6, 3331) != 0 {
		t.Fatal("makecontext")
	}
	if got := bySize(t, 6, 3331); got[0] != "coroutine" {
		t.Errorf("%v", got)
	}
}

func TestRefusedSizesAreNotCounted(t *testing.T) {
	before := stats()
	if wrong := noMemory(100); wrong != 0 {
		t.Errorf("%d answers were not those of malloc", wrong)
	}
	heap.Now(t).Expect(t, 0, 0, "C.events_no_memory")
	if after := stats(); after.AllocBytes > before.AllocBytes+1<<30 {
		t.Errorf("%d bytes allocated, %d before", after.AllocBytes, before.AllocBytes)
	}
}

// A process with little address space, in a process of its own: its mallocs fail, our tables can't grow, and it goes on.
func TestLittleAddressSpace(t *testing.T) {
	if os.Getenv("CGOHEAP_LIMITED") != "" {
		blocks := hoard(40 << 20)
		lost := stats().Lost.SamplesNoMemory
		if blocks < 100_000 || lost == 0 {
			t.Errorf("%d blocks, %d samples dropped", blocks, lost)
		}
		if again := hoard(40 << 20); again < blocks/2 {
			t.Errorf("%d blocks, then %d", blocks, again)
		}
		heap.Now(t).Expect(t, 0, 0, "events_hoard")
		fmt.Printf("limited: %d blocks, %d samples dropped, %d bytes of our own\n", blocks, lost, stats().OwnBytes)
		return
	}
	c := exec.Command(os.Args[0], "-test.run=TestLittleAddressSpace")
	// Go needs memory too, and can't go on without: it shall have no reason to ask.
	c.Env = append(os.Environ(), "CGOHEAP_LIMITED=1", "GOGC=off", "GOMAXPROCS=1")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "limited: ") {
		t.Errorf("%v\n%.3000s", err, out)
	}
	t.Logf("%s", out)
}
