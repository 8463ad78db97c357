package look

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

func TestNamesAreEscaped(t *testing.T) {
	evil := `std::vector<int>::push<script>alert(1)</script>"'&`
	rows := []stackRow{{InUse: 1, Growth: 1, Old: 1, Line: evil, Caller: evil, Frames: []string{evil}}}
	p := &page{Program: evil, Verdict: verdict.Verdict{Kind: verdict.Leak, Sentence: evil, Evidence: []string{evil}, Next: evil, Blind: []string{evil}}, Share: evil, TopCall: evil, Top: rows,
		Problems: []string{evil}, Large: []string{evil}, Last: evil, Coverage: evil, AgeQuery: "2m", Groups: groups,
		Stacks: stackTables{Largest: rows, Growing: rows, Old: rows, Since: time.Now()}, Series: chart{Titles: []string{evil}}}
	var out strings.Builder
	if err := pageTemplate.Execute(&out, p); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "vector<int>") {
		t.Errorf("a name has become markup: %s", text)
	}
	if got := strings.Count(text, "vector&lt;int&gt;"); got < 18 {
		t.Errorf("%d names are there", got)
	}
	if got := strings.Count(text, "<script"); got != 2 {
		t.Errorf("%d scripts", got)
	}
}

// C++ has names of a megabyte: lists show the beginning, and what a stack's link leads to the whole.
func TestLongNamesAreCut(t *testing.T) {
	long := "std::" + strings.Repeat("ä<int>", 150_000)
	f := profiledata.Frame{Function: long, File: "/src/tree.hpp", Line: 7}
	none := func(string) bool { return false }
	named, whole := verdictFrame(&f, none, longName)
	if whole || len([]rune(named.Text)) != longName+len(" tree.hpp:7") || !strings.HasSuffix(named.Text, "… tree.hpp:7") || len([]rune(named.Function)) != longName {
		t.Errorf("whole %v: %d letters, %.300s", whole, len([]rune(named.Text)), named.Text)
	}
	f.Function, f.File = strings.Repeat("x", longName), ""
	if named, whole := verdictFrame(&f, none, longName); !whole || named.Text != f.Function {
		t.Errorf("whole %v: %s", whole, named.Text)
	}
	rows := []stackRow{{ID: 41, InUse: 1, Line: "short"}, {ID: 42, InUse: 1, Line: named.Text, Long: true}}
	var out strings.Builder
	if err := pageTemplate.Execute(&out, &page{Stacks: stackTables{Largest: rows}}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, `href="stack?id=42"`) != 1 || strings.Contains(text, "stack?id=41") {
		t.Error("a link to the whole names belongs to the stack that has long ones")
	}
}

func TestShortCallsHaveOneElementOfThePath(t *testing.T) {
	for call, want := range map[string]string{
		"github.com/DataDog/zstd.(*Writer).Write.func1 zstd_stream.go:172": "zstd.(*Writer).Write.func1 zstd_stream.go:172",
		"main.load main.go:7": "main.load main.go:7", "example.com/a/b.Map[example.com/c/d.T] b.go:1": "b.Map[example.com/c/d.T] b.go:1",
		"example.com/a/b.(*List[c/d.T]).Add b.go:1": "b.(*List[c/d.T]).Add b.go:1", "": "",
	} {
		if got := shortCall(call); got != want {
			t.Errorf("%s: %s", call, got)
		}
	}
}

// The lists have what was asked for, the verdict what is resident of it: where both are shown it is said.
func TestGrowthOfStacksSaysWhatItCounts(t *testing.T) {
	e := &evaluated{Stacks: stackTables{Growing: []stackRow{{Growth: 300 << 20}}, Grown: 388 << 20}, Since: time.Now()}
	e.Kind, e.Growth = verdict.Leak, 176<<20
	if words := growthWords(e); !strings.Contains(words, "388 MiB in all stacks") || !strings.Contains(words, "resident") {
		t.Error(words)
	}
	e.Kind, e.Growth = verdict.Fine, 0
	if words := growthWords(e); !strings.Contains(words, "As asked for") || strings.Contains(words, "verdict") {
		t.Error(words)
	}
	if words := growthWords(&evaluated{}); words != "" {
		t.Error(words)
	}
}

// cgo makes a function literal of a call: the reader knows the function that the call stands in.
func TestCallsOfCAreNamedByTheirFunction(t *testing.T) {
	stack := []profiledata.Frame{{Function: "strdup"}, {Function: "C.leak", File: "main.go", Line: 5}, {Function: "main.handle.func1", File: "main.go", Line: 9},
		{Function: "main.handle", File: "main.go", Line: 9}, {Function: "main.main.func2", File: "main.go", Line: 20}, {Function: "main.main", File: "main.go", Line: 19}}
	var named []verdict.Frame
	for i := range stack {
		f, _ := verdictFrame(&stack[i], func(string) bool { return false }, longName)
		named = append(named, f)
	}
	joinLiterals(named, stack)
	for i, want := range []string{"strdup", "C.leak main.go:5", "main.handle main.go:9", "main.handle main.go:9", "main.main.func2 main.go:20", "main.main main.go:19"} {
		if named[i].Text != want {
			t.Errorf("frame %d is %s, want %s", i, named[i].Text, want)
		}
	}
}

func TestPartsOfNothingAreFolded(t *testing.T) {
	m := moment{RSS: 1 << 30}
	m.Resident[memory.GoLive], m.Resident[memory.CLive], m.Resident[memory.Own] = 1<<30-1<<20-1<<10, 1<<20, 1<<10
	lines, small := newLines(&m)
	if len(lines) != 2 || lines[0].Key != "go_live" || lines[1].Key != "c_live" || len(lines)+len(small) != int(memory.NParts) {
		t.Errorf("shown %v, folded %v", lines, small)
	}
	var sum uint64
	for _, l := range append(lines, small...) {
		sum += l.Bytes
	}
	if sum != m.RSS {
		t.Errorf("they add up to %d of %d", sum, m.RSS)
	}
}

func TestTopCallIsOfTheStacksShown(t *testing.T) {
	stack := func(bytes int64, caller string) stackRow {
		return stackRow{InUse: bytes, named: []verdict.Frame{{Function: "fill", Text: "fill x.c:1"}, {Function: caller, Text: caller + " main.go:2", Go: true, Own: true}}}
	}
	if got, want := topCall([]stackRow{stack(30<<20, "main.load"), stack(2<<20, "main.save")}), "The 2 largest C stacks hold 32.0 MiB: 94 % of it is below main.load main.go:2, allocated by fill x.c:1."; got != want {
		t.Errorf("%s instead of %s", got, want)
	}
	if got, want := topCall([]stackRow{stack(30<<20, "main.load")}), "The one C stack in use holds 30.0 MiB: 100 %"; !strings.HasPrefix(got, want) {
		t.Errorf("%s instead of %s", got, want)
	}
	if got := topCall(nil); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}

func TestOneActionAtATime(t *testing.T) {
	server.actions.busy.Lock()
	defer server.actions.busy.Unlock()
	answer := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "/gc", nil)
	request.Host = "localhost"
	Handler().ServeHTTP(answer, request)
	if capi.Supported && answer.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestOwnCodeIsToldFromLibraries(t *testing.T) {
	module := mainModule
	defer func() { mainModule = module }()
	mainModule = func() string { return "example.com/shop" }
	for function, want := range map[string]bool{"main.main": true, "example.com/shop.Sell": true, "example.com/shop/db.(*Conn).Query.func1": true,
		"example.com/shopping.List": false, "github.com/DataDog/zstd.(*Writer).Write": false, "net/http.(*conn).serve": false, "maintain.f": false} {
		if got := isOwn(&profiledata.Frame{Function: function}); got != want {
			t.Errorf("%s: %v", function, got)
		}
	}
}

func TestGoFramesAreToldFromPreambles(t *testing.T) {
	for _, test := range []struct {
		function, file string
		want           bool
	}{{"main.leak", "/src/main.go", true}, {"C.leak", "/src/main.go", false}, {"leak_in_preamble", "/src/main.go", false},
		{"leak", "/src/leak.c", false}, {"a.b", "", false}} {
		if got := isGo(&profiledata.Frame{Function: test.function, File: test.file}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
