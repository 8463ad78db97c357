package cpp

import (
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/tests/real/heap"
)

func TestNewIsSeenWithDemangledNames(t *testing.T) {
	shelf := build(1000)
	p := heap.Now(t)
	p.Expect(t, 1000, 100_000, "depot::Shelf::add()", "depot_build", "cpp.build", "TestNewIsSeenWithDemangledNames")
	const template = "depot::Shelf* depot::build<depot::Shelf>(int)"
	p.Expect(t, 1002, 100_000+24+8000, template, "depot_build", "cpp.build") // the shelf itself, its vector
	for _, s := range p.Sample {
		for _, name := range heap.Stack(s) {
			if strings.HasPrefix(name, "_Z") {
				t.Errorf("mangled: %s", name)
			}
		}
	}
	destroy(shelf)
	heap.Now(t).Expect(t, 0, 0, "cpp.build")
}

func TestEveryFormOfNew(t *testing.T) {
	forms()
	heap.Now(t).Expect(t, 4, 1000+256+512+77, "depot_forms", "cpp.forms")
	freeForms()
	heap.Now(t).Expect(t, 0, 0, "depot_forms", "cpp.forms")
}

func TestExceptionsUnwindThroughUsAndLeaveNothing(t *testing.T) {
	const times = 100
	if got := fail(times); got != times {
		t.Errorf("%d caught of %d", got, times)
	}
	p := heap.Now(t)
	p.Expect(t, 0, 0, "depot_fail")
	// 21 strings, the exception, and its copy of the text.
	if got := p.Sum("depot_fail"); got.AllocObjects != 23*times {
		t.Errorf("%+v", got)
	}
}

func TestThreadsOfCPlusPlus(t *testing.T) {
	const n, each = 8, 500
	threads(n, each, 1)
	p := heap.Now(t)
	p.Expect(t, n*each+n, n*each*256+n*512*8, "depot::work(std::vector<int*, std::allocator<int*> >*, int)") // and n vectors
	freeThreads()
	p = heap.Now(t)
	p.Expect(t, 0, 0, "depot::work(std::vector<int*, std::allocator<int*> >*, int)")
	// What is left below depot_threads is libc's: it keeps the stacks of ended threads, with their thread-local storage.
	const start = "std::thread::_M_start_thread(std::unique_ptr<std::thread::_State, std::default_delete<std::thread::_State> >, void (*)())"
	p.Expect(t, p.Sum(start, "depot_threads").InUseObjects, p.Sum(start, "depot_threads").InUseBytes, "depot_threads")
	heap.ExpectWhole(t)
}
