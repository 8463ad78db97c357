package zlib

import (
	"debug/elf"
	"os"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/tests/real/heap"
)

//go:noinline
func startStreams(n int) (streams []Stream) {
	for range n {
		streams = append(streams, Start())
	}
	return streams
}

func TestStreamNeverEnded(t *testing.T) {
	const n = 10
	streams := startStreams(n)
	p := heap.Now(t)
	// The library exports this name; it allocates its state, window, two tables and a buffer.
	got := p.Sum("deflateInit2_", "startStreams", "TestStreamNeverEnded")
	if got.InUseObjects != 5*n || got.InUseBytes < n*200_000 {
		t.Errorf("deflateInit2_: %+v\n%s", got, p.Text("startStreams"))
	}
	if stack, _ := p.Top(); !heap.In(stack, "deflateInit2_", "startStreams") {
		t.Errorf("top stack: %s", strings.Join(stack, " < "))
	}
	for _, s := range streams {
		s.End()
	}
	heap.Now(t).Expect(t, 0, 0, "startStreams")
	heap.ExpectWhole(t)
}

// Debian's library is stripped. A function that it doesn't export has no name, and must not get its neighbour's.
func TestFunctionsThatAreNotExportedGetNoWrongName(t *testing.T) {
	stream := startStreams(1)[0]
	defer stream.End()
	found := false
	for _, s := range heap.Now(t).Sample {
		if !heap.In(heap.Stack(s), "startStreams") {
			continue
		}
		for _, l := range s.Location {
			if !strings.Contains(l.Mapping.File, "libz.so") {
				continue
			}
			found = true
			name := ""
			if len(l.Line) > 0 {
				name = l.Line[0].Function.Name
			}
			file, err := os.Open(l.Mapping.File)
			if err != nil {
				t.Fatal(err)
			}
			if want := exported(t, file, l.Address-l.Mapping.Start+l.Mapping.Offset); name != want {
				t.Errorf("%#x is %q, the library says %q", l.Address, name, want)
			}
			file.Close()
		}
	}
	if !found {
		t.Error("no frame of libz.so")
	}
}

// exported returns the name of the exported function that holds a file offset, or "".
func exported(t *testing.T, file *os.File, offset uint64) string {
	t.Helper()
	f, err := elf.NewFile(file)
	if err != nil {
		t.Fatal(err)
	}
	address := offset
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_LOAD && offset-segment.Off < segment.Filesz && offset >= segment.Off {
			address = offset - segment.Off + segment.Vaddr
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF && address-s.Value < s.Size && address >= s.Value {
			return s.Name
		}
	}
	return ""
}
