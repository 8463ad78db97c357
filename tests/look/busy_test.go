package look_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A service that is well and busy, looked at once a second: no verdict that something is wrong may be certain, and at most one look
// in fifty may find it likely. With CGOHEAP_LONG=1 it takes half an hour, and CGOHEAP_BUSY_TIME=1h asks for another time. With
// CGOHEAP_BUSY_LOG=FILE each look is written there.
func TestBusyServiceIsWell(t *testing.T) {
	t.Parallel()
	length := 75 * time.Second
	if os.Getenv("CGOHEAP_LONG") != "" {
		length = 30 * time.Minute
	}
	if text := os.Getenv("CGOHEAP_BUSY_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	var file *os.File
	if name := os.Getenv("CGOHEAP_BUSY_LOG"); name != "" {
		var err error
		if file, err = os.Create(name); err != nil {
			t.Fatal(err)
		}
		defer file.Close()
	}
	program, err := buildProgram("./busy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(program)) })
	url := serve(t, program, t.TempDir())
	verdicts, looks, likely := map[string]int{}, 0, 0
	begin := time.Now()
	for tick := time.NewTicker(time.Second); time.Since(begin) < length; <-tick.C {
		p := look(t, url)
		looks++
		verdicts[p.kind+", "+p.sure]++
		checkSum(t, p)
		if file != nil {
			fmt.Fprintf(file, "%.0f s\t%d MiB\t%s\t%s\t%s\t%v\n", time.Since(begin).Seconds(), p.parts["rss"]>>20, p.kind, p.sure, p.verdict, p.parts)
		}
		if p.kind == "nothing-unusual" || p.kind == "not-enough-history" {
			continue
		}
		switch p.sure {
		case "certain":
			t.Errorf("after %.0f s, certain: %s", time.Since(begin).Seconds(), p.verdict)
		case "likely":
			likely++
		}
	}
	for _, verdict := range slices.Sorted(maps.Keys(verdicts)) {
		t.Logf("%5d of %d looks: %s", verdicts[verdict], looks, verdict)
	}
	if likely > looks/50 {
		t.Errorf("%d of %d looks found something likely, at most one in fifty should", likely, looks)
	}
}
