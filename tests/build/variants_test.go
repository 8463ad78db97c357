//go:build linux

package build

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var variantsSource = filepath.Join(root, "tests/build/programs/variants")

// What cgoheap.Interpose is in a row: the program's argument -state.
const (
	whole = "-state=1" // every malloc of the process
	wrap  = "-state=2" // by the linker's --wrap: what is linked statically; not a library's calls, nor libc's own
	aside = "-state=3" // malloc is somebody else's
	off   = "-state=0"
)

const jemallocArchive = "CGO_LDFLAGS=-l:libjemalloc.a -lstdc++ -lm -lpthread -ldl"

// variantsRows are the ways of capturing the whole process. The program is built with env and flags and run with arguments, which say
// what must be in its profile and what must not.
var variantsRows = []struct {
	name      string
	env       []string
	flags     []string
	arguments []string
	run       func(b *box, arguments []string) // if it isn't built and run as usual
}{
	{name: "plain"},
	{name: "stripped", flags: []string{"-ldflags=-s -w"}, arguments: []string{"-stripped"}},
	{name: "trimpath", flags: []string{"-trimpath"}},
	{name: "pie", flags: []string{"-buildmode=pie"}},
	{name: "race", flags: []string{"-race"}},
	{name: "vendored", run: variantsVendored},
	{name: "header", flags: []string{"-tags=header"}},
	{name: "header-pie", flags: []string{"-tags=header,pie", "-buildmode=pie", "-trimpath", "-ldflags=-s -w"}, arguments: []string{"-stripped"}},
	{name: "wrap", flags: []string{"-tags=cgoheap_wrap"}, arguments: []string{wrap, "-unseen=cpp,library,libc"}},
	{name: "wrap-header", flags: []string{"-tags=cgoheap_wrap,header"}, arguments: []string{wrap, "-unseen=cpp,library,libc"}},
	{name: "wrap-libstdc++", env: []string{"CGO_LDFLAGS=-static-libstdc++ -static-libgcc"}, flags: []string{"-tags=cgoheap_wrap"},
		arguments: []string{wrap, "-unseen=library,libc"}},

	// The sanitizer owns malloc.
	{name: "asan", arguments: []string{off, "-seen=none"}, run: variantsAsan()},
	{name: "asan-header", arguments: []string{off, "-seen=header", "-any=mixed"}, run: variantsAsan("-tags=header")},

	// The program's own allocator, which it also calls by name.
	{name: "jemalloc", env: []string{jemallocArchive}, flags: []string{"-tags=jemalloc"}, arguments: []string{aside, "-seen=none"}},
	{name: "jemalloc-header", env: []string{jemallocArchive}, flags: []string{"-tags=jemalloc,header"},
		arguments: []string{aside, "-seen=header", "-any=mixed"}},
	{name: "jemalloc-wrap", env: []string{jemallocArchive}, flags: []string{"-tags=jemalloc,cgoheap_wrap,header"},
		arguments: []string{wrap, "-unseen=cpp,library,libc"}},
	{name: "jemalloc-shared", env: []string{"CGO_LDFLAGS=-ljemalloc"}, flags: []string{"-tags=jemalloc,header"},
		arguments: []string{whole, "-unseen=cpp"}},

	{name: "static", flags: []string{"-ldflags=-linkmode=external -extldflags=-static"}, arguments: []string{aside, "-seen=none"}},
	{name: "static-wrap", flags: []string{"-tags=cgoheap_wrap", "-ldflags=-linkmode=external -extldflags=-static"},
		arguments: []string{wrap, "-unseen=library"}},
	{name: "c-shared-opened", arguments: []string{aside, "-seen=none"}, run: variantsOpened},
	{name: "c-shared-linked", arguments: []string{whole}, run: variantsLinked},

	// The preloaded allocator stays the backing allocator. Its operator new doesn't call malloc.
	{name: "preload-jemalloc", arguments: []string{whole, "-unseen=cpp"}, run: variantsPreload("libjemalloc.so.2:libjemalloc2")},
	{name: "preload-tcmalloc", arguments: []string{whole, "-unseen=cpp"}, run: variantsPreload("libtcmalloc_minimal.so.4:libtcmalloc-minimal4")},
	{name: "preload-mimalloc", arguments: []string{whole, "-unseen=cpp"}, run: variantsPreload("libmimalloc.so.2:libmimalloc2.0")},
	{name: "preload-libc-debug", arguments: []string{whole}, run: variantsPreload("libc_malloc_debug.so.0:libc6")},
}

// TestVariants builds programs/variants in each way, runs it, and lets it check its own profile. Its line says what ReadStats says.
func TestVariants(t *testing.T) {
	for _, row := range variantsRows {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			b.set("CGOHEAP=rate=1", "ASAN_OPTIONS=detect_leaks=0") // the program's leaks are meant
			for _, flag := range append(row.flags, row.env...) {
				if strings.Contains(flag, "jemalloc") {
					b.need("libjemalloc.a:libjemalloc-dev")
				}
			}
			b.set(row.env...)
			b.run(variantsSource, "gcc", "-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-s", "-o", b.path("libplugin.so"), "plugin/plugin.c")
			arguments := append([]string{"-plugin", b.path("libplugin.so")}, row.arguments...)
			if row.run != nil {
				row.run(b, arguments)
				return
			}
			b.variant(variantsSource, row.flags...)
			b.variantRuns(append([]string{b.path("program")}, arguments...)...)
		})
	}
}

// variant builds the program out of a folder with these flags of go build.
func (b *box) variant(source string, flags ...string) {
	b.Helper()
	b.run(source, append(append([]string{"go", "build"}, flags...), "-o", b.path("program"), ".")...)
}

// variantRuns runs the program, which fails if anything is wrong, and takes the words of the row's line from what it says.
func (b *box) variantRuns(command ...string) {
	b.Helper()
	said := regexp.MustCompile(`(?m)^stats: (.*); [0-9]* samples`).FindStringSubmatch(b.run("", command...))
	if said == nil {
		b.Fatal("the program did not say what ReadStats says")
	}
	b.words = said[1]
}

// variantsVendored builds it from a vendor folder: what a user has downloaded is gone by then.
func variantsVendored(b *box, arguments []string) {
	const source = "tests/build/programs/variants"
	b.copy(b.dir, "go.mod", "go", "include", source)
	b.run(b.path(source), "go", "mod", "vendor")
	b.run("", "rm", "-r", "go", "include")
	b.variant(b.path(source), "-mod=vendor")
	b.variantRuns(append([]string{b.path("program")}, arguments...)...)
}

// variantsAsan builds with AddressSanitizer and checks that it was really there.
func variantsAsan(flags ...string) func(*box, []string) {
	return func(b *box, arguments []string) {
		b.variant(variantsSource, append(flags, "-asan")...)
		b.variantRuns(append([]string{b.path("program")}, arguments...)...)
		if !strings.Contains(b.run("", "readelf", "-sW", b.path("program")), "__asan_init") {
			b.Error("built without the sanitizer")
		}
	}
}

// variantsLibrary builds the program as a C library, and a C program that has it.
func (b *box) variantsLibrary(flags ...string) {
	b.Helper()
	b.run(variantsSource, "go", "build", "-buildmode=c-shared", "-o", b.path("libvariants.so"), ".")
	b.run(variantsSource, append(append([]string{"gcc", "-O2", "-o", b.path("host"), "host/host.c"}, flags...), "-ldl")...)
}

func variantsOpened(b *box, arguments []string) {
	b.variantsLibrary()
	b.variantRuns(append([]string{b.path("host"), b.path("libvariants.so")}, arguments...)...)
}

func variantsLinked(b *box, arguments []string) {
	b.variantsLibrary("-DLINKED", b.path("libvariants.so"), "-Wl,-rpath,"+b.dir)
	b.variantRuns(append([]string{b.path("host"), "-"}, arguments...)...)
}

// variantsPreload runs the program with a library preloaded, given as LIBRARY:PACKAGE.
func variantsPreload(library string) func(*box, []string) {
	return func(b *box, arguments []string) {
		b.need(library)
		name, _, _ := strings.Cut(library, ":")
		file := strings.TrimSpace(b.run("", "gcc", "-print-file-name="+name))
		b.variant(variantsSource)
		b.variantRuns(append([]string{"env", "LD_PRELOAD=" + file, b.path("program")}, arguments...)...)
	}
}
