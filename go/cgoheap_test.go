package cgoheap_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

// All tests run at rate 1 unless they say otherwise: numbers are exact then. Each looks at functions that no other test
// calls at the same time, or at differences.
//
// Without a C side there is nothing to see but unsupported_test.go.
func TestMain(m *testing.M) {
	if !capi.Supported {
		const only = "Unsupported"
		fmt.Printf("this program has no C side: of the tests only those with %s in their names are run\n", only)
		flag.Parse()
		if err := flag.Set("test.run", only); err != nil {
			panic(err)
		}
	}
	cgoheap.SetRate(1)
	os.Exit(m.Run())
}

// decode reads a profile that must be valid.
func decode(t *testing.T, data []byte) *profiledata.Profile {
	t.Helper()
	p, err := profiledata.Decode(data)
	if err != nil {
		t.Fatalf("profile of %d bytes: %v", len(data), err)
	}
	return p
}

// profile takes a profile.
func profile(t *testing.T) *profiledata.Profile {
	t.Helper()
	var b bytes.Buffer
	if err := cgoheap.WriteHeapProfile(&b); err != nil {
		t.Fatal(err)
	}
	return decode(t, b.Bytes())
}

// difference runs f and returns by how much the values of the samples that match have changed.
func difference(t *testing.T, match func(*profiledata.Sample) bool, f func()) profiledata.Values {
	t.Helper()
	before := profile(t).Sum(match)
	f()
	return profile(t).Sum(match).Sub(before)
}

func TestCountsAndBytesAreExactAtRateOne(t *testing.T) {
	var blocks []plain.Block
	got := difference(t, profiledata.Leaf("plain_block"), func() {
		for range 7 {
			blocks = append(blocks, plain.One(1009))
		}
		plain.Release(plain.One(13))
	})
	if want := (profiledata.Values{AllocObjects: 8, AllocSpace: 7*1009 + 13, InuseObjects: 7, InuseSpace: 7 * 1009}); got != want {
		t.Errorf("after 8 blocks and one free: %+v, want %+v", got, want)
	}
	got = difference(t, profiledata.Leaf("plain_block"), func() {
		for _, b := range blocks {
			plain.Release(b)
		}
	})
	if want := (profiledata.Values{InuseObjects: -7, InuseSpace: -7 * 1009}); got != want {
		t.Errorf("after freeing the rest: %+v, want %+v", got, want)
	}
}

func TestBlockMovedByReallocIsLiveOnce(t *testing.T) {
	var b plain.Block
	got := difference(t, profiledata.Leaf("plain_moved"), func() { b = plain.Moved(31, 100003) })
	if got.InuseObjects != 1 || got.InuseSpace != 100003 {
		t.Errorf("after malloc(31) and realloc to 100003: %+v", got)
	}
	got = difference(t, profiledata.Leaf("plain_moved"), func() { plain.Release(b) })
	if got.InuseObjects != -1 || got.InuseSpace != -100003 {
		t.Errorf("after free: %+v", got)
	}
}

func TestFreeInAnotherThreadIsSeen(t *testing.T) {
	got := difference(t, profiledata.Leaf("plain_other_block"), func() {
		made := make(chan plain.Block)
		freed := make(chan struct{})
		go onThread(func() { made <- plain.Other(4099) })
		go onThread(func() { plain.Release(<-made); close(freed) })
		<-freed
	})
	if want := (profiledata.Values{AllocObjects: 1, AllocSpace: 4099}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestProfileHasTheTypesOfGosHeapProfile(t *testing.T) {
	p := profile(t)
	want := "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
	if got := strings.Join(p.SampleTypes, " "); got != want {
		t.Errorf("sample types %q, want %q", got, want)
	}
	if p.DefaultSampleType != "inuse_space" || p.PeriodType != "space/bytes" || p.Period != 1 {
		t.Errorf("default %q, period %q %d", p.DefaultSampleType, p.PeriodType, p.Period)
	}
	if p.TimeNanos == 0 || p.DurationNanos != 0 {
		t.Errorf("time %d, duration %d; want a time and no duration", p.TimeNanos, p.DurationNanos)
	}
}

func TestRateIsWhatWasSet(t *testing.T) {
	defer cgoheap.SetRate(1)
	for _, test := range []struct{ set, want int }{
		{1, 1}, {4096, 4096}, {0, 0}, {-5, 0}, {1 << 40, 1 << 40}, {1<<62 + 1, 1 << 40},
	} {
		cgoheap.SetRate(test.set)
		var s cgoheap.Stats
		cgoheap.ReadStats(&s)
		if cgoheap.Rate() != test.want || s.Rate != test.want {
			t.Errorf("SetRate(%d): Rate %d, Stats.Rate %d, want %d", test.set, cgoheap.Rate(), s.Rate, test.want)
		}
	}
}

func TestNothingIsSampledAtRateZero(t *testing.T) {
	defer cgoheap.SetRate(1)
	got := difference(t, profiledata.Leaf("plain_block"), func() {
		cgoheap.SetRate(0)
		for range 100 {
			plain.Release(plain.One(1 << 20))
		}
	})
	if got != (profiledata.Values{}) {
		t.Errorf("sampled %+v at rate 0", got)
	}
}

func TestStatsFollowTheTables(t *testing.T) {
	var before, during, after cgoheap.Stats
	cgoheap.ReadStats(&before)
	b := plain.One(5003)
	cgoheap.ReadStats(&during)
	plain.Release(b)
	cgoheap.ReadStats(&after)
	if during.LiveBytes-before.LiveBytes != 5003 || during.LiveObjects-before.LiveObjects != 1 ||
		during.AllocBytes-before.AllocBytes != 5003 || during.AllocObjects-before.AllocObjects != 1 ||
		during.Samples-before.Samples != 1 || during.LiveSamples-before.LiveSamples != 1 {
		t.Errorf("one block of 5003 bytes:\n%+v\n%+v", before, during)
	}
	if after.LiveBytes != before.LiveBytes || after.LiveSamples != before.LiveSamples {
		t.Errorf("after free:\n%+v\n%+v", before, after)
	}
	if after.Stacks == 0 || after.OwnBytes == 0 {
		t.Errorf("no stacks or no memory of our own: %+v", after)
	}
	if !after.GoFrames || after.GoFramesProblem != "" || !after.Registered || after.RegisteredProblem != "" {
		t.Errorf("a check at start failed: %+v", after)
	}
}

func TestPprofServesTheProfile(t *testing.T) {
	p := pprof.Lookup("cgoheap")
	if p == nil {
		t.Fatal(`pprof.Lookup("cgoheap") is nil`)
	}
	b := plain.One(2003)
	defer plain.Release(b)
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	if p.Count() != int(s.LiveSamples) {
		t.Errorf("count %d, %d live samples", p.Count(), s.LiveSamples)
	}
	var proto bytes.Buffer
	if err := p.WriteTo(&proto, 0); err != nil {
		t.Fatal(err)
	}
	if got := decode(t, proto.Bytes()).Sum(profiledata.Leaf("plain_block")); got.InuseObjects < 1 {
		t.Errorf("the block is not in the profile: %+v", got)
	}
	for debug := 1; debug <= 2; debug++ {
		var text bytes.Buffer
		if err := p.WriteTo(&text, debug); err != nil {
			t.Fatal(err)
		}
		if s := text.String(); !strings.HasPrefix(s, "heap profile: ") || !strings.Contains(s, "plain_block") {
			t.Errorf("debug=%d: %.200q", debug, s)
		}
	}
}

// brokenWriter fails.
type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestErrorsOfTheWriterAreReturned(t *testing.T) {
	if err := cgoheap.WriteHeapProfile(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func TestErrUnsupportedIsTheStandardOne(t *testing.T) {
	if !errors.Is(cgoheap.ErrUnsupported, errors.ErrUnsupported) {
		t.Errorf("%v", cgoheap.ErrUnsupported)
	}
}
