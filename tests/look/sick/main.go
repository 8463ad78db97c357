// Sick is a program with a disease of the memory: the first argument says which. It serves the page on a port of its own, which
// it prints, and works until it is ended.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/DataDog/zstd"
	sitter "github.com/smacker/go-tree-sitter"
	"github.com/smacker/go-tree-sitter/golang"

	_ "github.com/cgoheap/cgoheap/go/interpose"
	"github.com/cgoheap/cgoheap/go/look"
	_ "github.com/cgoheap/cgoheap/go/look/register"
	"github.com/cgoheap/cgoheap/tests/look/sick/cmem"
)

var diseases = map[string]func(){
	"healthy":       func() { forever(work) },
	"zstd":          func() { cache = cmem.Fill(16_000); forever(compress) },
	"tree-sitter":   parse,
	"fragmentation": fragment,
	"go-heap":       func() { forever(remember) },
	"goroutines":    func() { forever(wait) },
	"mmap":          func() { forever(mapMore) },
	"file":          func() { forever(mapFile) },
	"churn":         churn,
	"blocked":       block,
}

func main() {
	disease, ok := diseases[os.Args[1]]
	if !ok {
		fmt.Fprintf(os.Stderr, "no disease %q\n", os.Args[1])
		os.Exit(2)
	}
	look.SetInterval(100 * time.Millisecond)
	address := "127.0.0.1:0"
	if len(os.Args) > 2 {
		address = os.Args[2]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go disease()
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}

// forever does it again and again, with what any program does beside it.
func forever(do func()) {
	for {
		do()
		work()
		time.Sleep(20 * time.Millisecond)
	}
}

var sink []byte

// cache is C memory in use that doesn't grow, as most programs have it.
var cache cmem.Blocks

// work makes garbage in Go and in C, all of it soon free.
func work() {
	for range 16 {
		sink = make([]byte, 64<<10)
	}
	b := cmem.Fill(100)
	b.Empty(1 << 30)
}

var text = []byte(strings.Repeat("some text to compress, ", 3000))

// compress leaks: a writer that is not closed keeps its C memory.
//
//go:noinline
func compress() {
	time.Sleep(50 * time.Millisecond)
	w := zstd.NewWriter(io.Discard)
	if _, err := w.Write(text); err != nil {
		panic(err)
	}
}

// parse leaves trees to the garbage collector, which sees no reason to run.
func parse() {
	source, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src/reflect/value.go"))
	if err != nil {
		panic(err)
	}
	parser := sitter.NewParser()
	parser.SetLanguage(golang.GetLanguage())
	for range 40 {
		if _, err := parser.ParseCtx(context.Background(), nil, source); err != nil {
			panic(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Hour)
}

// fragment fills and empties a cache, and is well from then on.
func fragment() {
	time.Sleep(time.Second)
	cmem.Fill(150_000).Empty(200)
	forever(work)
}

var table = map[int][]byte{}

// remember keeps Go memory for good.
func remember() {
	for range 16 {
		table[len(table)] = append(make([]byte, 0, 32<<10), text[:32<<10]...)
	}
}

// wait leaves goroutines behind that wait for what never comes.
func wait() {
	never := make(chan int)
	for range 200 {
		go func() { deep(3, never) }()
	}
}

//go:noinline
func deep(n int, never chan int) int {
	var room [500]byte
	if n > 0 {
		return deep(n-1, never) + int(room[n])
	}
	if never == nil {
		return int(room[1])
	}
	return <-never + int(room[0])
}

func mapMore() {
	if !cmem.Map(1 << 20) {
		panic("mmap")
	}
}

// churn is healthy, but never the same for two moments.
func churn() {
	if !cmem.Churn(8) {
		panic("threads")
	}
	forever(func() {
		work()
		for range 50 {
			go func() { deep(20, nil) }()
		}
	})
}

// handle has C memory that its finalizer frees.
type handle struct{ blocks cmem.Blocks }

// block is well but for a finalizer that waits for what never comes.
func block() {
	forget(func(*handle) { <-make(chan int) })
	forever(func() {
		for range 3 {
			forget(func(h *handle) { h.blocks.Empty(1 << 30) })
		}
	})
}

//go:noinline
func forget(finalizer func(*handle)) { runtime.SetFinalizer(&handle{cmem.Fill(100)}, finalizer) }

func mapFile() {
	if err := mapSome(1 << 20); err != nil {
		panic(err)
	}
}
