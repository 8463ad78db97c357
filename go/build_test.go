package cgoheap_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// How the module builds in the hands of others: vendored, without its archive, with a new one and with an old one.

const archiveFolder = "go/internal/lib/" + runtime.GOOS + "_" + runtime.GOARCH

// writeFiles writes a small module and returns its folder.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// run runs a command in a folder and returns what it printed.
func run(folder string, command ...string) (string, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Dir = folder
	c.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, folder string, command ...string) string {
	t.Helper()
	out, err := run(folder, command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// copyOfModule copies what a user of the module gets.
func copyOfModule(t *testing.T) string {
	t.Helper()
	folder := writeFiles(t, nil)
	for _, part := range []string{"go", "include"} {
		if err := os.CopyFS(filepath.Join(folder, part), os.DirFS(filepath.Join("..", part))); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	return folder
}

// userProgram is a program that uses the module in the given folder.
func userProgram(t *testing.T, module, include string) string {
	t.Helper()
	return writeFiles(t, map[string]string{
		"go.mod": "module example.com/user\n\ngo 1.25\n\nrequire github.com/cgoheap/cgoheap v0.0.0\n\n" +
			"replace github.com/cgoheap/cgoheap => " + module + "\n",
		"main.go": `package main

// #cgo CFLAGS: -I` + include + ` -include cgoheap.h
// #include <stdlib.h>
import "C"

import (
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func main() {
	cgoheap.SetRate(1)
	leak()
	cgoheap.WriteHeapProfile(os.Stdout)
}

func leak() { C.CString("never freed") }
`})
}

func TestVendoredCopyBuildsAndRuns(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	user := userProgram(t, root, "${SRCDIR}/vendor/github.com/cgoheap/cgoheap/include")
	mustRun(t, user, "go", "mod", "vendor")
	mustRun(t, user, "go", "build", "-o", "program", ".")
	p := decode(t, []byte(mustRun(t, user, "./program")))
	stack := stackOf(t, p, func(*profiledata.Sample) bool { return true })
	if len(stack) < 2 || stack[0] != "C.CString main.go:19" || stack[1] != "main.leak main.go:19" {
		t.Errorf("the leak is shown as\n%s", dump([][]string{stack}))
	}
}

func TestHeaderInTheEnvironmentReachesEveryPackageButOurs(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	user := userProgram(t, root, filepath.Join(root, "include"))
	t.Setenv("CGO_CFLAGS", "-g -O2 -I"+filepath.Join(root, "include")+" -include cgoheap.h")
	mustRun(t, user, "go", "build", "-o", "program", ".")
	p := decode(t, []byte(mustRun(t, user, "./program")))
	stack := stackOf(t, p, func(*profiledata.Sample) bool { return true })
	if len(stack) < 2 || stack[0] != "C.CString main.go:19" || stack[1] != "main.leak main.go:19" {
		t.Errorf("the leak is shown as\n%s", dump([][]string{stack}))
	}
}

func TestBuildWithoutArchiveNamesTheCommandThatMakesIt(t *testing.T) {
	module := copyOfModule(t)
	for _, name := range []string{"digest.h", "libcgoheap.a"} {
		path := filepath.Join(module, archiveFolder, name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		out, err := run(module, "go", "build", "./go")
		if err == nil || !strings.Contains(out, "run 'make build' in the cgoheap repository") {
			t.Errorf("without %s: %v\n%s", name, err, out)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewArchiveIsNoticedByTheBuildCache(t *testing.T) {
	module := copyOfModule(t)
	compiled := func() string {
		return mustRun(t, module, "go", "list", "-export", "-f", "{{.Export}}", "./"+archiveFolder)
	}
	digest := filepath.Join(module, archiveFolder, "digest.h")
	before := compiled()
	if again := compiled(); again != before {
		t.Fatalf("compiled again without a change: %s, %s", before, again)
	}
	if err := os.WriteFile(digest, []byte("#define CGOHEAP_ARCHIVE_DIGEST \"another\"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if after := compiled(); after == before {
		t.Error("the same package for another archive")
	}
}

func TestArchiveOfAnotherContractFailsToLinkByName(t *testing.T) {
	module := copyOfModule(t)
	// An archive that lacks everything stands for one whose symbol has another number.
	folder := filepath.Join(module, archiveFolder)
	if err := os.WriteFile(filepath.Join(folder, "libcgoheap.a"), []byte("!<arch>\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	user := userProgram(t, module, filepath.Join(module, "include"))
	if out, err := run(user, "go", "build", "."); err == nil || !strings.Contains(out, "undefined reference to `cgoheap_abi_2'") {
		t.Errorf("%v\n%s", err, out)
	}
}
