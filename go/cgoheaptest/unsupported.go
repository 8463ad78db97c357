//go:build !(linux && amd64 && cgo)

package cgoheaptest

const supported = false

func warmUp() {}
