// Command rustpanics holds another Rust library beside cgoheap's archive; both have a standard library and an unwinder.
package main

/*
#cgo LDFLAGS: -lpanics -lgcc_s
unsigned panics_and_catches(unsigned number);
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func main() {
	for range 3 { // before and after cgoheap's own Rust has been at work
		if C.panics_and_catches(42) != 1 {
			fmt.Fprintln(os.Stderr, "the panic was not caught")
			os.Exit(1)
		}
		var profile bytes.Buffer
		if err := cgoheap.WriteHeapProfile(&profile); err != nil || profile.Len() == 0 {
			fmt.Fprintln(os.Stderr, "no profile:", err)
			os.Exit(1)
		}
	}
	fmt.Println("link: three panics caught, three profiles written")
}
