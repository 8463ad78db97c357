//go:build cgo

package capi

import _ "github.com/cgoheap/cgoheap/go/internal/lib/linux_arm64" // links the archive
