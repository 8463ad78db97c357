//go:build !(linux && amd64 && cgo)

package look

const supported = false
