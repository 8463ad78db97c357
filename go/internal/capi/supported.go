//go:build linux && amd64 && cgo

package capi

// Supported says whether this program has the C side: it was built for a platform that cgoheap knows, and with cgo.
const Supported = true
