package cgoheaptest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

// Flags of the test program, beside go test's own. They are defined in init, since package testing parses them.
var (
	profilePath = flag.String("cgoheapprofile", "", "write a profile of C memory to `file`")
	// inTestMain says that VerifyTestMain runs the tests: it writes the profile then.
	inTestMain atomic.Bool
)

func init() {
	flag.Func("cgoheapprofilerate", "sample C memory every `n` bytes instead of all (see cgoheap.SetRate)", func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return errors.New("must be a number of bytes, 1 or more")
		}
		if skipReason() == "" {
			cgoheap.SetRate(n)
		}
		return nil
	})
}

// writeRequestedProfile writes the profile that -cgoheapprofile asks for, unless VerifyTestMain will.
func writeRequestedProfile() error {
	if inTestMain.Load() {
		return nil
	}
	return writeRequestedProfileAtEnd()
}

func writeRequestedProfileAtEnd() error {
	if *profilePath == "" || skipReason() != "" {
		return nil
	}
	return writeProfile(requestedPath())
}

// requestedPath is relative to -outputdir, as those of go test's own profiles are.
func requestedPath() string {
	path := *profilePath
	if folder := flagValue("test.outputdir"); folder != "" && !filepath.IsAbs(path) {
		return filepath.Join(folder, path)
	}
	return path
}

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

func writeProfile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(cgoheap.WriteHeapProfile(f), f.Close())
}

// saveProfile writes the profile of a failed test and returns where: where -cgoheapprofile says, with -artifacts to the
// test's folder, else to a temporary file that stays.
func saveProfile(t TestingT) (string, error) {
	if *profilePath != "" {
		return requestedPath(), writeProfile(requestedPath())
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
