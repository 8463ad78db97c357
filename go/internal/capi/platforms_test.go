package capi

import (
	"go/build/constraint"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Each platform has a folder in go/internal/lib, and everything else that docs/platforms.md lists for the Go side: a new one
// that is forgotten somewhere fails here.

// platforms returns the folders of archives, as linux_amd64.
func platforms(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("../lib/*_*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d platforms, %v", len(folders), err)
	}
	for i, folder := range folders {
		folders[i] = filepath.Base(folder)
	}
	return folders
}

func TestEachPlatformHasItsFiles(t *testing.T) {
	var names []string
	for _, platform := range platforms(t) {
		system, processor, _ := strings.Cut(platform, "_")
		names = append(names, system+"/"+processor)
		for _, path := range []string{
			"archive_" + platform + ".go",
			"../lib/" + platform + "/archive.go",
			"../lib/" + platform + "/doc.go",
			"../../interpose/entries_" + processor + ".h",
		} {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
	}
	if text := strings.Join(names, ", "); text != Platforms {
		t.Errorf("Platforms is %q, and there are archives for %q", Platforms, text)
	}
}

func TestBuildTagsKnowEachPlatform(t *testing.T) {
	files := 0
	for _, pattern := range []string{"*.[gc]*", "../../interpose/*.[gc]*", "../../../tests/ctest/*/*.[gc]*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(string(text), "\n")
			if !constraint.IsGoBuild(line) || strings.HasPrefix(filepath.Base(path), "archive_") {
				continue
			}
			expression, err := constraint.Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			// in says which builds have the file: the plain one, and the one with -tags cgoheap_wrap.
			in := func(system, processor string) (builds [2]bool) {
				for i := range builds {
					builds[i] = expression.Eval(func(tag string) bool {
						return tag == system || tag == processor || tag == "cgo" || tag == "cgoheap_wrap" && i == 1
					})
				}
				return builds
			}
			files++
			elsewhere := in("linux", "another")
			for _, platform := range platforms(t) {
				system, processor, _ := strings.Cut(platform, "_")
				if in(system, processor) == elsewhere {
					t.Errorf("%s: %s: the same on %s/%s as on a processor that cgoheap doesn't support", path, line, system, processor)
				}
			}
		}
	}
	if files < 10 {
		t.Errorf("only %d files with a build tag", files)
	}
}

// With musl the compiler's first error is ours, and names what to do.
func TestMuslIsRefusedWithWords(t *testing.T) {
	if host, err := exec.Command("go", "env", "GOHOSTARCH").Output(); err != nil || strings.TrimSpace(string(host)) != runtime.GOARCH {
		t.Skipf("musl-gcc is this machine's, %s, %v", host, err)
	}
	if _, err := exec.LookPath("musl-gcc"); err != nil {
		t.Skip("musl-gcc is not installed (Debian: musl-tools)")
	}
	build := exec.Command("go", "build", "-o", os.DevNull, ".")
	build.Env = append(os.Environ(), "CC=musl-gcc", "CGO_ENABLED=1")
	output, err := build.CombinedOutput()
	_, first, _ := strings.Cut(string(output), "error: ")
	if err == nil || !strings.HasPrefix(first, "#error") || !strings.Contains(first, "CGO_ENABLED=0") {
		t.Errorf("%v: %s", err, output)
	}
}
