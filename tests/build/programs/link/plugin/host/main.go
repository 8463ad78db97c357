// Command host opens the plugin given, and wants to see what it leaks, and the Go functions of both that led there. (The
// plugin has a copy of its own of the runtime's code where Go and C stacks meet.)
package main

import (
	"fmt"
	"os"
	"plugin"
	"runtime/pprof"
	"strings"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func main() {
	opened, err := plugin.Open(os.Args[1])
	check(err)
	cgoheap.SetRate(1)
	for _, name := range []string{"Leak", "LeakBelowCallback"} {
		leak, err := opened.Lookup(name)
		check(err)
		leak.(func())()
	}
	var text strings.Builder
	check(pprof.Lookup("cgoheap").WriteTo(&text, 1))
	for _, want := range [][]string{
		{"\n1: 1000 ", "other_leak", "example.com/other.Leak", "plugin.Leak\t", "main.main"},
		{"\n1: 2000 ", "other_leak", "example.com/other.Leak", "plugin.belowCallback", "enter_go", "plugin.LeakBelowCallback", "main.main"},
	} {
		rest := text.String()
		for i, function := range want {
			var found bool
			if i == 1 {
				rest, _, _ = strings.Cut(rest, "\n\n") // this stack alone
			}
			if _, rest, found = strings.Cut(rest, function); !found {
				fmt.Fprintf(os.Stderr, "no stack with %q: %q is missing\n%s", want, function, &text)
				os.Exit(1)
			}
		}
	}
	fmt.Println("link: both leaks of the plugin are shown, with all their callers")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
