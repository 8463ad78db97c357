//go:build interpose

package main

import (
	"fmt"
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func init() { checkInterpose = interposeStepsAside }

// interposeStepsAside says whether a library that a C program opens knows that malloc is that program's.
func interposeStepsAside() bool {
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	if stats.Interpose != cgoheap.InterposeAside {
		fmt.Fprintln(os.Stderr, "interpose:", stats.Interpose)
		return false
	}
	fmt.Println("link: interpose:", stats.Interpose)
	return true
}
