// Command host opens the plugin given, and wants to see what it leaks. The plugin has a copy of runtime.asmcgocall of its
// own, which is not the one where C stacks are known to end: its Go frames stay unseen, and the stack says that it was cut.
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
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leak, err := opened.Lookup("Leak")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cgoheap.SetRate(1)
	leak.(func())()
	var text strings.Builder
	if err := pprof.Lookup("cgoheap").WriteTo(&text, 1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !strings.Contains(text.String(), "other_leak") || !strings.Contains(text.String(), "[stack cut: no unwind table]") {
		fmt.Fprintf(os.Stderr, "the plugin's leak is not shown\n%s", &text)
		os.Exit(1)
	}
	fmt.Println("link: the plugin's leak is shown")
}
