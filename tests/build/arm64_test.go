//go:build linux

package build

import (
	"path/filepath"
	"strings"
)

// linux/arm64 on another machine, by qemu's emulation of a user's program. The order in which memory is seen is this machine's, so what
// only a processor with a weaker one shows isn't seen.

// onARM64 runs a program for arm64, with Debian's libraries.
var onARM64 = []string{"qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"}

// arm64 makes the box's compiler one for arm64, and builds the archive. Where the tools aren't there and may not be fetched, the row is
// skipped.
func (b *box) arm64() {
	b.Helper()
	const triple = "aarch64-unknown-linux-gnu"
	if b.download {
		b.need("qemu-aarch64-static:qemu-user-static", "aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu",
			"aarch64-linux-gnu-g++:g++-aarch64-linux-gnu", "/usr/aarch64-linux-gnu/include/stdlib.h:libc6-dev-arm64-cross")
	}
	const missing = "missing: %s, which make test-all installs"
	for _, tool := range []string{onARM64[0], "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"} {
		if b.look(tool) == tool {
			b.skip(strings.Replace(missing, "%s", tool, 1))
		}
	}
	installs.Lock()
	defer installs.Unlock()
	libraries := func() bool {
		found, err := filepath.Glob(strings.TrimSpace(b.run("", "rustc", "--print", "target-libdir", "--target", triple)) + "/libstd-*")
		return err == nil && len(found) > 0
	}
	if !libraries() {
		if !b.download {
			b.skip(strings.Replace(missing, "%s", "Rust's target "+triple, 1))
		}
		if text, err := b.try("", "rustup", "target", "add", triple); err != nil {
			b.skip("missing: Rust's target " + triple + ": " + firstLine(text))
		}
	}
	b.run(root, "env", "CGOHEAP_TARGET="+triple, "scripts/build-archive.sh")
	b.set("GOARCH=arm64", "CC=aarch64-linux-gnu-gcc", "CXX=aarch64-linux-gnu-g++")
}

// arm64Ways builds programs in the ways that users build theirs, with the header and with the whole process captured.
func arm64Ways(b *box) {
	b.download = true
	b.arm64()
	with := func(program string, arguments ...string) []string {
		return append(append(append([]string{}, onARM64...), b.path(program)), arguments...)
	}
	static := "-ldflags=-linkmode=external -extldflags=-static"
	for _, flags := range [][]string{
		nil,
		{"-buildmode=pie"},
		{"-trimpath", "-ldflags=-s -w"},
		{static},
		{"-buildmode=pie", "-ldflags=-linkmode=external -extldflags=-static-pie"},
	} {
		b.build(append(flags, "-o", b.path("program"), "./program")...)
		b.run("", with("program")...)
		b.elf(b.path("program")).needsNoLibgcc()
	}
	b.build("-buildmode=plugin", "-o", b.path("plugin.so"), "./plugin/plugin")
	b.build("-o", b.path("host"), "./plugin/host")
	b.run("", with("host", b.path("plugin.so"))...)
	b.build("-buildmode=c-shared", "-o", b.path("libprogram.so"), "./program")
	b.run(linkSource, "aarch64-linux-gnu-gcc", "-o", b.path("host"), "host/archive.c", "-ldl")
	b.run("", with("host", b.path("libprogram.so"))...)

	b.set("CGOHEAP=rate=1")
	b.run(variantsSource, "aarch64-linux-gnu-gcc", "-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-s", "-o", b.path("libplugin.so"), "plugin/plugin.c")
	plugin := []string{"-plugin", b.path("libplugin.so")}
	for _, way := range []struct{ flags, arguments []string }{
		{},
		{[]string{"-tags=header"}, nil},
		{[]string{"-tags=header,pie", "-buildmode=pie", "-trimpath", "-ldflags=-s -w"}, []string{"-stripped"}},
		{[]string{"-tags=cgoheap_wrap,header"}, []string{wrap, "-unseen=cpp,library,libc"}},
		{[]string{static}, []string{aside, "-seen=none"}},
		{[]string{"-tags=cgoheap_wrap", static}, []string{wrap, "-unseen=library"}},
	} {
		b.variant(variantsSource, way.flags...)
		b.run("", with("program", append(plugin, way.arguments...)...)...)
	}
	b.run(variantsSource, "go", "build", "-buildmode=c-shared", "-o", b.path("libvariants.so"), ".")
	b.run(variantsSource, "aarch64-linux-gnu-gcc", "-O2", "-o", b.path("host"), "host/host.c", "-ldl")
	b.run("", with("host", append([]string{b.path("libvariants.so")}, append(plugin, aside, "-seen=none")...)...)...)

	// Signed return addresses, on a processor that signs and on one that doesn't know of it.
	signed := "-O2 -g -mbranch-protection=standard"
	b.set("CGO_CFLAGS="+signed, "CGO_CXXFLAGS="+signed)
	b.variant(variantsSource, "-tags=header")
	for _, processor := range []string{"max", "cortex-a72"} {
		b.run("", append([]string{onARM64[0], "-cpu", processor}, append(onARM64[1:len(onARM64):len(onARM64)],
			append([]string{b.path("program")}, plugin...)...)...)...)
	}
}

// arm64Go runs Go's tests, but for those that run what they have built: this machine can't.
func arm64Go(b *box) {
	b.download = true
	b.arm64()
	b.run(root, "go", "test", "-count=1", "-exec", strings.Join(onARM64, " "), "-skip", "^Test("+strings.Join([]string{
		"VendoredCopyBuildsAndRuns", "HeaderInTheEnvironmentReachesEveryPackageButOurs", "Dumps",
		"DumpSettingsThatCantBeObeyedAreComplainedOf", "GoldenStackWithSymbols", "MuslIsRefusedWithWords",
	}, "|")+")$", "./go", "./go/cgoheaptest", "./go/look", "./go/internal/...")
}
