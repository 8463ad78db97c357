// Package capi is what the Go packages of this module share of the C side: snapshots with their names, marks, and exact
// counting. Where cgoheap is not supported every function that can fail returns [errors.ErrUnsupported].
package capi
