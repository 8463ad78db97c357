//go:build linux

package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// platformRows are the platforms beside this machine's own, each as far as one machine can try it. The rows old-glibc and arm64 are a part of the
// others, for a machine that happens to have the tools; the others fetch what they need, in make test-all.
var platformRows = []struct {
	name, words string
	run         func(*box)
}{
	{"old-glibc", "leaky-server, linked for glibc 2.17", func(b *box) {
		b.zig("x86_64-linux-gnu.2.17")
		b.leakyServer("TestInUseBytesOfEachLeakAreExact")
		if root, found := b.suite("bullseye"); found {
			b.words += ", and run on 2.31"
			b.leakyServer("TestInUseBytesOfEachLeakAreExact", inRoot, root)
		}
	}},
	{"glibc2.17-on-2.31", "linked for glibc 2.17, run on 2.31: leaky-server, the whole process captured, Go's tests", oldGlibc},
	{"glibc2.28", "leaky-server, linked for glibc 2.28", func(b *box) {
		b.download = true
		b.zig("x86_64-linux-gnu.2.28")
		b.leakyServer(".")
	}},
	{"glibc2.34", "leaky-server, linked for glibc 2.34", func(b *box) {
		b.download = true
		b.zig("x86_64-linux-gnu.2.34")
		b.leakyServer(".")
	}},
	{"arm64", "leaky-server on linux/arm64, by qemu", func(b *box) {
		b.arm64()
		b.leakyServer("TestInUseBytesOfEachLeakAreExact", onARM64...)
	}},
	{"arm64-ways", "linux/arm64: ways of building and capturing, signed return addresses", arm64Ways},
	{"arm64-go", "linux/arm64: leaky-server, Go's tests", func(b *box) {
		arm64Go(b)
		b.leakyServer(".", onARM64...)
	}},
}

// TestPlatforms builds programs for other platforms and runs them: leaky-server, whose leaks must be named by C line and Go caller,
// and more where a row says so.
func TestPlatforms(t *testing.T) {
	for _, row := range platformRows {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			b.words = row.words
			row.run(b)
		})
	}
}

// inRoot runs a command on another system in a folder.
var inRoot = filepath.Join(root, "scripts/in-root.sh")

func oldGlibc(b *box) {
	b.download = true
	b.zig("x86_64-linux-gnu.2.17")
	folder, found := b.suite("bullseye")
	if !found {
		b.skip("missing: a root of Debian 11, which debootstrap makes, as root")
	}
	b.shows(b.run("", inRoot, folder, "ldd", "--version"), "2.31")
	b.leakyServer(".", inRoot, folder)

	// What is linked for 2.17 refers to nothing newer but weakly.
	for line := range strings.Lines(b.run("", "readelf", "--dyn-syms", "-W", b.path("leaky-server"))) {
		for _, newer := range []string{"_dl_find_object", "mallinfo2", "reallocarray", "gettid", "renameat2"} {
			if strings.Contains(line, " "+newer) && !strings.Contains(line, " WEAK ") {
				b.Errorf("a strong reference: %s", line)
			}
		}
	}

	// The whole process captured, and a library that is opened: its frames too.
	source := filepath.Join(root, "tests/build/programs/variants")
	compiler := strings.Fields(b.get("CC"))
	b.run(source, append(compiler, "-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-s", "-o", b.path("libplugin.so"), "plugin/plugin.c")...)
	b.set("CGOHEAP=rate=1")
	plugin := []string{inRoot, folder, b.path("program"), "-plugin", b.path("libplugin.so")}
	for _, way := range []struct {
		flags, arguments []string
	}{
		{},
		{[]string{"-tags=header"}, nil},
		// zig links its C++ library statically, so operator new is seen.
		{[]string{"-tags=cgoheap_wrap"}, []string{wrap, "-unseen=library,libc"}},
	} {
		b.variant(source, way.flags...)
		b.run("", append(plugin, way.arguments...)...)
	}

	// Go's tests, but for those that build programs, for which there is no compiler there.
	b.set("CGOHEAP=")
	b.run(root, "go", "test", "-count=1", "-exec", inRoot+" "+folder, "-skip",
		"^Test(VendoredCopyBuildsAndRuns|HeaderInTheEnvironmentReachesEveryPackageButOurs|BuildWithoutArchiveNamesTheCommandThatMakesIt"+
			"|NewArchiveIsNoticedByTheBuildCache|ArchiveOfAnotherContractFailsToLinkByName)$",
		"./go", "./go/cgoheaptest", "./go/look", "./go/internal/...")
}

// leakyServer builds leaky-server with the box's compiler and has its tests run it, by the command that is given.
func (b *box) leakyServer(tests string, by ...string) {
	b.Helper()
	source := filepath.Join(root, "examples/leaky-server")
	b.run(source, "go", "build", "-o", b.path("leaky-server"), ".")
	command := append(by, b.path("leaky-server"))
	// The tests themselves are this machine's.
	b.run(source, "env", "-u", "CC", "-u", "CXX", "-u", "GOARCH", "LEAKY_SERVER="+strings.Join(command, " "),
		"go", "test", "-count=1", "-run", tests, ".")
}

// cache is a folder for what is fetched, once for all checkouts.
func (b *box) cache(name string) string {
	b.Helper()
	folder, err := os.UserCacheDir()
	b.check(err)
	return filepath.Join(folder, "cgoheap", name)
}

// zigVersion is of PyPI's package ziglang, a C compiler that brings the headers and symbols of every glibc.
const zigVersion = "0.17.1"

// zig makes the box's C compiler zig's, for a target as x86_64-linux-gnu.2.17. Where it isn't there and may not be fetched, the row is
// skipped.
func (b *box) zig(target string) {
	b.Helper()
	folder := b.cache("zig-" + zigVersion)
	python := filepath.Join(folder, "bin/python")
	ready := filepath.Join(folder, "ready")
	installs.Lock()
	defer installs.Unlock()
	if _, err := os.Stat(ready); err != nil {
		if !b.download {
			b.skip("missing: zig " + zigVersion + ", which make test-all fetches from PyPI")
		}
		b.check(os.RemoveAll(folder))
		if text, err := b.try("", "python3", "-m", "venv", folder); err != nil {
			b.skip("missing: python3 with venv: " + firstLine(text))
		}
		if text, err := b.try("", python, "-m", "pip", "install", "-q", "ziglang=="+zigVersion); err != nil {
			b.skip("missing: ziglang " + zigVersion + " of PyPI: " + firstLine(text))
		}
		b.write(ready, "")
	}
	b.set("CC="+python+" -m ziglang cc -target "+target, "CXX="+python+" -m ziglang c++ -target "+target)
}

// suite returns the folder with a release of Debian, made by debootstrap where that may be; false where there is none.
func (b *box) suite(name string) (folder string, found bool) {
	b.Helper()
	folder = b.cache("roots/" + name)
	ready := filepath.Join(folder, "ready")
	if os.Getuid() != 0 {
		return "", false // chroot and mount need root
	}
	if _, err := os.Stat(ready); err == nil {
		return folder, true
	}
	if !b.download {
		return "", false
	}
	b.need("debootstrap:debootstrap")
	installs.Lock()
	defer installs.Unlock()
	if _, err := os.Stat(ready); err == nil {
		return folder, true
	}
	b.check(os.MkdirAll(filepath.Dir(folder), 0o755))
	if text, err := b.try("", "debootstrap", "--variant=minbase", name, folder); err != nil {
		b.Log(text)
		return "", false
	}
	b.write(ready, "")
	return folder, true
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
