package cgoheap

import "github.com/cgoheap/cgoheap/go/internal/capi"

// HoldEncoders takes all places for making profiles, until release is called.
func HoldEncoders() (release func()) {
	for range maxProfiles {
		encoders <- struct{}{}
	}
	return func() {
		for range maxProfiles {
			encoders.release()
		}
	}
}

// WaitingDeltas counts the requests that wait for their seconds to pass.
func WaitingDeltas() int { return len(deltas) }

// MaxProfiles is the number of profiles made at a time, and of requests that wait.
const MaxProfiles = maxProfiles

// Delta is the profile of what f changes.
func Delta(f func()) ([]byte, error) {
	earlier, err := capi.Take()
	if err != nil {
		return nil, err
	}
	defer earlier.Free()
	f()
	later, err := capi.Take()
	if err != nil {
		return nil, err
	}
	defer later.Free()
	if err := later.Subtract(earlier); err != nil {
		return nil, err
	}
	return later.Encode(0)
}
