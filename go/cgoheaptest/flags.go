package cgoheaptest

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/human"
)

// Flags of the test program, beside go test's own. They are defined in init, since package testing parses them. A package
// that doesn't import this one has no such flags, and fails when go test ./... passes them on: so each has a variable in the
// environment, which the flag wins over.
var (
	profilePath = flag.String("cgoheapprofile", "", "write a profile of C memory to `file`, or into a folder; also "+profileVariable)
	// inTestMain says that VerifyTestMain runs the tests: it writes the profile then.
	inTestMain atomic.Bool
)

const (
	profileVariable = "CGOHEAPPROFILE"
	rateVariable    = "CGOHEAPPROFILERATE"
)

func init() {
	flag.Func("cgoheapprofilerate", "sample C memory every `size` instead of all (see cgoheap.SetRate); also "+rateVariable, setRate)
}

// setRate obeys -cgoheapprofilerate.
func setRate(value string) error {
	n, err := human.ParseSize(value)
	if err == nil && n < 1 {
		err = errors.New("must be a size of 1 byte or more")
	}
	if err == nil && skipReason() == "" {
		cgoheap.SetRate(int(min(n, math.MaxInt)))
	}
	return err
}

// rateProblem says what is wrong with the rate in the environment, or "". Asking again while tests run has go test note the
// variable: a result for another value is not taken from its cache.
func rateProblem() string {
	if os.Getenv(rateVariable) == "" {
		return ""
	}
	return rateVariableProblem
}

var rateVariableProblem string

// readRateVariable obeys the rate in the environment.
func readRateVariable() {
	if value := os.Getenv(rateVariable); value != "" {
		if err := setRate(value); err != nil {
			rateVariableProblem = rateVariable + ": " + err.Error()
		}
	}
}

// writeRequestedProfile writes the profile that is asked for, unless VerifyTestMain will.
func writeRequestedProfile() error {
	if inTestMain.Load() {
		return nil
	}
	return writeRequestedProfileAtEnd()
}

func writeRequestedProfileAtEnd() error {
	if path := requestedPath(); path != "" && skipReason() == "" {
		return writeProfile(path)
	}
	return nil
}

// requestedPath is where a profile is asked for, or "". It is relative to -outputdir, as those of go test's own profiles are. In a
// folder, which packages may share, the file is named after the package's own.
func requestedPath() string {
	path := cmp.Or(*profilePath, os.Getenv(profileVariable))
	if path == "" {
		return ""
	}
	isFolder := os.IsPathSeparator(path[len(path)-1])
	if folder := flagValue("test.outputdir"); folder != "" && !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	if info, err := os.Stat(path); isFolder || err == nil && info.IsDir() {
		path = filepath.Join(path, packageName()+".pb.gz")
	}
	return path
}

// packageName is the folder that the test runs in, from its module's on, in one word: module_internal_parser.
func packageName() string {
	folder, err := os.Getwd()
	if err != nil {
		return "package"
	}
	name, err := filepath.Rel(filepath.Dir(moduleRoot(folder)), folder)
	if err != nil {
		return filepath.Base(folder)
	}
	return strings.ReplaceAll(filepath.ToSlash(name), "/", "_")
}

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

func writeProfile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(cgoheap.WriteHeapProfile(f), f.Close())
}

// saveProfile writes the profile of a failed test and returns where: where a profile is asked for, with -artifacts to the
// test's folder, else to a temporary file that stays.
func saveProfile(t TestingT) (string, error) {
	if path := requestedPath(); path != "" {
		return path, writeProfile(path)
	}
	// Without -artifacts the folder is removed when the test ends.
	if a, ok := t.(interface{ ArtifactDir() string }); ok && flagValue("test.artifacts") == "true" {
		path := filepath.Join(a.ArtifactDir(), "cgoheap.pb.gz")
		return path, writeProfile(path)
	}
	name := "package"
	if t != nil {
		name = strings.Map(func(r rune) rune {
			if strings.ContainsRune("/\\*? ", r) {
				return '_'
			}
			return r
		}, t.Name())
	}
	f, err := os.CreateTemp("", fmt.Sprintf("cgoheap-%.60s-*.pb.gz", name))
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(cgoheap.WriteHeapProfile(f), f.Close())
}
