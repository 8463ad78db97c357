package look

import (
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// measuring has moments taken for a history. No goroutine waits between two of them, so that a test which looks for forgotten
// goroutines finds none.
type measuring struct {
	history *memory.History

	mu       sync.Mutex    // protects all below
	timer    *time.Timer   // of the next turn; nil while nobody wants moments
	stopping bool          // the turn that runs is the last
	ended    chan struct{} // closed by it
}

// start has moments taken from now on; they must not be taken already.
func (m *measuring) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = make(chan struct{})
	m.timer = time.AfterFunc(0, m.turn)
}

// stop ends it, and waits for a moment that is being taken.
func (m *measuring) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.timer.Stop() { // a turn runs
		m.stopping = true
		m.mu.Unlock()
		<-m.ended
		m.mu.Lock()
	}
	m.timer, m.stopping = nil, false
}

// turn takes a moment and sets the time of the next.
func (m *measuring) turn() {
	began := time.Now()
	m.history.Take()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		close(m.ended)
		return
	}
	m.timer.Reset(m.history.Pause(time.Since(began)))
}
