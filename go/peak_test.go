package cgoheap_test

import (
	"io"
	"net/http/httptest"
	"testing"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

func fetchProfile(t *testing.T, query string) *profiledata.Profile {
	t.Helper()
	answer := httptest.NewRecorder()
	cgoheap.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/debug/pprof/cgoheap?"+query, nil))
	data, _ := io.ReadAll(answer.Body)
	if answer.Code != 200 {
		t.Fatalf("%s: %d %s", query, answer.Code, data)
	}
	return decode(t, data)
}

// A burst that is over: most of it freed, something else allocated since.
func TestPeakShowsWhatIsGone(t *testing.T) {
	rate := cgoheap.Rate()
	cgoheap.SetRate(1)
	defer cgoheap.SetRate(rate)
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	// So high that it is a new peak whatever ran before.
	size := int(s.PeakBytes) + 1<<20
	kept, burst := plain.One(size), plain.Other(3*size)
	before := time.Now()
	plain.Free(burst)
	later := plain.InPreamble(size)
	defer plain.Free(kept)
	defer plain.Free(later)

	p := fetchProfile(t, "peak=1")
	for function, want := range map[string]int64{"plain_block": int64(size), "plain_other_block": int64(3 * size), "plain_in_preamble": 0} {
		if got := p.Sum(profiledata.Leaf(function)); got.InuseSpace != want || got.AllocSpace != want {
			t.Errorf("%s: %+v at the peak, want %d", function, got, want)
		}
	}
	cgoheap.ReadStats(&s)
	if at := time.Unix(0, p.TimeNanos); at.After(before.Add(time.Second)) || at.Before(before.Add(-10*time.Second)) || !at.Equal(s.PeakTime) {
		t.Errorf("the peak was at %v, says the profile; at %v, say the stats; before %v", at, s.PeakTime, before)
	}
	if s.PeakBytes < uint64(4*size) {
		t.Errorf("peak of %d bytes", s.PeakBytes)
	}
	if now := fetchProfile(t, "").Sum(profiledata.Leaf("plain_other_block")); now.InuseSpace != 0 {
		t.Errorf("now: %+v", now)
	}
}
