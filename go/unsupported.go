//go:build !(linux && amd64 && cgo)

package cgoheap

// The API on platforms without the C side, and in programs built without cgo: it compiles, does nothing and says so.

func setRate(int64) {}

func rate() int { return 0 }

func readStats(*Stats) {}
