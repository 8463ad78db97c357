package verdict

import (
	"strings"
	"testing"
)

// frames reads a stack, leaf first: "main.f" and "lib/pkg.F" are Go's, main's own; "!f" is an allocator, "[...]" the end of one
// that was cut, "libc:f" a function of libc, "f" another C function, "x.so+0x1" one without a name.
func frames(text string) (out []Frame) {
	for _, word := range strings.Fields(text) {
		f := Frame{Function: word, Text: word + ":1"}
		switch {
		case word[0] == '!':
			f.Function, f.Text, f.Allocator = word[1:], word[1:]+":1", true
		case word[0] == '[':
			f.Cut = true
			f.Function = strings.ReplaceAll(word, "_", " ")
		case strings.Contains(word, "+0x"):
			f.Function, f.Text = "", word
			f.Object, _, _ = strings.Cut(word, "+")
		case strings.HasPrefix(word, "libc:"):
			f.Function, f.Text, f.Object = word[5:], word[5:], "libc.so.6"
		case strings.Contains(word, ".") && !strings.HasPrefix(word, "C."):
			f.Go = true
			f.Own = strings.HasPrefix(word, "main.")
		}
		out = append(out, f)
	}
	return out
}

func stacksOf(lines ...any) (out []Stack) {
	for i := 0; i < len(lines); i += 2 {
		out = append(out, Stack{Bytes: int64(lines[i].(int)), Frames: frames(lines[i+1].(string))})
	}
	return out
}

func TestNameCall(t *testing.T) {
	for _, test := range []struct {
		name   string
		stacks []Stack
		want   string
	}{
		{"nothing", nil, ""},
		{"nothing grew", stacksOf(-5, "malloc main.f main.main"), ""},
		{"one", stacksOf(10, "leak main.f main.main"), "100 % of it is below main.f:1, allocated by leak:1."},
		{"a call of a library below", stacksOf(90, "!ZSTD_customMalloc ZSTD_createCCtx lib/zstd.NewWriter main.f main.main", 10, "parse main.g main.main"),
			"90 % of it is below main.f:1 -> lib/zstd.NewWriter:1, allocated by ZSTD_createCCtx:1."},
		{"many leaves of one call", stacksOf(30, "!new A lib/db.NewIterator main.handle main.main", 35, "!new B lib/db.Seek main.handle main.main",
			33, "!g_malloc D lib/db.Seek main.handle main.main", 2, "E main.other main.main"),
			"98 % of it is below main.handle:1, allocated by B:1 (35 %, and in other places)."},
		{"the innermost, not the outermost", stacksOf(50, "a main.deep main.middle main.outer main.main", 50, "b main.deep main.middle main.other main.main"),
			"100 % of it is below main.deep:1, allocated by a:1 (50 %, and in other places)."},
		{"through different ways", stacksOf(50, "a main.load lib/x.Do net/http.serve", 50, "a main.load main.worker runtime.goexit"),
			"100 % of it is below main.load:1, allocated by a:1."},
		{"recursion", stacksOf(50, "a main.walk main.walk main.walk main.main", 50, "a main.walk main.main"),
			"100 % of it is below main.walk:1, allocated by a:1."},
		{"two handlers", stacksOf(45, "a main.list net/http.serve", 40, "b main.get net/http.serve", 15, "c main.put net/http.serve"),
			"It is from several calls: 45 % of it is below main.list:1, allocated by a:1."},
		{"only in main", stacksOf(100, "a main.main"), "100 % of it is below main.main:1, allocated by a:1."},
		{"only a library", stacksOf(100, "a lib/worker.run runtime.goexit"), "100 % of it is below lib/worker.run:1, allocated by a:1."},
		{"no Go call", stacksOf(80, "!new worker start_thread", 20, "b start_thread"), "80 % of it is allocated by worker:1, in stacks without a Go call."},
		{"a leaf without a name", stacksOf(100, "libx.so+0x10 libx.so+0x20 x_open main.f main.main"), "100 % of it is below main.f:1, allocated by x_open:1."},
		{"inside libc", stacksOf(100, "libc:_IO_file_doallocate libc:_IO_file_xsgetn libc:fread pcap_open main.f main.main"), "100 % of it is below main.f:1, allocated by fread."},
		{"libc's function for Go", stacksOf(100, "libc.so.6+0x10 libc:getaddrinfo C.getaddrinfo main.f main.main"), "100 % of it is below main.f:1, allocated by getaddrinfo."},
		{"no names at all", stacksOf(100, "libx.so+0x10 libx.so+0x20"), "100 % of it is allocated by libx.so+0x10, in stacks without a Go call."},
		{"nothing but allocators", stacksOf(100, "!xmalloc main.f main.main"), "100 % of it is below main.f:1, allocated by xmalloc:1."},
	} {
		if got := NameCall(test.stacks); got != test.want {
			t.Errorf("%s:\n     %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestCutWords(t *testing.T) {
	if got := CutWords(stacksOf(95, "a main.f main.main", 5, "b [stack_cut:_no_unwind_table]"), "these bytes"); got != "" {
		t.Error(got)
	}
	got := CutWords(stacksOf(40, "a b [stack_cut:_no_unwind_table]", 50, "libv8.so+0x1 [stack_cut:_no_unwind_table]", 10, "a main.f"), "these bytes")
	want := "90 % of these bytes have stacks that end early (stack cut: no unwind table), mostly in libv8.so+0x1: the Go call above is not known"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
