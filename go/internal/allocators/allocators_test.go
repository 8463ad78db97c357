package allocators

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSymbols(t *testing.T) {
	for table, want := range map[string]string{
		"\x00malloc\x00malloc_stats\x00free\x00":                                         "",
		"\x00malloc_stats_print\x00":                                                     "jemalloc malloc_stats_print malloc_stats_print",
		"\x00duckdb_je_malloc\x00":                                                       "jemalloc duckdb_je_malloc duckdb_je_malloc_stats_print",
		"\x00_rjem_malloc_stats_print\x00":                                               "jemalloc _rjem_malloc_stats_print _rjem_malloc_stats_print",
		"\x00mi_malloc\x00":                                                              "mimalloc mi_malloc mi_stats_print",
		"\x00semi_malloc\x00":                                                            "", // another word
		"\x00mi_malloc_small\x00":                                                        "",
		"\x00_ZN2v87Isolate3NewERKNS0_12CreateParamsE\x00":                               "V8 _ZN2v87Isolate3NewERKNS0_12CreateParamsE v8::Isolate::GetHeapStatistics",
		strings.Repeat("\x00x", piece) + "\x00tc_malloc\x00":                             "tcmalloc tc_malloc MallocExtension",
		strings.Repeat("x", piece-5) + "\x00mi_malloc\x00y\x00":                          "mimalloc mi_malloc mi_stats_print",
		strings.Repeat("x", piece+overlap-5) + "\x00_ZN15partition_alloc3abcEv\x00y\x00": "PartitionAlloc _ZN15partition_alloc3abcEv",
	} {
		got := ""
		scan(strings.NewReader(table), func(symbol, name string, stats func(string) string) {
			if got == "" {
				got = name + " " + symbol + " " + stats(symbol)
			}
		})
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%.60q: %q, want %q", table, got, want)
		}
	}
}

// An allocator that is linked statically into a library is found by the library's own symbols.
func TestAllocatorInALibrary(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip(err)
	}
	library := filepath.Join(t.TempDir(), "libengine.so")
	compile := exec.Command(cc, "-shared", "-fPIC", "-o", library, "-x", "c", "-")
	compile.Stdin = strings.NewReader("static void *engine_je_malloc(unsigned long n) { static char room[1]; return room + n; }\nvoid *f(void) { return engine_je_malloc(0); }\n")
	if output, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	f := &finder{files: map[string]*file{}, left: mostBytes}
	for range 2 {
		got := f.find([]string{"/does/not/exist", library})
		if len(got) != 1 || got[0] != (Allocator{"jemalloc", "engine_je_malloc", library, "engine_je_malloc_stats_print"}) {
			t.Errorf("%+v", got)
		}
	}
	if got := f.find([]string{"/proc/self/exe"}); len(got) != 0 {
		t.Errorf("in this program: %+v", got)
	}
}
