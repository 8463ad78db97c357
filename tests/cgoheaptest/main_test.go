// The packages below are users' tests, of which some fail on purpose. The tests here run them with go test and look at the
// outcome.
package cgoheaptest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// output runs a command and returns what it prints, and whether it succeeded.
func output(t *testing.T, env []string, name string, args ...string) (string, bool) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(append(os.Environ(), "TMPDIR="+t.TempDir()), env...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command, err)
	}
	return out.String(), err == nil
}

func goTest(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	return output(t, nil, "go", append([]string{"test"}, args...)...)
}

// mustPass runs go test, which must pass.
func mustPass(t *testing.T, args ...string) string {
	t.Helper()
	out, ok := goTest(t, args...)
	if !ok {
		t.Fatalf("go test %s:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// mustFail runs go test, which must fail.
func mustFail(t *testing.T, args ...string) string {
	t.Helper()
	out, ok := goTest(t, args...)
	if ok {
		t.Fatalf("go test %s passes:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// changing is what differs from run to run, or from one Go version to the next.
var changing = []struct {
	expression  *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`\+0x[0-9a-f]+`), "+0x..."},
	{regexp.MustCompile(`\(\d+\.\d+s\)`), "(0.00s)"},
	{regexp.MustCompile(`\S*/cgoheap-(\w+)-\d+\.pb\.gz`), "/tmp/cgoheap-$1-0.pb.gz"},
	{regexp.MustCompile(`(?m)\t\d+\.\d+s$`), "\t0.00s"},
	{regexp.MustCompile(`(database/sql/\w+\.go):\d+`), "$1:0"},
	{regexp.MustCompile(`(?m)^\s+\S+ \(no symbols\)\n(\s+\S+ \(no symbols\)\n)+`), "                ... (no symbols)\n"},
}

// golden compares an output with testdata/name.
func golden(t *testing.T, name, out string) {
	t.Helper()
	for _, c := range changing {
		out = c.expression.ReplaceAllString(out, c.replacement)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(out), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, out, want)
	}
}

const symbols = "-ldflags=-s=false -w=false"

func TestLeakOfSqliteIsNamed(t *testing.T) {
	golden(t, "sqlite.txt", mustFail(t, "./sqlite"))
	golden(t, "sqlite-symbols.txt", mustFail(t, symbols, "./sqlite"))
}

func TestDocumentationShowsRealOutput(t *testing.T) {
	doc, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile("testdata/sqlite.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(doc, report) {
		t.Errorf("docs/testing.md doesn't contain\n%s", report)
	}
}

func TestFixedSqlitePasses(t *testing.T) {
	mustPass(t, "-modfile=fixed.mod", "./sqlite")
}

func TestZstdWriterThatIsNotClosed(t *testing.T) {
	mustPass(t, "-run=TestClosed", "./zstd")
	golden(t, "zstd.txt", mustFail(t, "-run=TestNotClosed", "./zstd"))
	golden(t, "zstd-symbols.txt", mustFail(t, symbols, "-run=TestNotClosed", "./zstd"))
}

var verdictLine = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)

// checkNames demands that tests fail whose name says so, and no others.
func checkNames(t *testing.T, out string, least int) {
	t.Helper()
	verdicts := verdictLine.FindAllStringSubmatch(out, -1)
	if len(verdicts) < least {
		t.Fatalf("%d tests, want %d or more:\n%s", len(verdicts), least, out)
	}
	for _, v := range verdicts {
		if strings.Contains(v[2], "/") {
			continue
		}
		want := "PASS"
		if strings.HasPrefix(v[2], "TestFails") {
			want = "FAIL"
		}
		if v[1] != want {
			t.Errorf("%s: %s, want %s\n%s", v[2], v[1], want, out)
		}
	}
}

func TestVerdictsUnderFlags(t *testing.T) {
	for _, flags := range [][]string{
		{}, {symbols}, {"-race"}, {"-count=3"}, {"-cpu=1,2"}, {"-shuffle=7"}, {"-cover"},
		{"-race", "-shuffle=3", "-cpu=1,2", "-cover"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			checkNames(t, mustFail(t, append(flags, "-v", "./cases")...), 19)
		})
	}
}

func TestOutputOfEachCase(t *testing.T) {
	golden(t, "cases.txt", mustFail(t, "./cases"))
}

func TestBothWaysOfCaptureCountABlockOnce(t *testing.T) {
	out := mustFail(t, "-v", "./both")
	checkNames(t, out, 2)
	golden(t, "both.txt", out)
}

func TestParallelTestsAreToldApartOrRefused(t *testing.T) {
	for _, flags := range [][]string{{}, {"-race"}} {
		out := mustFail(t, append(flags, "-v", "-parallel=8", "./parallel")...)
		checkNames(t, out, 13)
		for _, want := range []string{
			"C memory leak: 10 bytes in 1 block, allocated by 1 stack",
			"C memory leak: 64 bytes in 1 block, allocated by 1 stack",
			"C memory can't be verified: 30 bytes in 1 block may be",
			"C memory can't be verified: 40 bytes in 1 block may be",
			"Unfinished: TestFailsOnParallelSubtests/group/holds",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		// What is nobody's may come in the way of another test too.
		leaks, refused := strings.Count(out, "C memory leak"), strings.Count(out, "C memory can't be verified")
		if leaks != 2 || refused < 2 || refused > 3 {
			t.Errorf("%d leaks, want 2, and %d refusals, want 2 or 3:\n%s", leaks, refused, out)
		}
	}
}

func TestInABubbleOfSynctest(t *testing.T) {
	for _, flags := range [][]string{{}, {"-race"}} {
		out := mustFail(t, append(flags, "-v", "./bubble")...)
		checkNames(t, out, 4)
		if n := strings.Count(out, "C memory leak: "); n != 2 || !strings.Contains(out, "102 bytes in 1 block") || !strings.Contains(out, "104 bytes in 1 block") {
			t.Errorf("%d leaks:\n%s", n, out)
		}
	}
}

func TestFailedTestsAndPanicsAreLeftAlone(t *testing.T) {
	out := mustFail(t, "-run=AnotherReason", "-v", "./cases")
	if strings.Contains(out, "C memory") || !strings.Contains(out, "the real reason") {
		t.Errorf("more than the reason:\n%s", out)
	}
	out, ok := output(t, []string{"CASES_PANIC=1"}, "go", "test", "-run=WhenItPanics", "./cases")
	if ok || strings.Contains(out, "C memory") || strings.Contains(out, "cgoheaptest.") || !strings.Contains(out, "panic: the real reason") {
		t.Errorf("passes %v, or more than the panic:\n%s", ok, out)
	}
}

func TestFuzzTargetFindsALeak(t *testing.T) {
	const run = "-run=^FuzzForgetsThree$"
	t.Cleanup(func() { os.RemoveAll("cases/testdata") })
	fuzz := []string{"test", run, "-fuzz=^FuzzForgetsThree$", "-fuzzminimizetime=1x"}
	// Most inputs have another length; the first that has this one fails.
	out, ok := output(t, []string{"CASES_FUZZ=1"}, "go", append(fuzz, "-fuzztime=200000x", "./cases")...)
	if ok || !strings.Contains(out, "C memory leak: 4 bytes in 1 block, allocated by 1 stack") {
		t.Errorf("passes %v:\n%s", ok, out)
	}
}

func TestWholePackage(t *testing.T) {
	run := func(env ...string) (string, bool) {
		return output(t, env, "go", "test", "./testmain")
	}
	if out, ok := run(); !ok {
		t.Errorf("without a leak:\n%s", out)
	}
	out, ok := run("TESTMAIN_LEAK=1")
	if ok {
		t.Errorf("with a leak it passes:\n%s", out)
	}
	golden(t, "testmain.txt", out)
	if out, ok := run("TESTMAIN_LEAK=1", "TESTMAIN_FAIL=1"); ok || strings.Contains(out, "C memory") {
		t.Errorf("a test has failed, passes %v:\n%s", ok, out)
	}
}

func TestStepsAside(t *testing.T) {
	const skipped = "cgoheaptest: skipped, C memory is not verified: "
	out := mustPass(t, "-asan", "-v", "-run=TestBalanced|TestVerify", "-bench=Balanced", "-benchtime=1x", "./both", "./nocgo")
	if n := strings.Count(out, skipped+"a sanitizer (-asan, -msan) owns malloc in this program\n"); n < 3 {
		t.Errorf("%d lines say that it is skipped:\n%s", n, out)
	}
	out, ok := output(t, []string{"CGO_ENABLED=0"}, "go", "test", "-v", "-bench=.", "-benchtime=1x", "./nocgo")
	if n := strings.Count(out, skipped+"needs linux/amd64, linux/arm64 and cgo"); !ok || n != 2 {
		t.Errorf("passes %v, %d lines say that it is skipped:\n%s", ok, n, out)
	}
	// Where package testing keeps time in another way.
	out, ok = output(t, []string{"CGO_ENABLED=0", "GOOS=windows"}, "go", "vet", "./nocgo")
	if !ok {
		t.Errorf("windows:\n%s", out)
	}
}

func TestFlags(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "c.pb.gz")
	out := mustFail(t, "./cases", "-run=FailsOnPool", "-cgoheapprofile="+file)
	if !strings.Contains(out, "go tool pprof "+file) {
		t.Errorf("the report doesn't name %s:\n%s", file, out)
	}
	checkProfile(t, file, "cases.FromPool")

	// By VerifyTestMain, at the end; relative to -outputdir.
	mustPass(t, "./testmain", "-cgoheapprofile=main.pb.gz", "-outputdir="+folder)
	checkProfile(t, filepath.Join(folder, "main.pb.gz"), "testmain.ignored")

	// By a benchmark.
	bench := filepath.Join(folder, "bench.pb.gz")
	mustPass(t, "-run=^$", "-bench=Loop", "-benchtime=1x", "./cases", "-cgoheapprofile="+bench)
	checkProfile(t, bench, "")

	// A sample each gigabyte misses a small block.
	mustPass(t, "./cases", "-run=FailsOnPool", "-cgoheapprofilerate=1000000000")
	if out := mustFail(t, "./cases", "-run=FailsOnPool", "-cgoheapprofilerate=0"); !strings.Contains(out, "must be a size of 1 byte or more") {
		t.Errorf("rate 0: %s", out)
	}

	out = mustFail(t, "-run=FailsOnPool", "-artifacts", "-outputdir="+folder, "./cases")
	path := regexp.MustCompile(`go tool pprof (\S+)`).FindStringSubmatch(out)
	if path == nil || !strings.HasPrefix(path[1], filepath.Join(folder, "_artifacts")) {
		t.Fatalf("the profile is not among the artifacts:\n%s", out)
	}
	checkProfile(t, path[1], "cases.FromPool")
}

func TestSettingsInTheEnvironmentOfManyPackages(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new") + "/"
	// One of the packages, this one, doesn't import cgoheaptest.
	packages := []string{"test", "-count=1", "-run=TestLeaks|TestNothingHere", "./testmain", "./cases", "."}
	if out, ok := output(t, []string{"CGOHEAPPROFILE=" + folder}, "go", packages...); !ok {
		t.Fatal(out)
	}
	checkProfile(t, folder+"cgoheaptest_testmain.pb.gz", "testmain.ignored")
	run := func(rate string) (string, bool) {
		return output(t, []string{"CGOHEAPPROFILERATE=" + rate}, "go", "test", "-run=FailsOnPool", "./cases")
	}
	if out, ok := run("1GB"); !ok {
		t.Errorf("a sample each gigabyte:\n%s", out)
	}
	if out, ok := run("1"); ok {
		t.Errorf("the result of another rate:\n%s", out)
	}
	if out, ok := run("1XB"); ok || !strings.Contains(out, `CGOHEAPPROFILERATE: the unit of "1XB" is none of`) {
		t.Errorf("passes %v:\n%s", ok, out)
	}
}

// checkProfile reads a profile with pprof.
func checkProfile(t *testing.T, file, function string) {
	t.Helper()
	out, ok := output(t, nil, "go", "tool", "pprof", "-top", file)
	if !ok || !strings.Contains(out, "Type: inuse_space") || !strings.Contains(out, function) {
		t.Errorf("%s: no %q in\n%s", file, function, out)
	}
}

func TestOneByteInTenMillionAllocationsIsFound(t *testing.T) {
	out, ok := output(t, []string{"CASES_BLOCKS=10000000"}, "go", "test", "-run=OneByteInMillions", "./cases")
	if ok || !strings.Contains(out, "C memory leak: 1 byte in 1 block, allocated by 1 stack") {
		t.Errorf("passes %v:\n%s", ok, out)
	}
}

func TestNoFalseAlarms(t *testing.T) {
	program := filepath.Join(t.TempDir(), "clean.test")
	mustPass(t, "-c", "-ldflags=-s -w", "-o", program, "./clean")
	runs := 50
	if os.Getenv("CGOHEAP_LONG") == "1" {
		runs = 1000
	}
	t.Chdir("clean")
	for i := range runs {
		out, ok := output(t, nil, program, fmt.Sprintf("-test.shuffle=%d", i+1), "-test.cpu=4", "-test.v")
		if !ok || strings.Count(out, "--- PASS") != 6 {
			t.Fatalf("run %d of %d:\n%s", i+1, runs, out)
		}
	}
}

func TestWhatLibcKeepsIsNoLeakAndWhatItHandsOutIs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "libc.test")
	mustPass(t, "-c", "-ldflags=-s -w", "-o", program, "./libc")
	t.Chdir("libc")
	// Each call that keeps memory keeps it at its first use: so all in one process, and each in one of its own.
	check := func(t *testing.T, alone bool, command ...string) {
		run := func(arguments ...string) (string, bool) {
			all := append(append(command[1:len(command):len(command)], program, "-test.v"), arguments...)
			return output(t, nil, command[0], all...)
		}
		out, ok := run()
		if strings.Contains(out, "unshare:") || strings.Contains(out, "mount:") {
			t.Skipf("the debug symbols of libc can't be hidden: %s", out)
		}
		if ok {
			t.Errorf("passes:\n%s", out)
		}
		verdicts := verdictLine.FindAllStringSubmatch(out, -1)
		if len(verdicts) < 120 {
			t.Fatalf("%d verdicts:\n%s", len(verdicts), out)
		}
		for _, v := range verdicts {
			test, name, sub := strings.Cut(v[2], "/")
			if want := map[string]string{"TestKeeps": "PASS", "TestFails": "FAIL"}[test]; sub && v[1] != want {
				t.Errorf("%s: %s, want %s\n%s", v[2], v[1], want, out)
			}
			if sub && alone && test == "TestKeeps" {
				if out, ok := run("-test.run=^TestKeeps$/^" + name + "$"); !ok {
					t.Errorf("%s alone:\n%s", name, out)
				}
			}
		}
	}
	const debug = "/usr/lib/debug"
	_, err := os.Stat(filepath.Join(debug, ".build-id"))
	t.Run("names as they are here", func(t *testing.T) { check(t, err != nil, "env") })
	t.Run("no debug symbols", func(t *testing.T) {
		if err != nil {
			t.Skip("there are none anyway")
		}
		check(t, true, "unshare", "--mount", "sh", "-c", "mount -t tmpfs none "+debug+` || exit 99; exec "$@"`, "sh")
	})
}
