// Command unwind checks that C++ exceptions and pthread_cancel work beside the archive.
package main

/*
#cgo LDFLAGS: -lunwindlibrary
int unwind_throw(void);
int unwind_cancel(void);
*/
import "C"

import (
	"fmt"
	"os"

	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func main() {
	throw, cancel := C.unwind_throw(), C.unwind_cancel()
	fmt.Println("link: throw", throw, "cancel", cancel)
	if throw != 1 || cancel != 1 {
		os.Exit(1)
	}
}
