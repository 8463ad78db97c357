//go:build linux

package build

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/cgoheap/cgoheap"

// releaseRows are the ways to a program with a release: what README.md and docs/capture.md tell a new user to do, word for word, then others.
var releaseRows = []struct {
	name, words string
	long        bool // only with CGOHEAP_LONG: it compiles the standard library once more
	run         func(*release)
}{
	{"readme", "README's quick start: the whole process by a blank import", false, func(r *release) {
		r.follow(r.page.program, r.page.commands, "C.CString", "main.main", "Type: inuse_space")
	}},
	{"readme-checkout", "the same from a checkout", false, func(r *release) {
		checkout := replace(r.page.checkout, `(?m)^(git clone|make) .*\n`, "", `=\.\./cgoheap`, "="+root)
		r.follow(r.page.program, replace(r.page.commands, `(?m)^go get.*\n`, literal(checkout)), "C.CString", "main.main", "Type: inuse_space")
	}},
	{"header", "docs/capture.md: the header by -include", false, func(r *release) {
		r.follow(
			replace(r.page.withoutInterpose(), `(?m)^// #include <stdlib.h>\nimport "C"\n`, literal(r.page.header)),
			replace(r.page.commands, `(?m)^go build`, literal(r.page.export)+"$0"),
			"C.CString", "main.main", "Type: inuse_space")
	}},
	{"environment", "docs/capture.md: the header by the environment alone", false, func(r *release) {
		r.follow(r.page.withoutInterpose(), replace(r.page.commands, `(?m)^go build`, literal(r.page.environment)), "C.CString", "main.main")
	}},
	{"include", "#include in the preamble", false, func(r *release) {
		r.follow(
			replace(r.page.withoutInterpose(), `(?m)^// #include <stdlib.h>$`, "$0\n// #include <cgoheap.h>\n"+
				"// static void lose(void) { malloc(10000); }", `C\.CString\(.*`, "C.lose()", `(?m)^.*"strings"\n`, ""),
			replace(r.page.commands, `(?m)^go build`, literal(r.page.export)+"$0"),
			" lose", "main.main")
	}},
	{"proxy", "go get from a proxy, go run", false, func(r *release) {
		r.leaks(r.header().run("", "go", "run", "."), "main.go:15")
	}},
	{"vendor", "go mod vendor, -mod=vendor, and the header's flag there", false, releaseVendor},
	{"trimpath", "GOFLAGS=-trimpath", true, func(r *release) {
		r.header().set("GOFLAGS=" + r.get("GOFLAGS") + " -trimpath")
		r.leaks(r.run("", "go", "run", "."))
	}},
	{"vet", "go vet is quiet", false, func(r *release) {
		if text := r.header().run("", "go", "vet", "./..."); text != "" {
			r.Errorf("go vet says\n%s", text)
		}
	}},
	{"generate", "go generate: a copy of the header, nothing in the environment", false, releaseGenerate},
	{"interpose", "the whole process, by a blank import", false, func(r *release) {
		r.leaks(r.interpose().run("", "go", "run", "."))
	}},
	{"no-cgo", "CGO_ENABLED=0 says ErrUnsupported", true, func(r *release) {
		r.program(withoutCgo)
		r.set("CGO_ENABLED=0")
		if text := r.run("", "go", "run", "."); text != "true\n" {
			r.Errorf("it says %q", text)
		}
	}},
	{"tag", "go get from a release tag: the same module to the bit", false, releaseTag},
	{"cached", "go test of an unchanged archive is cached, of a new one not", false, releaseCached},
	{"slim-header", "a slim image: the loader, libc and a program with the header", false, func(r *release) { r.header().slim() }},
	{"slim-interpose", "the same with the whole process captured", false, func(r *release) { r.interpose().slim() }},
}

// TestRelease is a new user's first minutes with what make dist made: no Rust in PATH, empty module and build caches, an empty
// folder.
func TestRelease(t *testing.T) {
	dist := sync.OnceValues(func() (*distribution, error) { return makeRelease(t) })
	for _, row := range releaseRows {
		t.Run(row.name, func(t *testing.T) {
			b := open(t)
			b.words = row.words
			if row.long && !long {
				b.skip("in make test-long")
			}
			d, err := dist()
			b.check(err)
			row.run(d.user(b))
		})
	}
}

// distribution is what make dist has made, and the caches of those who use it.
type distribution struct {
	folder  string
	version string
	page    page
}

// page is what README.md's quick start and docs/capture.md say, to be done as it stands there.
type page struct {
	program, commands, checkout string // of the quick start; checkout takes the place of go get
	export, header, environment string // of the header: a command, the lines of the preamble, the beginning of a build
}

func readPage() (p page, err error) {
	section := func(file, title string) string {
		text, readError := os.ReadFile(filepath.Join(root, file))
		if err == nil {
			err = readError
		}
		_, section, _ := strings.Cut(string(text), "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		return section
	}
	// The blocks that contain a text, of Go code and of commands, which are indented or fenced.
	code := func(section, part string) string {
		return join(regexp.MustCompile("(?m)^```go\n([^`]*)^```$").FindAllStringSubmatch(section, -1), part)
	}
	commands := func(section, part string) string {
		fenced := join(regexp.MustCompile("(?m)^```(?:sh|bash|console)\n([^`]*)^```$").FindAllStringSubmatch(section, -1), part)
		return fenced + replace(join(regexp.MustCompile(`(?m)((?:^    .*\n)+)`).FindAllStringSubmatch(section, -1), part), "(?m)^    ", "")
	}
	start, header := section("README.md", "Quick start"), section("docs/capture.md", "The header")
	p.program = code(start, "package main")
	p.checkout = commands(start, "git clone")
	p.commands = strings.Replace(commands(start, ""), p.checkout, "", 1)
	p.export = commands(header, "export CGO_CPPFLAGS")
	p.header = replace(code(header, "stdlib.h"), `(?m)^//go:generate.*\n`, "")
	p.environment = strings.TrimSuffix(commands(header, "go build ."), " .\n")
	for part, text := range map[string]string{
		"README.md, Quick start: a Go program": p.program, "README.md, Quick start: commands": p.commands,
		"README.md, Quick start: git clone": p.checkout, "docs/capture.md, The header: export CGO_CPPFLAGS": p.export,
		"docs/capture.md, The header: a preamble": p.header, "docs/capture.md, The header: CGO_CPPFLAGS=... go build .": p.environment,
	} {
		if text == "" && err == nil {
			err = fmt.Errorf("not found, so it can't be tested: %s", part)
		}
	}
	return p, err
}

// join is the texts of those matches that contain part.
func join(matches [][]string, part string) (text string) {
	for _, match := range matches {
		if strings.Contains(match[1], part) {
			text += match[1]
		}
	}
	return text
}

// withoutInterpose is the program of the quick start with a plain import.
func (p page) withoutInterpose() string {
	return replace(p.program, `cgoheap/go/interpose"`, `cgoheap/go"`)
}

func makeRelease(t *testing.T) (*distribution, error) {
	folder := t.TempDir()
	d := &distribution{folder: folder}
	b := &box{T: t, dir: folder, env: os.Environ()}
	if text, err := b.try(root, "scripts/dist.sh", filepath.Join(folder, "dist")); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	tags, err := b.try("", "git", "--git-dir="+folder+"/dist/repository.git", "tag", "--list", "v*")
	if err != nil {
		return nil, err
	}
	d.version = strings.TrimSpace(tags)

	if d.page, err = readPage(); err != nil {
		return nil, err
	}

	// The standard library, once: the rows run beside each other and share a build cache, which begins empty.
	goroot, err := b.try("", "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	b.env = d.env(strings.TrimSpace(goroot))
	if text, err := b.try("", "go", "build", "net/http/pprof", "runtime/cgo"); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return d, nil
}

// release is the box of somebody who has Go, a C compiler and the release.
type release struct {
	*box
	*distribution
}

func (d *distribution) user(b *box) *release {
	b.Helper()
	goroot := strings.TrimSpace(b.run("", "go", "env", "GOROOT"))
	b.env = d.env(goroot)
	b.check(os.MkdirAll(d.folder+"/home", 0o755))
	for _, tool := range []string{"cargo", "rustc"} {
		if b.look(tool) != tool {
			b.Fatalf("%s is in PATH: the test would prove nothing", tool)
		}
	}
	// Outside of the repository, with nothing of its around.
	b.dir = filepath.Join(d.folder, strings.ReplaceAll(b.Name(), "/", "-"))
	b.empty(b.dir)
	return &release{b, d}
}

func (d *distribution) env(goroot string) []string {
	return []string{
		"HOME=" + d.folder + "/home", "PATH=" + goroot + "/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C",
		"GOTOOLCHAIN=local", "GOWORK=off", "GOENV=off", "CGO_ENABLED=1", "GOFLAGS=-modcacherw",
		"GOPATH=" + d.folder + "/gopath", "GOCACHE=" + d.folder + "/gocache",
		"GONOSUMDB=" + module, "GOPROXY=file://" + d.folder + "/dist/proxy",
	}
}

// replace is a text with each pattern replaced by what follows it.
func replace(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		text = regexp.MustCompile(pairs[i]).ReplaceAllString(text, pairs[i+1])
	}
	return text
}

// literal is a text as replace takes it for what it is.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// leaks fails unless the profile has the leak of the exact program.
func (r *release) leaks(profile string, more ...string) {
	r.Helper()
	r.shows(profile, append(more, "C.CString", "main.leak")...)
}

// exact loses one block at rate 1, and prints its profile.
const exact = `package main

// #cgo CPPFLAGS: -include cgoheap.h
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"os"
	"runtime/pprof"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func leak() { C.CString("never freed") }

func main() {
	cgoheap.SetRate(1)
	leak()
	if err := pprof.Lookup("cgoheap").WriteTo(os.Stdout, 1); err != nil {
		fmt.Println(err)
	}
}
`

const withoutCgo = `package main

import (
	"errors"
	"fmt"
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func main() {
	fmt.Println(errors.Is(cgoheap.WriteHeapProfile(os.Stdout), errors.ErrUnsupported))
}
`

// program makes a module with this main.go, and gets cgoheap.
func (r *release) program(text string) {
	r.Helper()
	r.run("", "go", "mod", "init", "example.com/user")
	r.write(r.path("main.go"), text)
	r.run("", "go", "get", module+"/go@"+r.version)
}

// header makes the exact program, with the header's flag in the environment.
func (r *release) header() *release {
	r.Helper()
	r.program(exact)
	r.set("CGO_CPPFLAGS=" + strings.TrimSpace(r.run("", "go", "run", module+"/go/cmd/cgoheap", "cflags")))
	return r
}

// interpose makes the exact program without the header.
func (r *release) interpose() *release {
	r.Helper()
	r.program(replace(exact, `(?m)^// #cgo.*\n`, "", `(?m)^\tcgoheap "`, "\t_ \""+module+"/go/interpose\"\n$0"))
	return r
}

// follow does in an empty folder what the documents say, with a program and commands, but for the port; the output must
// contain the parts.
func (r *release) follow(program, commands string, parts ...string) {
	r.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	r.check(err)
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	r.set("GOPATH=" + r.path("gopath"))
	folder := r.path("empty")
	r.empty(folder)
	r.write(filepath.Join(folder, "main.go"), strings.ReplaceAll(program, ":6060", ":"+port))
	// A command that stays is given the time to build and to listen.
	script := "set -em; trap 'kill -- -$server' EXIT\n" + replace(strings.ReplaceAll(commands, ":6060", ":"+port), `(?m)&$`,
		"& server=$$!\nuntil (exec 3<>/dev/tcp/localhost/"+port+") 2>/dev/null; do kill -0 $$server; sleep 0.1; done")
	r.write(r.path("commands.sh"), script)
	r.shows(r.run(folder, "bash", r.path("commands.sh")), parts...)
}

func releaseVendor(r *release) {
	r.header()
	r.run("", "go", "mod", "vendor")
	main := r.read(r.path("main.go"))
	r.write(r.path("main.go"), replace(main, `^package main`, "$0\n\nimport _ \""+module+"/go/cmd/cgoheap\""))
	if got, want := strings.TrimSpace(r.run("", "go", "list", "-mod=vendor", "-f", "{{.Dir}}", module+"/include")), r.path("vendor/"+module+"/include"); got != want {
		r.Errorf("the header is in %s, want %s", got, want)
	}
	r.write(r.path("main.go"), main)
	r.set("CGO_CPPFLAGS=-I" + r.path("vendor/"+module+"/include"))
	r.run("", "go", "build", "-mod=vendor", "-o", "vendored", ".")
	r.leaks(r.run("", "./vendored"))
	if r.read(r.path("vendor/"+module+"/go/internal/lib/linux_amd64/LICENSES.txt")) == "" {
		r.Error("vendoring lost the licences")
	}
}

func releaseGenerate(r *release) {
	r.header()
	r.set("CGO_CPPFLAGS=")
	r.write(r.path("generated/generated.go"), `package generated

//go:generate go run `+module+`/go/cmd/cgoheap header .

// #cgo CPPFLAGS: -I${SRCDIR} -include cgoheap.h
// #include <stdlib.h>
import "C"

func Leak() { C.CString("never freed") }
`)
	r.write(r.path("main.go"), replace(exact, `(?m)^// .*\n`, "", `(?m)^import "C"$`, `import "example.com/user/generated"`,
		`(?m)^func leak.*\n`, "", `(?m)^\tleak\(\)`, "\tgenerated.Leak()"))
	r.run("", "go", "generate", "./generated")
	r.shows(r.run("", "go", "run", "."), "C.CString", "generated.Leak")
}

// releaseTag gets the tag itself, from a git repository: what the public proxy would do.
func releaseTag(r *release) {
	r.interpose()
	sum := func() string {
		line := regexp.MustCompile(regexp.QuoteMeta(module+" "+r.version) + " h1:.*").FindString(r.read(r.path("go.sum")))
		if line == "" {
			r.Fatal("go.sum has no line of the module")
		}
		return line
	}
	proxy := sum()
	r.check(os.Remove(r.path("go.sum")))
	r.set("GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+r.folder+"/dist/repository.git.insteadOf", "GIT_CONFIG_VALUE_0=https://"+module,
		"GOMODCACHE="+r.path("modules"), "GOPROXY=direct")
	r.run("", "go", "get", module+"/go@"+r.version)
	if tag := sum(); tag != proxy {
		r.Errorf("by the tag it is %s, by the proxy %s", tag, proxy)
	}
	r.set("GOPROXY=off")
	r.leaks(r.run("", "go", "run", "."))
}

// releaseCached puts another archive under the same program, as make build does: go test must notice.
func releaseCached(r *release) {
	r.interpose()
	copied := r.path("copy")
	r.run("", "cp", "-r", strings.TrimSpace(r.run("", "go", "list", "-m", "-f", "{{.Dir}}", module)), copied)
	r.run("", "chmod", "-R", "u+w", copied)
	r.run("", "go", "mod", "edit", "-replace", module+"="+copied)
	r.write(r.path("main_test.go"), "package main\n\nimport \"testing\"\n\nfunc TestLeak(t *testing.T) { leak() }\n")
	r.run("", "go", "test", ".")
	r.shows(r.run("", "go", "test", "."), "(cached)")
	lib := filepath.Join(copied, "go/internal/lib/linux_amd64") // another text in the archive, and its digest
	text := r.read(lib + "/libcgoheap.a")
	other := strings.ReplaceAll(text, "a bug in cgoheap: the call", "A BUG IN CGOHEAP: the call")
	if other == text {
		r.Fatal("the archive hasn't the text that this test replaces")
	}
	r.write(lib+"/libcgoheap.a", other)
	r.write(lib+"/digest.h", replace(r.read(lib+"/digest.h"), `sha256:.*`, "sha256:another\""))
	if said := r.run("", "go", "test", "."); strings.Contains(said, "(cached)") {
		r.Errorf("with a new archive go test says %s", said)
	}
}

// slim runs the program where there is nothing but the loader and libc: with /proc, as container runtimes give it, and
// without, which nothing may need to run.
func (r *release) slim() {
	if os.Getuid() != 0 {
		r.skip("needs root, for chroot and a mount namespace")
	}
	if text, err := r.try("", "unshare", "--mount", "true"); err != nil {
		r.skip("needs mount namespaces: " + strings.TrimSpace(text))
	}
	image := r.path("image")
	r.run("", "go", "build", "-o", filepath.Join(image, "program"), ".")
	r.elf(filepath.Join(image, "program")).needsNoLibgcc()
	for _, folder := range []string{"lib64", "lib/x86_64-linux-gnu", "proc", "tmp"} {
		r.check(os.MkdirAll(filepath.Join(image, folder), 0o755))
	}
	for _, file := range []string{"lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libm.so.6"} {
		r.run("", "cp", "-L", "/"+file, filepath.Join(image, file))
	}
	r.leaks(r.run("", "unshare", "--mount", "sh", "-c", `mount --bind /proc "$1/proc" && exec chroot "$1" /program`, "sh", image))
	r.shows(r.run("", "unshare", "--mount", "chroot", image, "/program"), "main.leak")
}
