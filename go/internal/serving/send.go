package serving

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// An answer waits in memory for its reader, and holds a goroutine and a connection. Nobody has to read fast, but whoever reads
// nearly nothing is cut off: each piece of an answer must be gone after pieceTimeout. And however many readers are slow, no
// more than maxSending answers are kept for them: one more cuts off the oldest.
const (
	pieceBytes = 64 << 10
	maxSending = 32
)

// Variables for tests, which don't wait that long.
var (
	pieceTimeout = 10 * time.Second
	// sendingAge: an answer that began later is not cut off for another.
	sendingAge = time.Second
)

// sending is an answer that its reader hasn't got yet.
type sending struct {
	control *http.ResponseController
	began   time.Time
	mu      sync.Mutex // protects cut; held for each change of the deadline, none of which comes after the handler's return
	cut     bool
	over    bool
}

// answers are all that are being sent, oldest first.
var answers struct {
	sync.Mutex
	all []*sending
}

// deadline sets the time at which writing fails; it does nothing when the answer was cut off.
func (s *sending) deadline(t time.Time) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return false
	}
	// A writer that can't set it keeps the server's.
	_ = s.control.SetWriteDeadline(t)
	return true
}

func (s *sending) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.cut = true
		_ = s.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

func enter(s *sending) {
	answers.Lock()
	defer answers.Unlock()
	if len(answers.all) >= maxSending && time.Since(answers.all[0].began) > sendingAge {
		answers.all[0].cutOff()
		answers.all = answers.all[1:]
	}
	answers.all = append(answers.all, s)
}

func leave(s *sending) {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	answers.Lock()
	defer answers.Unlock()
	for i, other := range answers.all {
		if other == s {
			answers.all = append(answers.all[:i:i], answers.all[i+1:]...)
			return
		}
	}
}

// Send answers with data, of which the headers have been set. It belongs behind the release of every place and lock. The
// server's WriteTimeout, if it has one, counts from the time since, and holds. An error means that the client has gone or was
// cut off, and there is nobody to tell.
func Send(w http.ResponseWriter, r *http.Request, since time.Time, data []byte) {
	if r.Method == http.MethodHead {
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	var notAfter time.Time
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.WriteTimeout > 0 {
		notAfter = since.Add(server.WriteTimeout)
	}
	s := &sending{control: http.NewResponseController(w), began: time.Now()}
	enter(s)
	defer leave(s)
	for len(data) > 0 {
		piece := data[:min(len(data), pieceBytes)]
		by := time.Now().Add(pieceTimeout)
		if !notAfter.IsZero() && notAfter.Before(by) {
			by = notAfter
		}
		if !s.deadline(by) {
			return
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
		data = data[len(piece):]
	}
	if err := s.control.Flush(); err == nil && notAfter.IsZero() {
		s.deadline(time.Time{}) // the connection's next request has a time of its own
	}
}
