package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// symbolize writes a profile with names for the bare C addresses of another, from debug files. All names that the profile has
// stay: pprof's -symbolize=force would look up Go's in a C symbol table.
func symbolize(arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("symbolize", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var files []*debugFile
	flags.Func("with", "", func(path string) error {
		d, err := openDebugFile(path)
		files = append(files, d)
		return err
	})
	to := flags.String("o", "", "")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 || len(files) == 0 {
		return errors.New("usage: cgoheap symbolize -with DEBUGFILE [-with DEBUGFILE]... [-o OUTPUT] PROFILE")
	}
	path := flags.Arg(0)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// What stays bare, by object, and which objects there are.
	left, objects := map[string]int{}, map[string]string{}
	used := map[*debugFile]bool{}
	named, bare, n, err := profiledata.Symbolize(data, func(o profiledata.Object, address uint64) []profiledata.Line {
		objects[o.Path] = o.BuildID
		for _, d := range files {
			if d.is(o) {
				used[d] = true
				if lines := d.lines(o, address); len(lines) > 0 {
					return slices.DeleteFunc(lines, func(l profiledata.Line) bool { return stub.MatchString(l.Function) })
				}
			}
		}
		left[o.Path]++
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s is no profile: %w", path, err)
	}
	for _, d := range files {
		if used[d] || bare == 0 {
			continue
		}
		problem := fmt.Sprintf("%s, build id %s, is of no object with bare addresses in %s. They are in:", d.path, orNone(d.buildID), path)
		for _, object := range slices.Sorted(maps.Keys(objects)) {
			problem += fmt.Sprintf("\n  %s, build id %s", object, orNone(objects[object]))
		}
		return errors.New(problem + "\nA program that is built again has another build id: keep the debug file of the build that runs " +
			"(objcopy --only-keep-debug app app.debug; strip app)")
	}
	if *to == "" {
		*to = strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".pb") + ".named.pb.gz"
	}
	if err := os.WriteFile(*to, named, 0o666); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d of %d bare addresses have names now\n", *to, n, bare)
	for _, object := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(out, "  bare: %d in %s, build id %s\n", left[object], object, orNone(objects[object]))
	}
	return nil
}

// stub is the function that cgo writes for a call of C: the profile has it as C.x already.
var stub = regexp.MustCompile(`^_cgo_[0-9a-f]+_C2?func_`)

func orNone(buildID string) string {
	if buildID == "" {
		return "none"
	}
	return buildID
}
