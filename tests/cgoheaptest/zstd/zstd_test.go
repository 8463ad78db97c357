// Package zstd is a user's test of a writer that is closed, and of one that isn't.
package zstd

import (
	"bytes"
	"testing"

	"github.com/DataDog/zstd"
	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func compress(t testing.TB, close bool) {
	var out bytes.Buffer
	w := zstd.NewWriter(&out)
	if _, err := w.Write([]byte("some text, some text, some text")); err != nil {
		t.Fatal(err)
	}
	if close {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosed(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	compress(t, true)
}

func TestNotClosed(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	compress(t, false)
}

// A writer for each operation, and one that is used again.
func BenchmarkCompress(b *testing.B) {
	text := bytes.Repeat([]byte("some text "), 1000)
	cgoheaptest.ReportAllocs(b)
	for b.Loop() {
		var out bytes.Buffer
		w := zstd.NewWriter(&out)
		w.Write(text)
		w.Close()
	}
}
