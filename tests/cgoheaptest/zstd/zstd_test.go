// Package zstd is a user's test of a writer that is closed, and of one that isn't.
package zstd

import (
	"bytes"
	"io"
	"os"
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

// A writer for each operation, or, with ZSTD_REUSE set, one context for all.
func BenchmarkCompress(b *testing.B) {
	text := bytes.Repeat([]byte("some text "), 1000)
	context := zstd.NewCtx()
	out, _ := context.Compress(nil, text) // its memory is allocated once
	cgoheaptest.ReportAllocs(b)
	for b.Loop() {
		if os.Getenv("ZSTD_REUSE") != "" {
			out, _ = context.Compress(out, text)
			continue
		}
		w := zstd.NewWriter(io.Discard)
		w.Write(text)
		w.Close()
	}
}
