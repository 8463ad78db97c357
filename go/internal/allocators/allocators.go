// Package allocators finds the allocators that a program contains beside glibc's, by the symbols of its loaded objects. What
// they hold is anonymous memory like any other for the kernel, so a reader must be told that they are there, and which call of
// theirs says what is in use.
package allocators

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Allocator is one that was found.
type Allocator struct {
	Name   string // as in "jemalloc"
	Symbol string // that it was recognised by
	Object string // path of the file that has it
	Stats  string // the call by which it tells what it holds
}

// known are symbols that only the allocator has. The name in the string table ends with what is here, or, where begins is set,
// begins with it.
var known = []struct {
	name, symbol string
	begins       bool
	stats        func(symbol string) string
}{
	{"jemalloc", "malloc_stats_print", false, func(symbol string) string { return symbol }},
	{"jemalloc", "je_malloc", false, func(symbol string) string { return symbol + "_stats_print" }},
	{"mimalloc", "mi_malloc", false, always("mi_stats_print")},
	{"tcmalloc", "tc_malloc", false, always("MallocExtension::instance()->GetStats (MallocExtension_GetStats in C)")},
	{"TCMalloc", "_ZN8tcmalloc15MallocExtension", true, always("tcmalloc::MallocExtension::GetStats")},
	{"V8", "_ZN2v87Isolate", true, always("v8::Isolate::GetHeapStatistics")},
	{"PartitionAlloc", "_ZN15partition_alloc", true, always("partition_alloc::PartitionRoot::DumpStats")},
	{"PartitionAlloc", "_ZN4base15partition_alloc", true, always("partition_alloc::PartitionRoot::DumpStats")},
	{"rpmalloc", "rpmalloc", false, always("rpmalloc_global_statistics")},
	{"snmalloc", "_ZN8snmalloc", true, always("snmalloc's print_alloc_stats")},
	{"Scudo", "__scudo_print_stats", false, always("__scudo_print_stats")},
	{"oneTBB's allocator", "scalable_malloc", false, always("scalable_allocation_command (TBBMALLOC_CLEAN_ALL_BUFFERS gives back what is free)")},
	{"AddressSanitizer", "__asan_init", false, always("__sanitizer_get_current_allocated_bytes")},
	{"LuaJIT", "luaJIT_setmode", false, always("lua_gc(L, LUA_GCCOUNT, 0)")},
	{"Python", "PyObject_Malloc", false, always("sys._debugmallocstats()")},
	{"a Java VM", "JNI_CreateJavaVM", false, always("jcmd PID VM.native_memory")},
}

func always(stats string) func(string) string { return func(string) string { return stats } }

const (
	// piece is how much of a string table is read at a time; overlap is the longest symbol that is recognised.
	piece   = 1 << 20
	overlap = 4 << 10
	// mostBytes bounds what is read of all objects.
	mostBytes = 512 << 20
)

// finder remembers what was found in each file.
type finder struct {
	mu    sync.Mutex // held while objects are read
	files map[string]*file
	left  int64 // of mostBytes
}

type file struct {
	size  int64
	time  time.Time
	found []Allocator
}

var process = &finder{files: map[string]*file{}, left: mostBytes}

// Find returns those that the objects contain. Each file is read once, as long as it stays as it was: 100 MB of symbols take
// some 0.1 s. It may be called from any goroutine.
func Find(objects []string) []Allocator { return process.find(objects) }

func (f *finder) find(objects []string) (all []Allocator) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range objects {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // replaced or deleted: its symbols can't be read any more
		}
		seen := f.files[path]
		if seen == nil || seen.size != info.Size() || !seen.time.Equal(info.ModTime()) {
			seen = &file{size: info.Size(), time: info.ModTime(), found: f.read(path)}
			f.files[path] = seen
		}
		for _, a := range seen.found {
			if !slices.ContainsFunc(all, func(b Allocator) bool { return a.Name == b.Name }) {
				all = append(all, a)
			}
		}
	}
	return all
}

// read looks through the string tables of the symbols of one object.
func (f *finder) read(path string) (found []Allocator) {
	object, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer object.Close()
	for _, section := range object.Sections {
		if section.Type != elf.SHT_STRTAB || section.Name != ".strtab" && section.Name != ".dynstr" || int64(section.FileSize) > f.left {
			continue
		}
		f.left -= int64(section.FileSize)
		scan(section.Open(), func(symbol, name string, stats func(string) string) {
			if !slices.ContainsFunc(found, func(a Allocator) bool { return a.Name == name }) {
				found = append(found, Allocator{Name: name, Symbol: symbol, Object: path, Stats: stats(symbol)})
			}
		})
	}
	return found
}

// scan calls found for each symbol in a string table that only an allocator has.
func scan(table io.Reader, found func(symbol, name string, stats func(string) string)) {
	room := make([]byte, 0, piece+overlap)
	for {
		n, err := io.ReadFull(table, room[len(room):cap(room)])
		room = room[:len(room)+n]
		for i := range known {
			k := &known[i]
			needle := append([]byte(k.symbol), 0)
			if k.begins {
				needle = append([]byte{0}, k.symbol...)
			}
			for from := 0; ; {
				at := bytes.Index(room[from:], needle)
				if at < 0 {
					break
				}
				at += from
				from = at + 1
				start, end := at, at+len(needle)-1
				if k.begins {
					start = at + 1
					if end = start + bytes.IndexByte(room[start:], 0); end < start {
						break // the rest comes with the next piece
					}
				} else if start = bytes.LastIndexByte(room[:at], 0) + 1; start < at && k.symbol[0] != '_' && room[at-1] != '_' {
					continue // another word that ends alike
				}
				found(string(room[start:end]), k.name, k.stats)
			}
		}
		if err != nil {
			return
		}
		keep := min(overlap, len(room))
		room = append(room[:0], room[len(room)-keep:]...)
	}
}
