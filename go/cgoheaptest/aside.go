package cgoheaptest

import "runtime"

// asideReason says why nothing can be verified in this program; "" when it can.
func asideReason() string {
	switch {
	case !supported:
		return "needs linux/amd64 and cgo, and this is " + runtime.GOOS + "/" + runtime.GOARCH + " or built without cgo"
	case sanitized:
		return "a sanitizer (-asan, -msan) owns malloc in this program"
	}
	return ""
}

// skippedLine is the one line that is logged instead of a verdict.
func skippedLine(reason string) string {
	return "cgoheaptest: skipped, C memory is not verified: " + reason
}
