package look

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

func TestNamesAreEscaped(t *testing.T) {
	evil := `std::vector<int>::push<script>alert(1)</script>"'&`
	rows := []stackRow{{InUse: 1, Growth: 1, Old: 1, Line: evil, Caller: evil, Frames: []string{evil}}}
	p := &page{Program: evil, Verdict: verdict.Verdict{Kind: verdict.Leak, Sentence: evil, Evidence: []string{evil}, Next: evil, Blind: []string{evil}}, Share: evil,
		Problems: []string{evil}, Large: []string{evil}, Last: evil, Coverage: evil, AgeQuery: "2m", Groups: groups,
		Stacks: stackTables{rows, rows, rows, time.Now()}, Series: chart{Titles: []string{evil}}}
	var out strings.Builder
	if err := pageTemplate.Execute(&out, p); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "vector<int>") {
		t.Errorf("a name has become markup: %s", text)
	}
	if got := strings.Count(text, "vector&lt;int&gt;"); got < 15 {
		t.Errorf("%d names are there", got)
	}
	if got := strings.Count(text, "<script"); got != 2 {
		t.Errorf("%d scripts", got)
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
