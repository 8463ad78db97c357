//go:build asan || msan

package cgoheaptest

// A variable's initialisation comes before all init functions, which ask.
var _ = func() bool { sanitized = true; return true }()
