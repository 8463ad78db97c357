// Command cgoheap helps to build with cgoheap's C header, and names what a profile of a stripped program leaves bare.
//
//	go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags
//
// prints the flag with which C compilers find the header, wherever the module lies: in the module cache, in a vendor
// folder, in a checkout. Use it as
//
//	export CGO_CPPFLAGS=$(go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags)
//
// and choose in the source of each cgo package what the header shall see: `#cgo CPPFLAGS: -include cgoheap.h`, or a plain
// `#include <cgoheap.h>`. Or let it see all cgo packages of a build, those in the module cache too:
//
//	export CGO_CPPFLAGS="$(go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags) -include cgoheap.h -DCGOHEAP_OPTIONAL"
//
// With -DCGOHEAP_OPTIONAL programs that don't import cgoheap, such as `go tool pprof`, may be built in the same shell (with gcc, and
// without -flto): their calls go to libc's malloc then.
//
//	go run github.com/cgoheap/cgoheap/go/cmd/cgoheap find DIR
//
// writes cgoheap_find.h into DIR, which includes cgoheap.h, or stops the compiler with the line that the shell lacks. In a
// package:
//
//	//go:generate go run github.com/cgoheap/cgoheap/go/cmd/cgoheap find .
//	// #cgo CPPFLAGS: -include ${SRCDIR}/cgoheap_find.h
//
//	go run github.com/cgoheap/cgoheap/go/cmd/cgoheap header DIR
//
// copies the header and all that it includes into DIR, so that no flag in the environment is needed. In a package:
//
//	//go:generate go run github.com/cgoheap/cgoheap/go/cmd/cgoheap header .
//	// #cgo CPPFLAGS: -I${SRCDIR} -include cgoheap.h
//
// Files of these names that don't come from cgoheap are left alone, and the command fails.
//
//	go run github.com/cgoheap/cgoheap/go/cmd/cgoheap libs
//
// prints what a C program that holds Go code, built with -buildmode=c-archive, must be linked with besides: Go puts no other
// archive into the one that it makes.
//
//	go run github.com/cgoheap/cgoheap/go/cmd/cgoheap symbolize -with app.debug c.pb.gz
//
// writes c.named.pb.gz, in which the bare C addresses of c.pb.gz have names, lines and inlined functions from app.debug: the
// program before strip, or what `objcopy --only-keep-debug app app.debug` kept of it. The build ids must agree. Names that the
// profile has, Go's above all, stay as they are, which pprof's -symbolize=force doesn't promise. -with may be given several
// times, for libraries.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cgoheap/cgoheap/include"
)

const usage = `usage:
  cgoheap cflags        print the C compiler's flag for the folder of cgoheap.h
  cgoheap libs          print what a C program with a Go c-archive is linked with
  cgoheap header DIR    copy cgoheap.h and all that it includes into DIR
  cgoheap find DIR      write cgoheap_find.h into DIR: cgoheap.h, or how to have the compiler find it
  cgoheap symbolize -with DEBUGFILE [-o OUTPUT] PROFILE
                        write the profile with names for its bare C addresses`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cgoheap:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "cflags":
		folder, err := folderOf("include")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, quoted("-I"+folder))
		return err
	case len(arguments) == 1 && arguments[0] == "libs":
		folder, err := archiveFolder()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, quoted(filepath.Join(folder, "libcgoheap.a")), "-lpthread -ldl -lm")
		return err
	case len(arguments) == 2 && arguments[0] == "header":
		return copyHeader(arguments[1], "*")
	case len(arguments) == 2 && arguments[0] == "find":
		return copyHeader(arguments[1], "cgoheap_find.h")
	}
	if len(arguments) > 0 && arguments[0] == "symbolize" {
		return symbolize(arguments[1:], out)
	}
	return errors.New(usage)
}

// quoted is a flag as the go command splits its CGO_ variables.
func quoted(flag string) string {
	if strings.ContainsAny(flag, " \t") {
		return `"` + flag + `"`
	}
	return flag
}

// folderOf asks the go command, which alone knows of vendor folders, replacements and workspaces.
func folderOf(part string) (string, error) {
	pkg := "github.com/cgoheap/cgoheap/" + part
	var problem bytes.Buffer
	command := exec.Command("go", "list", "-f", "{{.Dir}}", pkg)
	command.Stderr = &problem
	folder, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("the module of the current folder does not know %s: go get github.com/cgoheap/cgoheap first\n%s",
			pkg, bytes.TrimSpace(problem.Bytes()))
	}
	return strings.TrimSpace(string(folder)), nil
}

// archiveFolder is where the archive of this platform lies: there is a folder for each that cgoheap knows.
func archiveFolder() (string, error) {
	parent, err := folderOf("go")
	if err != nil {
		return "", err
	}
	folder := filepath.Join(parent, "internal", "lib", runtime.GOOS+"_"+runtime.GOARCH)
	if _, err := os.Stat(folder); err != nil {
		return "", fmt.Errorf("cgoheap doesn't support %s/%s: %w", runtime.GOOS, runtime.GOARCH, err)
	}
	return folder, nil
}

// copyHeader copies the files of these names.
func copyHeader(to, names string) error {
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	files, err := fs.Glob(include.Files, names)
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := include.Files.ReadFile(file)
		if err != nil {
			return err
		}
		path := filepath.Join(to, file)
		old, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(old, []byte("cgoheap")) {
			return fmt.Errorf("%s is not a copy of cgoheap's: it stays as it is, give another folder", path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			return err
		}
	}
	return nil
}
