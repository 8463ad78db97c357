//go:build !(linux && amd64 && cgo)

package capi

import "errors"

// Mark draws no line.
func Mark() uint32 { return 0 }

// SetCounting is not supported.
func SetCounting(bool) error { return errors.ErrUnsupported }

// Counted counts nothing.
func Counted() (objects, bytes uint64) { return 0, 0 }

// Snapshot is never made.
type Snapshot struct{}

// Take is not supported.
func Take() (*Snapshot, error) { return nil, errors.ErrUnsupported }

// TakeSince is not supported.
func TakeSince(uint32) (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Free does nothing.
func (*Snapshot) Free() {}

// Subtract is not supported.
func (*Snapshot) Subtract(*Snapshot) error { return errors.ErrUnsupported }

// Encode is not supported.
func (*Snapshot) Encode(int) ([]byte, error) { return nil, errors.ErrUnsupported }
