package cgoheap

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// startDumps starts the dumps that CGOHEAP=dump=... asks for, see docs/dumps.md. Only then are there goroutines that stay: one that waits on the C
// side until live memory has passed a threshold, one for the signal. The hooks write no file, and Go's addresses can be
// named by Go only.
//
// The signal comes by os/signal, beside whoever else asks for it there.
func startDumps() {
	automatic, onSignal := capi.DumpSettings()
	if automatic {
		go func() {
			for {
				dump(capi.WaitForDump())
			}
		}()
	}
	if onSignal != nil {
		came := make(chan os.Signal, 1)
		signal.Notify(came, onSignal)
		go func() {
			for range came {
				dump(capi.DumpSignal)
			}
		}()
	}
}

func dump(reason capi.DumpReason) {
	var data []byte
	err := encoders.acquire(context.Background())
	if err == nil {
		data, err = collect(0, capi.Filter{})
		encoders.release()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cgoheap: no dump:", err)
	}
	// Called without a profile too, since it sets the next threshold.
	capi.StoreDump(data, reason)
}
