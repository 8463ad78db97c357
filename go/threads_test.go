package cgoheap_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/callback"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

// onThread runs f on a thread of its own, which ends with f: that is what a goroutine does that ends locked.
func onThread(f func()) {
	runtime.LockOSThread()
	f()
}

func TestRateChangeReachesParkedThreads(t *testing.T) {
	defer cgoheap.SetRate(1)
	const threads = 8
	cgoheap.SetRate(512 << 10)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	blocks := make(chan plain.Block, threads)
	for range threads {
		ready.Add(1)
		done.Add(1)
		go onThread(func() {
			defer done.Done()
			plain.Release(plain.Other(64)) // the thread has drawn its distance to the next sample
			ready.Done()
			<-start
			blocks <- plain.Other(1)
		})
	}
	ready.Wait()
	leaf := profiledata.Leaf("plain_other_block")
	got := difference(t, leaf, func() {
		cgoheap.SetRate(1)
		close(start)
		done.Wait()
	})
	if want := (profiledata.Values{AllocObjects: threads, AllocSpace: threads, InuseObjects: threads, InuseSpace: threads}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for range threads {
		plain.Release(<-blocks)
	}
}

func TestThreadThatAllocatesOnceIsSeen(t *testing.T) {
	got := difference(t, profiledata.Leaf("plain_once"), func() {
		plain.Release(plain.FromOwnThread(1231))
		plain.Release(plain.FromOwnThread(1237))
	})
	if want := (profiledata.Values{AllocObjects: 2, AllocSpace: 1231 + 1237}); got != want {
		t.Errorf("threads made by C: %+v, want %+v", got, want)
	}
	got = difference(t, profiledata.Leaf("plain_block"), func() {
		made := make(chan plain.Block)
		go onThread(func() { made <- plain.One(1249) })
		plain.Release(<-made)
	})
	if want := (profiledata.Values{AllocObjects: 1, AllocSpace: 1249}); got != want {
		t.Errorf("a thread made by Go: %+v, want %+v", got, want)
	}
}

// TestAllAtOnce: rate 1, a CPU profile at 1 kHz, the execution tracer, profiles being taken, rates being set, threads that
// come and go, callbacks. Nothing may crash, hang or get lost.
func TestAllAtOnce(t *testing.T) {
	defer cgoheap.SetRate(1)
	runtime.SetCPUProfileRate(1000)
	var cpu bytes.Buffer
	if err := pprof.StartCPUProfile(&cpu); err != nil { // says on stderr that it keeps our rate
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	if err := trace.Start(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer trace.Stop()

	leaf := profiledata.Leaf("plain_other_block")
	before := profile(t).Sum(leaf)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	var workers sync.WaitGroup
	var blocks, bytesTotal atomic.Int64
	work := func(f func()) {
		workers.Go(func() {
			for ctx.Err() == nil {
				f()
			}
		})
	}
	for range 2 {
		work(func() { // threads
			done := make(chan struct{})
			go onThread(func() {
				defer close(done)
				b := plain.Other(101)
				grow(100)
				plain.Release(b)
				blocks.Add(1)
				bytesTotal.Add(101)
			})
			<-done
		})
		work(func() { plain.Churn(100, 48) })
		work(func() { // blocks that another goroutine frees
			made := make(chan plain.Block)
			go func() { plain.Release(<-made) }()
			made <- plain.Other(103)
			blocks.Add(1)
			bytesTotal.Add(103)
		})
	}
	work(func() { plain.Release(callback.Through(2, 57)) })
	work(func() { plain.Release(plain.FromOwnThread(59)) })
	work(func() {
		if err := cgoheap.WriteHeapProfile(io.Discard); err != nil {
			t.Error(err)
		}
	})
	work(func() {
		var s cgoheap.Stats
		cgoheap.ReadStats(&s)
		runtime.GC()
	})
	workers.Wait()

	// The goroutines that free come to an end.
	want := profiledata.Values{AllocObjects: blocks.Load(), AllocSpace: bytesTotal.Load()}
	var got profiledata.Values
	for range 100 {
		if got = profile(t).Sum(leaf).Sub(before); got.InuseObjects == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	if s.Lost.SamplesNoMemory+s.Lost.SamplesLockBusy+s.Lost.StacksTableFull+s.Lost.FreesLockBusy+s.Lost.StacksBadGo != 0 {
		t.Errorf("lost: %+v", s.Lost)
	}
}

// TestRateChangesWhileThreadsAllocate: off and on again. What was sampled is forgotten when it is freed, at any rate.
func TestRateChangesWhileThreadsAllocate(t *testing.T) {
	defer cgoheap.SetRate(1)
	leaf := profiledata.Leaf("plain_churn")
	before := profile(t).Sum(leaf)
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for ctx.Err() == nil {
				plain.Churn(100, 32)
			}
		})
	}
	for i := range 300 {
		cgoheap.SetRate([]int{0, 1, 100, 512 << 10}[i%4])
		runtime.Gosched()
	}
	cancel()
	workers.Wait()
	if got := profile(t).Sum(leaf).Sub(before); got.InuseObjects != 0 || got.InuseSpace != 0 {
		t.Errorf("all is freed: %+v", got)
	}
}
