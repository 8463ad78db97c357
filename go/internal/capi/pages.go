//go:build linux && (amd64 || arm64) && cgo

package capi

import (
	"syscall"
	"unsafe"
)

// PagesResident sets in[i] to 1 or 0: whether page i from start on is resident (mincore). It returns false when that can't be
// known, since a part is not mapped. Any goroutine may call it; the time is in proportion to len(in).
func PagesResident(start uint64, in []byte) bool {
	if len(in) == 0 {
		return false
	}
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(start), uintptr(len(in)*syscall.Getpagesize()), uintptr(unsafe.Pointer(&in[0])))
	return errno == 0
}

// StackSize is how many bytes the stack of a thread has unless it was asked for another size; 0: not known.
func StackSize() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &limit); err != nil || limit.Cur > 1<<40 {
		return 0
	}
	return limit.Cur
}

// FileInMemory says whether a file lies on no disk but in memory: tmpfs, ramfs or hugetlbfs.
func FileInMemory(path string) bool {
	var at syscall.Statfs_t
	if err := syscall.Statfs(path, &at); err != nil {
		return false
	}
	switch uint32(at.Type) {
	case 0x01021994, 0x858458f6, 0x958458f6:
		return true
	}
	return false
}
