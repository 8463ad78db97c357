package cgoheap

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
	earlier, err := takeSnapshot()
	if err != nil {
		return nil, err
	}
	defer earlier.free()
	f()
	later, err := takeSnapshot()
	if err != nil {
		return nil, err
	}
	defer later.free()
	if err := later.subtract(earlier); err != nil {
		return nil, err
	}
	return later.encode(0)
}
