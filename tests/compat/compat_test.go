// Package compat reads profiles that cgoheap wrote with google/pprof, the format's own parser.
//
// tests/profile.rs of the Rust crate writes them and runs this test; alone it has nothing to read and is skipped.
package compat

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// names of the profiles, each as .pb.gz and as .txt, with their totals in the order of the sample types.
var totals = map[string][4]int64{
	"first":      {20, 7294, 13, 7159},
	"later":      {24, 9334, 14, 9095},
	"difference": {5, 2049, 1, 1945},
	"gone":       {0, 0, -13, -7159},
	"empty":      {},
	"aged":       {40, 14588, 26, 14318},
}

func folder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("CGOHEAP_COMPAT_PROFILES")
	if folder == "" {
		t.Skip("CGOHEAP_COMPAT_PROFILES is not set: run `cargo test --test profile`")
	}
	return folder
}

func parse(t *testing.T, name string) *profile.Profile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder(t), name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.ParseData(data)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, data)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func total(p *profile.Profile) (sum [4]int64) {
	for _, s := range p.Sample {
		for i, v := range s.Value {
			sum[i] += v
		}
	}
	return sum
}

func sampleTypes(p *profile.Profile) (types []string) {
	for _, st := range p.SampleType {
		types = append(types, st.Type+"/"+st.Unit)
	}
	return types
}

func TestBothFormsAreValidAndHaveTheSameTotals(t *testing.T) {
	const want = "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
	for name, sum := range totals {
		for _, suffix := range []string{".pb.gz", ".txt"} {
			p := parse(t, name+suffix)
			if got := strings.Join(sampleTypes(p), " "); got != want {
				t.Errorf("%s%s: sample types %s", name, suffix, got)
			}
			if got := total(p); got != sum {
				t.Errorf("%s%s: totals %v, want %v", name, suffix, got, sum)
			}
			if p.PeriodType.Type != "space" || p.PeriodType.Unit != "bytes" {
				t.Errorf("%s%s: period type %v", name, suffix, p.PeriodType)
			}
		}
	}
}

func TestHeader(t *testing.T) {
	p := parse(t, "first.pb.gz")
	if p.DefaultSampleType != "inuse_space" || p.Period != 524288 {
		t.Errorf("default sample type %q, period %d", p.DefaultSampleType, p.Period)
	}
	if p.TimeNanos != 1_700_000_000_000_000_000 || p.DurationNanos != 0 {
		t.Errorf("time %d, duration %d", p.TimeNanos, p.DurationNanos)
	}
	if d := parse(t, "difference.pb.gz").DurationNanos; d != 1_000_000_000 {
		t.Errorf("duration of the difference: %d", d)
	}
	if len(p.Comments) == 0 {
		t.Error("no comments")
	}
}

// Parca refuses a profile whose ids have gaps.
func TestIDsRunFromOne(t *testing.T) {
	for name := range totals {
		p := parse(t, name+".pb.gz")
		for i, l := range p.Location {
			if l.ID != uint64(i+1) {
				t.Errorf("%s: location %d has id %d", name, i, l.ID)
			}
		}
		for i, f := range p.Function {
			if f.ID != uint64(i+1) {
				t.Errorf("%s: function %d has id %d", name, i, f.ID)
			}
		}
		for i, m := range p.Mapping {
			if m.ID != uint64(i+1) {
				t.Errorf("%s: mapping %d has id %d", name, i, m.ID)
			}
		}
	}
}

// Each stack is there once for each class of age.
func TestAgesAreLabels(t *testing.T) {
	p := parse(t, "aged.pb.gz")
	bytes := map[string]int64{}
	for _, s := range p.Sample {
		if len(s.Label["age"]) != 1 {
			t.Fatalf("%v", s.Label)
		}
		bytes[s.Label["age"][0]] += s.Value[3]
	}
	if len(bytes) != 2 || bytes["under 1m"] != 7159 || bytes["over 1h"] != 7159 {
		t.Errorf("%v", bytes)
	}
	for _, s := range parse(t, "first.pb.gz").Sample {
		if s.Label["age"] != nil {
			t.Errorf("%v, which nobody asked for", s.Label)
		}
	}
}

func TestMappings(t *testing.T) {
	type mapping struct {
		file, buildID string
		named         bool
	}
	var got []mapping
	for _, m := range parse(t, "first.pb.gz").Mapping {
		got = append(got, mapping{m.File, m.BuildID, m.HasFunctions})
	}
	want := []mapping{
		{"/nowhere/app", "abcd01", true},
		{"/nowhere/libdepot.so", "abcd02", true},
	}
	if len(got) != len(want) {
		t.Fatalf("mappings %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("mapping %d: %v, want %v", i+1, got[i], want[i])
		}
	}

	// The text lists each file once, and pprof finds each address in one of them.
	p := parse(t, "first.txt")
	if len(p.Mapping) != 2 || p.Mapping[0].File != "/nowhere/app" || p.Mapping[0].BuildID != "abcd01" {
		t.Errorf("mappings of the text: %v", p.Mapping)
	}
	for _, l := range p.Location {
		if l.Mapping == nil || l.Mapping.File == "" {
			t.Errorf("location %#x of the text has no mapping", l.Address)
		}
	}
}

// What only passes memory on is left out by pprof itself, with the profile's own pattern; what says something stays.
func TestPprofLeavesAllocatorsOut(t *testing.T) {
	for name, dropped := range map[string]bool{
		"operator new(unsigned long)": true, "xmalloc": true, "CRYPTO_zalloc": true, "ZSTD_customMalloc": true, "g_malloc0_n": true,
		"std::__new_allocator<char>::allocate(unsigned long, void const*)": true, "__rust_alloc": true,
		"strdup": false, "SSL_new": false, "leak_node": false, "std::function<void ()>::operator()() const": false,
	} {
		p := parse(t, "first.pb.gz")
		leaf := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
		p.Function = append(p.Function, leaf)
		at := &profile.Location{ID: uint64(len(p.Location) + 1), Address: 0x1234, Line: []profile.Line{{Function: leaf}}}
		p.Location = append(p.Location, at)
		changed := 0
		for _, s := range p.Sample {
			if len(s.Location) > 1 {
				s.Location = append([]*profile.Location{at}, s.Location...)
				changed++
			}
		}
		if err := p.RemoveUninteresting(); err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, s := range p.Sample {
			if len(s.Location) > 0 && s.Location[0] == at {
				left++
			}
		}
		if changed == 0 || dropped && left > 0 || !dropped && left != changed {
			t.Errorf("%s: %d of %d stacks still begin with it", name, left, changed)
		}
	}
}

func TestMergesWithGoHeapProfile(t *testing.T) {
	var buffer bytes.Buffer
	if err := pprof.WriteHeapProfile(&buffer); err != nil {
		t.Fatal(err)
	}
	heap, err := profile.Parse(&buffer)
	if err != nil {
		t.Fatal(err)
	}
	ours := parse(t, "first.pb.gz")
	// Go may have sampled nothing yet; then a merge of totals would show little.
	heap.Sample = append(heap.Sample, &profile.Sample{
		Location: heap.Location[:min(1, len(heap.Location))],
		Value:    []int64{1, 1000, 1, 1000},
	})
	want := total(heap)
	for i, v := range total(ours) {
		want[i] += v
	}
	merged, err := profile.Merge([]*profile.Profile{heap, ours})
	if err != nil {
		t.Fatal(err)
	}
	if err := merged.CheckValid(); err != nil {
		t.Fatal(err)
	}
	if got := total(merged); got != want {
		t.Errorf("totals %v, want %v", got, want)
	}
}

func TestGoToolPprof(t *testing.T) {
	dir := folder(t)
	tests := []struct {
		args string
		rows []string // each a line's fields, joined by single blanks
		not  string   // must not occur
	}{
		{"-top -unit=B first.pb.gz", []string{
			"7000B 97.78% 97.78% 7000B 97.78% pack (inline)",
			"80B 1.12% 98.90% 80B 1.12% C.CString (inline)",
			"0 0% 100% 7000B 97.78% main.leakInLibrary",
			"0 0% 100% 7080B 98.90% main.main",
			"0 0% 100% 7000B 97.78% depot::store(int)",
			"15B 0.21% 100% 15B 0.21% [no stack]",
			"0 0% 100% 64B 0.89% [stack cut: no unwind table]",
		}, "cgocall"},
		{"-top -sample_index=alloc_objects first.pb.gz", []string{
			"10 50.00% 50.00% 10 50.00% C.CString (inline)",
		}, "_cgo_"},
		{"-top -unit=B -lines first.pb.gz", []string{
			"7000B 97.78% 97.78% 7000B 97.78% pack /src/lib/pack.c:14 (inline)",
			"80B 1.12% 98.90% 80B 1.12% C.CString /src/main.go:7 (inline)",
			"0 0% 100% 80B 1.12% main.leakCString /src/main.go:7",
			"0 0% 100% 7000B 97.78% C.store /src/main.go:21",
			"0 0% 100% 7000B 97.78% fill /src/lib/pack.c:30",
		}, "_cgo_"},
		{"-traces -unit=B first.pb.gz", []string{
			"bytes: 1000B",
			"7000B pack (inline)",
			"C.store",
			"main.leakInLibrary",
			"80B C.CString (inline)",
		}, "cgocall"},
		{"-raw first.pb.gz", []string{
			"PeriodType: space bytes",
			"Period: 524288",
			"alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]",
		}, "_cgo_"},
		{"-comments first.pb.gz", []string{
			"sampling interval: 524288 bytes on average: values are estimates of requested sizes, already scaled up",
		}, ""},
		{"-top -unit=B -base first.pb.gz later.pb.gz", []string{
			"2000B 96.90% 96.90% 2000B 96.90% pack (inline)",
			"0 0% 93.80% -64B 3.10% [stack cut: no unwind table]",
		}, "C.CString"},
		{"-top -unit=B -diff_base first.pb.gz later.pb.gz", []string{
			"2000B 27.94% 27.94% 2000B 27.94% pack (inline)",
		}, "C.CString"},
		{"-top -unit=B difference.pb.gz", []string{
			"2000B 96.48% 96.48% 2000B 96.48% pack (inline)",
		}, "C.CString"},
		{"-raw first.txt", []string{
			"PeriodType: space bytes",
			"Period: 1",
			"7 7000 7 7000: 1 2 3 4 5",
			"10 200 4 80: 6 5",
		}, ""},
		{"-top -unit=B first.txt", []string{
			"7064B 98.67% 98.67% 7064B 98.67% [libdepot.so]",
			"80B 1.12% 99.79% 7144B 99.79% [app]",
		}, ""},
		{"-top -unit=B aged.pb.gz", []string{"14000B 97.78% 97.78% 14000B 97.78% pack (inline)"}, ""},
		{"-top -unit=B -tagfocus=age=over aged.pb.gz", []string{"7000B 48.89% 48.89% 7000B 48.89% pack (inline)"}, ""},
		{"-top -unit=B -base aged.pb.gz first.pb.gz", []string{"-7000B 32.59% 32.59% -7000B 32.59% pack (inline)"}, ""},
		{"-top empty.pb.gz", []string{"Showing nodes accounting for 0, 0% of 0 total"}, ""},
		{"-top empty.txt", []string{"Showing nodes accounting for 0, 0% of 0 total"}, ""},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			args := append([]string{"tool", "pprof", "-symbolize=none", "-nodefraction=0"}, strings.Fields(test.args)...)
			cmd := exec.Command("go", args...)
			cmd.Dir = dir
			// Keep out of the user's folder of fetched profiles and his settings.
			cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir(), "GOFLAGS=")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
			}
			rows := make(map[string]bool)
			for line := range strings.Lines(string(out)) {
				rows[strings.Join(strings.Fields(line), " ")] = true
			}
			for _, row := range test.rows {
				if !rows[row] {
					t.Errorf("no row %q in:\n%s", row, out)
				}
			}
			if test.not != "" && strings.Contains(string(out), test.not) {
				t.Errorf("%q must not show:\n%s", test.not, out)
			}
		})
	}
}
