// The zstd binding that most Go programs use: its streams hold large C buffers.
package zstd_test

import (
	"io"
	"strings"
	"testing"

	"github.com/DataDog/zstd"

	"github.com/cgoheap/cgoheap/tests/real/heap"
)

//go:noinline
func openWriters(t *testing.T, n int) (writers []*zstd.Writer) {
	for range n {
		w := zstd.NewWriter(io.Discard)
		if _, err := w.Write([]byte(strings.Repeat("some text to compress, ", 1000))); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	return writers
}

func TestWritersNeverClosed(t *testing.T) {
	const n = 50
	writers := openWriters(t, n)
	p := heap.Now(t)
	stack, bytes := p.Top()
	if !heap.In(stack, "ZSTD_compressStream2", "zstd.(*Writer).Write", "openWriters", "TestWritersNeverClosed", "testing.tRunner") {
		t.Errorf("top stack, %d bytes: %s", bytes, strings.Join(stack, " < "))
	}
	// What zstd itself says that a stream takes is the reference for the amount.
	if got := p.Sum("openWriters"); got.InUseObjects < 2*n || got.InUseBytes < n<<20 {
		t.Errorf("%d writers: %+v", n, got)
	}
	if got := p.Sum("ZSTD_createCStream", "zstd.NewWriter", "openWriters"); got.InUseObjects != n {
		t.Errorf("ZSTD_createCStream: %+v\n%s", got, p.Text("openWriters"))
	}

	for _, w := range writers {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	heap.Now(t).Expect(t, 0, 0, "openWriters")
	heap.ExpectWhole(t)
}

//go:noinline
func roundTrips(t *testing.T, n int) {
	text := []byte(strings.Repeat("some text to compress, ", 1000))
	for range n {
		packed, err := zstd.Compress(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		r := zstd.NewReader(strings.NewReader(string(packed)))
		got, err := io.ReadAll(r)
		if err != nil || string(got) != string(text) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsClosedLeavesNothing(t *testing.T) {
	roundTrips(t, 100)
	p := heap.Now(t)
	p.Expect(t, 0, 0, "roundTrips")
	if got := p.Sum("roundTrips"); got.AllocObjects < 200 {
		t.Errorf("hardly anything was seen: %+v", got)
	}
}
