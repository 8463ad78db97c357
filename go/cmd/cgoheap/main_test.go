package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
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
	env := []string{"CGO_CPPFLAGS=" + strings.TrimSpace(flag.String()) + " -include cgoheap.h"}
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
