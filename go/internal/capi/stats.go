//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

#cgo noescape cgoheap_read_stats
#cgo nocallback cgoheap_read_stats
#cgo noescape cgoheap_own_ranges
#cgo nocallback cgoheap_own_ranges
*/
import "C"

import (
	"time"
	"unsafe"
)

// ReadStats returns the current totals.
func ReadStats() Stats {
	var s Stats
	var c C.struct_cgoheap_stats
	if C.cgoheap_read_stats(&c, C.size_t(unsafe.Sizeof(c))) != C.CGOHEAP_OK {
		return s
	}
	s.Rate = int(c.interval_bytes)
	s.AllocObjects, s.AllocBytes = uint64(c.alloc_objects), uint64(c.alloc_bytes)
	s.LiveObjects, s.LiveBytes = uint64(c.live_objects), uint64(c.live_bytes)
	s.AllocBytesMargin, s.LiveBytesMargin = uint64(c.alloc_bytes_margin), uint64(c.live_bytes_margin)
	s.LiveBytesInDoubt = uint64(c.live_bytes_in_doubt)
	s.PeakBytes = uint64(c.peak_bytes)
	if c.peak_time_nanos != 0 {
		s.PeakTime = time.Unix(0, int64(c.peak_time_nanos))
	}
	s.Samples, s.LiveSamples, s.Stacks = uint64(c.samples), uint64(c.live_samples), uint64(c.stacks)
	s.OwnBytes = uint64(c.own_bytes)
	s.GoFrames = c.go_frames == 1
	s.Interpose = int(c.interpose)
	s.Lost.SamplesNoMemory = uint64(c.samples_no_memory)
	s.Lost.SamplesLockBusy = uint64(c.samples_lock_busy)
	s.Lost.StacksTableFull = uint64(c.stacks_table_full)
	s.Lost.FreesLockBusy = uint64(c.frees_lock_busy)
	s.Lost.FreesUnseen = uint64(c.frees_unseen)
	s.Lost.StacksTooDeep = uint64(c.stacks_too_deep)
	s.Lost.StacksNoUnwindInfo = uint64(c.stacks_no_unwind_info)
	s.Lost.StacksBadUnwindInfo = uint64(c.stacks_bad_unwind_info)
	s.Lost.StacksUnreadable = uint64(c.stacks_unreadable)
	s.Lost.StacksGoSystem = uint64(c.stacks_go_system)
	s.Lost.StacksGoOff = uint64(c.stacks_go_off)
	s.Lost.StacksBadGo = uint64(c.stacks_bad_go)
	s.Lost.StacksNoRoom = uint64(c.stacks_no_room)
	s.Lost.ModulesTableFull = uint64(c.modules_table_full)
	s.Lost.OwnMemoryRefused = uint64(c.own_memory_refused)
	return s
}

// OwnRanges returns where cgoheap's own tables are mapped, in the place of what was in room.
func OwnRanges(room []Range) []Range {
	const most = 1024
	if cap(room) < most {
		room = make([]Range, most)
	}
	room = room[:most]
	// Range is laid out as struct cgoheap_range.
	n := C.cgoheap_own_ranges((*C.struct_cgoheap_range)(unsafe.Pointer(&room[0])), most)
	return room[:n]
}
