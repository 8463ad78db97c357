package cgoheap

import "context"

// limit lets a fixed number of goroutines in at a time.
type limit chan struct{}

// acquire waits for a place; the error is the context's.
func (l limit) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryAcquire takes a place if there is one.
func (l limit) tryAcquire() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// release gives the place back.
func (l limit) release() {
	<-l
}

var (
	// encoders limits the profiles that are being named and encoded, each of which takes memory and time.
	encoders = make(limit, maxProfiles)
	// deltas limits the requests that wait for ?seconds= to pass: each keeps a copy of the tables. It is apart from
	// encoders, so that a request that waits takes no place from a profile of this moment.
	deltas = make(limit, maxProfiles)
	// indexed limits the requests to the index page of net/http/pprof that want the profile: those that wait for their turn,
	// and those whose profile is being made.
	indexed = make(limit, maxIndexed)
)

const (
	// maxProfiles is the number of places in encoders, and in deltas.
	maxProfiles = 4
	maxIndexed  = 32
)
