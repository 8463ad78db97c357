//go:build capture

package main

/*
#cgo CFLAGS: -O2 -DCAPTURE -DCGOHEAP_NO_REDIRECT -I${SRCDIR}/../../include
#include "depth.h"
*/
import "C"

import (
	"encoding/json"
	"os"
)

func init() { loads["depth"] = depth }

// depth prints what one sample costs below 10 Go frames and as many C frames as asked for.
func depth(frames int) error {
	var result C.struct_depth_result
	below(6, frames, &result) // with runtime.goexit, main, main.main and depth itself
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"warm_ns": float64(result.warm_ns), "cold_ns": float64(result.cold_ns), "cold_free_ns": float64(result.cold_free_ns),
	})
}

//go:noinline
func below(n, frames int, result *C.struct_depth_result) {
	if n > 1 {
		below(n-1, frames, result)
	} else {
		C.depth_measure(C.int(frames), result)
	}
}
