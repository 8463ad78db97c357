package cgoheaptest

import (
	"runtime"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// sanitized says that the program is built with -asan or -msan: then the sanitizer owns malloc. Only a build tag tells, so
// sanitized.go sets it.
var sanitized bool

// skipReason says why nothing can be verified in this program; "" when it can.
func skipReason() string {
	switch {
	case !capi.Supported:
		return "needs " + capi.Platforms + " and cgo, and this is " + runtime.GOOS + "/" + runtime.GOARCH + " or built without cgo"
	case sanitized:
		return "a sanitizer (-asan, -msan) owns malloc in this program"
	}
	return ""
}

// skippedLine is the one line that is logged instead of a verdict.
func skippedLine(reason string) string {
	return "cgoheaptest: skipped, C memory is not verified: " + reason
}
