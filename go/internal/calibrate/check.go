// Package calibrate finds out at start how stacks lead from C into Go, and checks it.
//
// The C side walks from C into the goroutine by what asmcgocall leaves on the system stack:
//
//	 C side, system stack             goroutine
//	+-------------------+            +--------------------+ hi
//	| cgoheap_go_probe  |            | runtime.goexit     |
//	| _cgo_..._Cfunc_.. |            | ...                |
//	| -> asmcgocall     | boundary   | probeOuter         |
//	| depth             |----------->| probeDirect        |
//	| g                 | hi - depth | capi.ProbeStack    |
//	+-------------------+            | _Cfunc_...         |
//	                                 | runtime.cgocall    |
//	                                 +--------------------+ lo
//
// Nothing promises that layout, so it is measured and checked: one call is made, and what the C side finds is
// compared with what runtime.Callers says. On any doubt Go frames stay off. A second call is made below a callback, for the
// way from the called Go function back to the C code that called it.
package calibrate

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// GoFrames makes the two calls, checks what they found, and tells the C side whether stacks may be followed into Go. It
// returns why not, or "". To be called once, while the program starts.
func GoFrames() (problem string) {
	direct, nested := probes()
	problem = checkDirect(direct)
	if problem == "" {
		callback := uintptr(0)
		// Without it all but the Go frames above a callback are found: not worth refusing the rest.
		if checkNested(direct, nested) {
			callback = nested.Callback
		}
		err := capi.JoinGo(direct.Boundary, callback)
		if err == nil {
			return ""
		}
		problem = err.Error()
	}
	capi.RefuseGo()
	return problem
}

// checkDirect says what is wrong with a probe that was called straight from Go, or "".
func checkDirect(s *sighting) string {
	if s.NoTables {
		return "the program has no unwind tables for C code (in a static program they are found more surely if it is linked with -static -Wl,--eh-frame-hdr)"
	}
	if s.Failed {
		return "the call at start found no way from C to the goroutine's stack"
	}
	if name := functionName(s.Boundary); name != "runtime.asmcgocall" {
		return fmt.Sprintf("C code was called from %s, expected runtime.asmcgocall", quoteName(name))
	}
	// The stack: runtime.cgocall, the stub that cgo wrote, capi.ProbeStack and perhaps a closure that cgo wrote in it,
	// probeDirect (at another line than callers), and from there on exactly what runtime.Callers says. runtime.goexit, the
	// return address of the goroutine's first function, may be missing.
	if len(s.callers) < 3 || len(s.PCs) < 4 {
		return fmt.Sprintf("the call at start found only %d Go frames", len(s.PCs))
	}
	if name := functionName(s.PCs[0]); name != "runtime.cgocall" {
		return fmt.Sprintf("the innermost Go frame is %s, expected runtime.cgocall", quoteName(name))
	}
	if name := functionName(s.PCs[1]); name != capi.ProbeStubName {
		return fmt.Sprintf("the second Go frame is %s, expected the cgo stub", quoteName(name))
	}
	i := 2
	for i < len(s.PCs) && isIn(s.PCs[i], capi.ProbeName) {
		i++
	}
	if i == 2 || i > 4 {
		return fmt.Sprintf("the third Go frame is %s, expected the function that called C", quoteName(functionName(s.PCs[2])))
	}
	if i == len(s.PCs) || !isIn(s.PCs[i], functionName(s.callers[0])) {
		return "the Go frame after the function that called C is not its caller"
	}
	rest, want := s.PCs[i+1:], s.callers[1:]
	if functionName(want[len(want)-1]) == "runtime.goexit" && len(rest) == len(want)-1 {
		want = want[:len(want)-1]
	}
	if !slices.Equal(rest, want) {
		return "the goroutine's stack is not what runtime.Callers says it is"
	}
	return ""
}

// checkNested says whether the address that a probe below a callback found can be used.
func checkNested(direct, nested *sighting) bool {
	return !nested.Failed &&
		nested.Boundary == direct.Boundary &&
		nested.Callback != 0 &&
		functionName(nested.Callback) == "crosscall2" &&
		len(nested.PCs) > 2 &&
		functionName(nested.PCs[0]) == "runtime.cgocall" &&
		slices.ContainsFunc(nested.PCs, func(pc uintptr) bool { return isIn(pc, capi.CallbackName) })
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
