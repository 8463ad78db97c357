package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/capi"
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
