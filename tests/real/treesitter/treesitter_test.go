// tree-sitter: millions of small blocks, freed by finalizers.
package treesitter_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	sitter "github.com/smacker/go-tree-sitter"
	"github.com/smacker/go-tree-sitter/golang"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/tests/real/heap"
)

//go:noinline
func parseMany(t *testing.T, source []byte, n int) (trees []*sitter.Tree) {
	parser := sitter.NewParser()
	parser.SetLanguage(golang.GetLanguage())
	for range n {
		tree, err := parser.ParseCtx(context.Background(), nil, source)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	return trees
}

func fetch(t *testing.T, query string) heap.Profile {
	t.Helper()
	answer := httptest.NewRecorder()
	cgoheap.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/debug/pprof/cgoheap"+query, nil))
	if answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return heap.Parse(t, answer.Body.Bytes())
}

func TestTreesNeverClosedAreLiveUntilTheGarbageCollectorRuns(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src/reflect/value.go"))
	if err != nil {
		t.Fatal(err)
	}
	times := 10
	if os.Getenv("CGOHEAP_LONG") != "" {
		times = 200
	}
	trees := parseMany(t, source, times)
	p := fetch(t, "")
	live := p.Sum("ts_parser_parse", "(*Parser).ParseCtx", "parseMany")
	// A tree of this file has more nodes than the file has lines.
	if live.InUseObjects < int64(times)*4000 || live.AllocObjects <= live.InUseObjects {
		t.Errorf("%d trees: %+v", times, live)
	}
	t.Logf("%d trees: %+v", times, live)
	runtime.KeepAlive(trees)
	trees = nil

	fetch(t, "?gc=1").Expect(t, 0, 0, "parseMany")
	heap.ExpectWhole(t)
}
