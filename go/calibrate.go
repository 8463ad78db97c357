//go:build linux && amd64 && cgo

package cgoheap

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/probe"
)

// The C side walks from C into the goroutine by what asmcgocall leaves on the system stack:
//
//	 C side, system stack             goroutine
//	+-------------------+            +--------------------+ hi
//	| cgoheap_go_probe  |            | runtime.goexit     |
//	| _cgo_..._Cfunc_.. |            | ...                |
//	| -> asmcgocall     | boundary   | probeOuter         |
//	| depth             |----------->| probeDirect        |
//	| g                 | hi - depth | _Cfunc_...         |
//	+-------------------+            | runtime.cgocall    |
//	                                 +--------------------+ lo
//
// That layout is the runtime's own affair, so it is not believed: one call is made, and what the C side finds is
// compared with what runtime.Callers says. On any doubt Go frames stay off.

// callers returns the stack of the calling function, itself first.
//
//go:noinline
func callers() []uintptr {
	pcs := make([]uintptr, 16)
	return pcs[:runtime.Callers(2, pcs)]
}

// checkDirect says what is wrong with a probe that was called straight from Go, or "".
func checkDirect(s *sighting) string {
	if s.noTables {
		return "the program has no unwind tables for C code (a static program finds them by /proc/self/exe, or if it is linked with -static -Wl,--eh-frame-hdr)"
	}
	if s.failed {
		return "the call at start found no way from C to the goroutine's stack"
	}
	if name := functionName(s.boundary); name != "runtime.asmcgocall" {
		return fmt.Sprintf("C code was called from %s, expected runtime.asmcgocall", quoteName(name))
	}
	// The stack: runtime.cgocall, the stub that cgo wrote, perhaps a closure that cgo wrote around it, probeDirect (at
	// another line than callers), and from there on exactly what runtime.Callers says. runtime.goexit, the return
	// address of the goroutine's first function, may be missing.
	if len(s.callers) < 3 || len(s.pcs) < 3 {
		return fmt.Sprintf("the call at start found only %d Go frames", len(s.pcs))
	}
	if name := functionName(s.pcs[0]); name != "runtime.cgocall" {
		return fmt.Sprintf("the innermost Go frame is %s, expected runtime.cgocall", quoteName(name))
	}
	if name := functionName(s.pcs[1]); !strings.HasSuffix(name, "._Cfunc_cgoheap_go_probe") {
		return fmt.Sprintf("the second Go frame is %s, expected the cgo stub", quoteName(name))
	}
	i := 2
	for i < len(s.pcs) && isIn(s.pcs[i], "github.com/cgoheap/cgoheap/go.probeDirect") {
		i++
	}
	if i == 2 || i > 4 {
		return fmt.Sprintf("the third Go frame is %s, expected the function that called C", quoteName(functionName(s.pcs[2])))
	}
	rest, want := s.pcs[i:], s.callers[1:]
	if functionName(want[len(want)-1]) == "runtime.goexit" && len(rest) == len(want)-1 {
		want = want[:len(want)-1]
	}
	if !slices.Equal(rest, want) {
		return "the goroutine's stack is not what runtime.Callers says it is"
	}
	return ""
}

// checkNested says whether the address that a probe below a callback found can be believed.
func checkNested(direct, nested *sighting) bool {
	return !nested.failed &&
		nested.boundary == direct.boundary &&
		nested.callback != 0 &&
		functionName(nested.callback) == "crosscall2" &&
		len(nested.pcs) > 2 &&
		functionName(nested.pcs[0]) == "runtime.cgocall" &&
		slices.ContainsFunc(nested.pcs, func(pc uintptr) bool { return isIn(pc, probe.CallbackName) })
}

// isIn says whether returnAddress returns into the named function or a closure in it (cgo writes closures around calls).
func isIn(returnAddress uintptr, function string) bool {
	rest, ok := strings.CutPrefix(functionName(returnAddress), function)
	return ok && (rest == "" || rest[0] == '.')
}

// functionName names the Go function that returnAddress returns into; "" when it isn't in Go code.
func functionName(returnAddress uintptr) string {
	if returnAddress == 0 {
		return ""
	}
	f := runtime.FuncForPC(returnAddress - 1)
	if f == nil {
		return ""
	}
	return f.Name()
}

func quoteName(name string) string {
	if name == "" {
		return "not Go code"
	}
	return name
}
