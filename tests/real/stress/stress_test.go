package stress

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/tests/real/heap"
)

// 64 threads of C and Go, snapshots and libraries that come and go: in the end the profile is right to the byte.
func TestEverythingAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plugin.so")
	source := filepath.Join(t.TempDir(), "plugin.c")
	if err := os.WriteFile(source, []byte(Plugin), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-shared", "-fPIC", "-o", file, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	length := 5 * time.Second
	if os.Getenv("CGOHEAP_LONG") != "" {
		length = 3 * time.Minute
	}

	var done atomic.Bool
	var all sync.WaitGroup
	all.Go(func() { threads(32, 2000) })
	for i := range 32 {
		all.Go(func() {
			for seed := uint32(i); !done.Load(); seed += 32 {
				Churn(seed, 500)
			}
		})
	}
	snapshots, rounds := 0, 0
	all.Go(func() {
		for ; !done.Load(); snapshots++ {
			if err := cgoheap.WriteHeapProfile(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for ; !done.Load(); rounds++ {
			if Library(file, 10) != 0 {
				t.Error("dlopen")
				return
			}
		}
	})
	time.Sleep(length)
	done.Store(true)
	stop()
	all.Wait()

	if n := Bad(); n != 0 {
		t.Errorf("%d blocks were not what they should be", n)
	}
	// On a starved machine a thread may be stopped for so long, with one of our locks in its hands, that others give up.
	// That is counted; but for it, the profile is right to the byte.
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	lost := int64(stats.Lost.SamplesLockBusy + stats.Lost.FreesLockBusy)
	objects, bytes := Live()
	p := heap.Now(t)
	if lost == 0 {
		p.Expect(t, objects, bytes, "stress_churn")
	} else if off := p.Sum("stress_churn").InUseObjects - objects; max(off, -off) > lost {
		t.Errorf("%d objects too many, and only %d events were lost", off, lost)
	}
	got := p.Sum("stress_churn")
	t.Logf("%d allocations, %d snapshots, %d libraries, %d blocks live", got.AllocObjects, snapshots, 10*rounds, objects)
	if objects < 1000 || snapshots < 3 || rounds < 3 || got.AllocObjects < 100_000 {
		t.Error("that was no stress")
	}
	FreeAll()
	if lost == 0 {
		heap.Now(t).Expect(t, 0, 0, "stress_churn")
		heap.ExpectWhole(t)
	}
}
