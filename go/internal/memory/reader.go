package memory

import (
	"io"
	"os"
	"slices"
	"strings"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// heapObject tells where Go's heap is.
var heapObject = new([64]byte)

// reader reads the mappings of this process, and keeps the room that it needs from one time to the next.
type reader struct {
	text     []byte
	mappings []Mapping
	ranges   []capi.Range
	own      []Range
	scratch  Scratch
	view     processView
}

// owners says whose the resident memory is; find is how much malloc has in blocks with mappings of their own.
func (r *reader) owners(find uint64) (*Owners, error) {
	if err := r.read(); err != nil {
		return nil, err
	}
	r.mappings = ParseSmaps(r.text, r.mappings)
	r.ranges = capi.OwnRanges(r.ranges)
	r.own = r.own[:0]
	for _, own := range r.ranges {
		r.own = append(r.own, Range{own.Start, own.Start + own.Bytes})
	}
	slices.SortFunc(r.own, func(a, b Range) int { return int(int64(a.Start) - int64(b.Start)) })
	mem, err := os.Open("/proc/self/mem")
	if err == nil {
		defer mem.Close()
	}
	r.view.mem = mem
	return Attribute(r.mappings, &r.view, Hints{
		Own: r.own, GoHeap: uint64(uintptr(unsafe.Pointer(heapObject))), Mmapped: find, Stack: capi.StackSize(),
	}, &r.scratch), nil
}

func (r *reader) objects() (paths []string) {
	for path := range r.scratch.executable {
		if strings.HasPrefix(path, "/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// read reads /proc/self/smaps.
func (r *reader) read() error {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	r.text = r.text[:0]
	for {
		if len(r.text) == cap(r.text) {
			r.text = slices.Grow(r.text, 64<<10)
		}
		n, err := f.Read(r.text[len(r.text):cap(r.text)])
		r.text = r.text[:len(r.text)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// processView reads this process's memory in ways that can't fault.
type processView struct{ mem *os.File }

func (v *processView) Resident(start uint64, in []byte) bool { return capi.PagesResident(start, in) }

func (v *processView) Read(at uint64, p []byte) bool {
	if v.mem == nil {
		return false
	}
	n, err := v.mem.ReadAt(p, int64(at))
	return err == nil && n == len(p)
}
