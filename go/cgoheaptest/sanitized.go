//go:build asan || msan

package cgoheaptest

const sanitized = true
