// Command cgo is the cgo loads of `make bench`:
//
//	cgo LOAD ROUNDS
//
// What is measured is the CPU time of the process; the HTTP load also prints requests per second and latency. Built plain,
// with -tags capture (the whole process) and with -tags header (see header.go).
package main

import (
	"fmt"
	"os"
	"strconv"
)

var loads = map[string]func(rounds int) error{
	"sqlite":     sqlite,
	"zstd":       compress,
	"treesitter": parse,
	"http":       serve,
	"pair":       pairs,
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: cgo LOAD ROUNDS")
		os.Exit(2)
	}
	rounds, err := strconv.Atoi(os.Args[2])
	run := loads[os.Args[1]]
	if err != nil || run == nil {
		fmt.Fprintf(os.Stderr, "cgo: no load %q of %q rounds\n", os.Args[1], os.Args[2])
		os.Exit(2)
	}
	if err := run(rounds); err != nil {
		fmt.Fprintf(os.Stderr, "cgo: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
