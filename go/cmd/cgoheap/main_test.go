package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

func TestCflagsNamesTheFolderOfTheHeader(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"cflags"}, &out); err != nil {
		t.Fatal(err)
	}
	folder, isFlag := strings.CutPrefix(strings.TrimSpace(out.String()), "-I")
	if !isFlag {
		t.Fatalf("%q", out.String())
	}
	if _, err := os.Stat(filepath.Join(folder, "cgoheap.h")); err != nil {
		t.Error(err)
	}
}

func TestLibsNamesTheArchiveOfThisPlatform(t *testing.T) {
	if !capi.Supported {
		t.Skip("this program has no archive")
	}
	var out bytes.Buffer
	err := run([]string{"libs"}, &out)
	path, rest, _ := strings.Cut(out.String(), " ")
	if _, statErr := os.Stat(path); err != nil || statErr != nil || rest != "-lpthread -ldl -lm\n" {
		t.Errorf("%v, %v, %q", err, statErr, &out)
	}
}

func TestCopyOfTheHeaderStandsAlone(t *testing.T) {
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip(err)
	}
	folder := filepath.Join(t.TempDir(), "new", "folder")
	for range 2 { // again, over its own files
		if err := run([]string{"header", folder}, nil); err != nil {
			t.Fatal(err)
		}
	}
	source := filepath.Join(folder, "test.cpp")
	program := "#include <cstdlib>\n#include <cmath>\n#include <string.h>\nvoid *f() { return malloc(1); }\n"
	if err := os.WriteFile(source, []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(compiler, "-I"+folder, "-include", "cgoheap.h", "-S", "-o", "-", source).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "cgoheap_malloc_at") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestForeignHeaderIsNotOverwritten(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "stdlib.h")
	if err := os.WriteFile(path, []byte("/* mine */\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"header", folder}, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "/* mine */\n" {
		t.Errorf("now %q", content)
	}
}

func TestAnythingElseShowsTheUsage(t *testing.T) {
	for _, arguments := range [][]string{nil, {"header"}, {"cflags", "x"}, {"help"}} {
		if err := run(arguments, nil); err == nil || err.Error() != usage {
			t.Errorf("%q: %v", arguments, err)
		}
	}
}

// module writes a module with these files, beside this one, and returns how to run the go command in it.
func module(t *testing.T, files map[string]string) (folder string, run func(env []string, arguments ...string) (string, error)) {
	t.Helper()
	if !capi.Supported {
		t.Skip("needs the C side")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	files["go.mod"] = "module example.com/program\ngo 1.25\nrequire github.com/cgoheap/cgoheap v0.0.0\n" +
		"replace github.com/cgoheap/cgoheap => " + root + "\n"
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder, func(env []string, arguments ...string) (string, error) {
		command := exec.Command("go", arguments...)
		command.Dir, command.Env = folder, append(os.Environ(), env...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
}

const withoutCgoheap = `package main

// #include <stdlib.h>
// static void *allocate(void) { return malloc(1000); }
import "C"
import "net"

func main() {
	net.LookupHost("localhost") // package net calls C as well
	C.free(C.allocate())
	C.free(C.CBytes([]byte("bytes")))
	println("done")
}
`

const withCgoheap = `package main

// #define _GNU_SOURCE
// #include <stdio.h>
// #include <stdlib.h>
// static void *allocate(void) { return malloc(1000); }
// static void *print(void) { char *text; return asprintf(&text, "%d", 5) > 0 ? text : NULL; }
import "C"
import (
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func main() {
	cgoheap.SetRate(1)
	C.free(C.allocate())
	C.allocate()
	C.print()
	C.CString("forgotten")
	if err := cgoheap.WriteHeapProfile(os.Stdout); err != nil {
		panic(err)
	}
}
`

func TestHeaderForAWholeBuildLeavesOtherProgramsAlone(t *testing.T) {
	var flag bytes.Buffer
	if err := run([]string{"cflags"}, &flag); err != nil {
		t.Fatal(err)
	}
	env := []string{"CGO_CPPFLAGS=" + strings.TrimSpace(flag.String()) + " -include cgoheap.h -DCGOHEAP_OPTIONAL"}
	for _, mode := range [][]string{{"-ldflags=-linkmode=internal"}, {"-ldflags=-linkmode=external"}, {"-buildmode=pie"}} {
		_, run := module(t, map[string]string{"main.go": withoutCgoheap})
		if out, err := run(env, append(append([]string{"run"}, mode...), ".")...); err != nil || out != "done\n" {
			t.Errorf("%v: %v\n%s", mode, err, out)
		}
	}
	_, run := module(t, map[string]string{"main.go": withCgoheap})
	out, err := run(env, "run", ".")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, err := profiledata.Decode([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	for leaf, want := range map[string]profiledata.Values{
		"allocate":  {AllocObjects: 2, AllocSpace: 2000, InuseObjects: 1, InuseSpace: 1000},
		"print":     {AllocObjects: 1, AllocSpace: 2, InuseObjects: 1, InuseSpace: 2},
		"C.CString": {AllocObjects: 1, AllocSpace: 10, InuseObjects: 1, InuseSpace: 10},
	} {
		if got := p.Sum(profiledata.Leaf(leaf)); got != want {
			t.Errorf("%s: %+v, want %+v", leaf, got, want)
		}
	}
}

func TestHeaderThatIsNotFoundSaysHowToFindIt(t *testing.T) {
	source := strings.Replace(withCgoheap, "// #define", "// #cgo CPPFLAGS: -include ${SRCDIR}/cgoheap_find.h\n// #define", 1)
	folder, goCommand := module(t, map[string]string{"main.go": source})
	if err := run([]string{"find", folder}, nil); err != nil {
		t.Fatal(err)
	}
	const remedy = "export CGO_CPPFLAGS=$(go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags)"
	if out, err := goCommand(nil, "build", "."); err == nil || !strings.Contains(out, remedy) {
		t.Errorf("%v\n%s", err, out)
	}
	var flag bytes.Buffer
	if err := run([]string{"cflags"}, &flag); err != nil {
		t.Fatal(err)
	}
	if out, err := goCommand([]string{"CGO_CPPFLAGS=" + strings.TrimSpace(flag.String())}, "build", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

const allocates = `#include <stdlib.h>

#define NO_JUMP(block) __asm__ volatile("" : "+r"(block)) /* a call is no jump where something comes behind it */

__attribute__((noinline)) static void *inner(size_t size) {
	void *block = malloc(size);
	NO_JUMP(block);
	return block;
}

static inline __attribute__((always_inline)) void *inlined(size_t size) { return inner(size); }

void *outer(void) {
	void *block = inlined(700);
	NO_JUMP(block);
	return block;
}
`

const callsOuter = `package main

// void *outer(void);
import "C"
import (
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func main() {
	cgoheap.SetRate(1)
	func() { C.outer() }()
	cgoheap.SetRate(0)
	if err := cgoheap.WriteHeapProfile(os.Stdout); err != nil {
		panic(err)
	}
}
`

// stackOf returns the functions of the sample of 700 bytes, leaf first, with the lines of C.
func stackOf(t *testing.T, data []byte) (functions []string) {
	t.Helper()
	p, err := profiledata.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Samples {
		if s.Values[1] != 700 {
			continue
		}
		for _, f := range s.Stack {
			text := f.Function
			if strings.HasSuffix(f.File, ".c") {
				text += fmt.Sprint(":", f.Line)
			}
			functions = append(functions, text)
		}
	}
	return functions
}

func TestSymbolizeNamesBareAddressesAndKeepsOtherNames(t *testing.T) {
	objcopy, err := exec.LookPath("objcopy")
	if err != nil {
		t.Skip(err)
	}
	folder, goCommand := module(t, map[string]string{"main.go": callsOuter, "x.c": allocates})
	in := func(name string) string { return filepath.Join(folder, name) }
	t.Setenv("CGO_CFLAGS", "-O2 -g")
	if out, err := goCommand(nil, "build", "-o", "app", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := goCommand(nil, "build", "-ldflags=-X=main.x=other", "-gcflags=-N", "-o", "other", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, arguments := range [][]string{{"--only-keep-debug", in("app"), in("app.debug")}, {"--strip-all", in("app"), in("stripped")}} {
		if out, err := exec.Command(objcopy, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	data, err := exec.Command(in("stripped")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("c.pb.gz"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	goNames := []string{"C.outer", "main.main.func1", "main.main", "runtime.main", "runtime.goexit"}
	if bare := stackOf(t, data); len(bare) < 3 || bare[0] != "" || !slices.Contains(bare, "main.main.func1") {
		t.Fatalf("the stripped program's stack is %q", bare)
	}
	want := append([]string{"inner:6", "inlined:11", "outer:14"}, goNames...)
	for _, with := range []string{"app.debug", "app"} {
		var out bytes.Buffer
		if err := run([]string{"symbolize", "-with", in(with), in("c.pb.gz")}, &out); err != nil {
			t.Fatal(err)
		}
		named, err := os.ReadFile(in("c.named.pb.gz"))
		if err != nil {
			t.Fatal(err)
		}
		if got := stackOf(t, named); !slices.Equal(got[:min(len(got), len(want)-1)], want[:len(want)-1]) {
			t.Errorf("%s: %q, want %q", with, got, want)
		}
		// Another reader of the format agrees.
		text, err := exec.Command("go", "tool", "pprof", "-traces", in("c.named.pb.gz")).CombinedOutput()
		if err != nil || !regexp.MustCompile(`700B +inner\n +inlined \(inline\)\n +outer\n +C\.outer\n +main\.main\.func1`).Match(text) {
			t.Errorf("%s: %v\n%s", with, err, text)
		}
	}
	for with, problem := range map[string]string{
		"other":    "is of no object with bare addresses",
		"stripped": "has no names: it is stripped",
		"c.pb.gz":  "reading names: bad magic number",
		"none":     "no such file",
	} {
		err := run([]string{"symbolize", "-with", in(with), "-o", in("out"), in("c.pb.gz")}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v, want %q", with, err, problem)
		}
	}
	if err := run([]string{"symbolize", "-with", in("app"), in("app")}, io.Discard); err == nil || !strings.Contains(err.Error(), "is no profile") {
		t.Error(err)
	}
}
