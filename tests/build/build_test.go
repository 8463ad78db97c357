//go:build linux

// Package build tests cgoheap from outside, in every way that users build, link and get it: TestLink (the programs of
// programs/link, mostly with the header), TestVariants (programs/variants, with the whole process captured), TestPlatforms (other C
// libraries than this machine's) and TestRelease (what make dist makes). Each row is a subtest, so one is run by its name, from the root of the checkout:
//
//	go test ./tests/build -run Link/static-pie
//
// The archive must be there (make build). What is missing is installed if we may, else the subtest is skipped and says what to
// install. What was built stays in build/link and build/variants. With -v, or inside this folder without, each row prints a
// line; the command's own result is never cached, since go test doesn't know that these programs are its input.
package build

import (
	"context"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	root = func() string {
		folder, err := filepath.Abs("../..")
		if err != nil {
			panic(err)
		}
		return folder
	}()
	archive = filepath.Join(root, "go/internal/lib/linux_"+runtime.GOARCH+"/libcgoheap.a")
	// long asks for what takes long, or downloads much.
	long = os.Getenv("CGOHEAP_LONG") != ""

	update = flag.Bool("update", false, "write docs/linking.md's table of the ways of linking")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if _, err := os.Stat(archive); err != nil {
		fmt.Fprintln(os.Stderr, "tests/build: no archive: run make build")
		os.Exit(1)
	}
	code := m.Run()
	// A file of the module that the test opened and that is newer than two seconds keeps go test from caching the result.
	stamp := filepath.Join(root, "build/tests-build")
	if err := os.WriteFile(stamp, nil, 0o644); err == nil {
		os.ReadFile(stamp)
	}
	os.Exit(code)
}

// box is where one row is built and run: a folder of its own, and an environment.
type box struct {
	*testing.T
	dir   string // of the row
	env   []string
	words string // the end of the row's line
	// download: what is missing may be fetched from PyPI and Debian.
	download bool
}

// open makes the box of a subtest, which from here on may run beside others, in an empty folder build/TEST/NAME. When the
// subtest ends it prints the row's line.
func open(t *testing.T) *box {
	t.Helper()
	t.Parallel()
	test, name, _ := strings.Cut(strings.TrimPrefix(t.Name(), "Test"), "/")
	b := &box{T: t, dir: filepath.Join(root, "build", strings.ToLower(test), name)}
	start := time.Now()
	t.Cleanup(func() {
		result := "ok"
		if t.Failed() {
			result = "FAILED"
		} else if t.Skipped() {
			result = "skipped"
		}
		fmt.Printf("%-8s %-26s %3.0f s  %s\n", result, test+"/"+name, time.Since(start).Seconds(), b.words)
	})
	b.empty(b.dir)
	for _, variable := range os.Environ() {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "CGO_CPPFLAGS", "CGO_CFLAGS", "CGO_CXXFLAGS", "CGO_LDFLAGS", "CGOHEAP", "CC", "CXX", "PWD":
		default:
			b.env = append(b.env, variable)
		}
	}
	b.set("GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=1")
	return b
}

// set adds NAME=VALUE to the environment of what runs from now on.
func (b *box) set(variables ...string) { b.env = append(b.env, variables...) }

// get returns a variable of the environment.
func (b *box) get(name string) (value string) {
	for _, variable := range b.env {
		if n, v, _ := strings.Cut(variable, "="); n == name {
			value = v
		}
	}
	return value
}

// path returns a file's path in the row's folder.
func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

// try runs a command in dir (the row's folder if empty) and returns what it says on both outputs. What runs longer than ten
// minutes hangs, and is killed.
func (b *box) try(dir string, command ...string) (string, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	cmd := b.command(ctx, dir, command...)
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return string(text), err
}

func (b *box) command(ctx context.Context, dir string, command ...string) *exec.Cmd {
	if dir == "" {
		dir = b.dir
	}
	cmd := exec.CommandContext(ctx, b.look(command[0]), command[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(slices.Clip(b.env), "PWD="+dir), 10*time.Second
	return cmd
}

// run is try of a command that must succeed.
func (b *box) run(dir string, command ...string) string {
	b.Helper()
	text, err := b.try(dir, command...)
	if err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	return text
}

// look finds a command as a shell with the box's PATH would.
func (b *box) look(command string) string {
	if strings.Contains(command, "/") {
		return command
	}
	for _, folder := range filepath.SplitList(b.get("PATH")) {
		file := filepath.Join(folder, command)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return command // the error says that it isn't in PATH
}

// empty makes an empty folder.
func (b *box) empty(folder string) {
	b.Helper()
	b.check(os.RemoveAll(folder))
	b.check(os.MkdirAll(folder, 0o755))
}

func (b *box) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *box) write(file, text string) {
	b.Helper()
	b.check(os.MkdirAll(filepath.Dir(file), 0o755))
	b.check(os.WriteFile(file, []byte(text), 0o644))
}

func (b *box) read(file string) string {
	b.Helper()
	text, err := os.ReadFile(file)
	b.check(err)
	return string(text)
}

// copy copies files and folders of the repository, by their paths there, into a folder.
func (b *box) copy(folder string, paths ...string) {
	b.Helper()
	for _, path := range paths {
		from, to := filepath.Join(root, path), filepath.Join(folder, path)
		b.check(os.MkdirAll(filepath.Dir(to), 0o755))
		b.run("", "cp", "-r", from, to)
	}
}

// shows fails unless the text contains each of the parts.
func (b *box) shows(text string, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.Errorf("no %q in\n%s", part, text)
		}
	}
}

// skip skips the row and says why, also in its line.
func (b *box) skip(why string) {
	b.Helper()
	b.words = why
	b.Skip(why)
}

var installs sync.Mutex // one apt at a time

// need takes what scripts/lib.sh's need takes: THING:PACKAGES, installed if we may. Otherwise the row is skipped.
func (b *box) need(pairs ...string) {
	b.Helper()
	installs.Lock()
	defer installs.Unlock()
	text, err := b.try(root, append([]string{"bash", "-c", `source scripts/lib.sh; need "$@"`, "tests/build"}, pairs...)...)
	if err != nil {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		b.skip(lines[len(lines)-1])
	}
}

// program is an ELF file that was built.
type program struct {
	*box
	*elf.File
	name string
}

func (b *box) elf(file string) program {
	b.Helper()
	f, err := elf.Open(file)
	b.check(err)
	b.Cleanup(func() { f.Close() })
	return program{b, f, file}
}

// segment returns the program header of a kind, or nil.
func (p program) segment(kind elf.ProgType) *elf.Prog {
	for _, segment := range p.Progs {
		if segment.Type == kind {
			return segment
		}
	}
	return nil
}

// has fails unless a segment is there, or not.
func (p program) has(kind elf.ProgType, want bool) {
	p.Helper()
	if (p.segment(kind) != nil) != want {
		p.Errorf("%s: segment %v: %v, want %v", p.name, kind, !want, want)
	}
}

// marked fails unless a section contains the text; that is how linkers and compilers sign their work.
func (p program) marked(section, text string) {
	p.Helper()
	s := p.Section(section)
	if s == nil {
		p.Errorf("%s: no section %s", p.name, section)
		return
	}
	data, err := s.Data()
	p.check(err)
	if !strings.Contains(string(data), text) {
		p.Errorf("%s: section %s is %q, want %q in it", p.name, section, data, text)
	}
}

// needsNoLibgcc fails if the program would not run in a slim image.
func (p program) needsNoLibgcc() {
	p.Helper()
	libraries, err := p.ImportedLibraries()
	p.check(err)
	for _, library := range libraries {
		if strings.HasPrefix(library, "libgcc_s") {
			p.Errorf("%s needs %s", p.name, library)
		}
	}
}
