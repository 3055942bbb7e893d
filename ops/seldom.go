package ops

import (
	"sync"
	"time"
)

// Seldom keeps a log from being flooded: of events that come in numbers, such
// as everything that fails while a server is away, it lets one in ten seconds
// through. The zero Seldom is ready; it may be used by several goroutines.
type Seldom struct {
	mu   sync.Mutex
	last time.Time // that was let through
	held int       // since then
}

// seldomEvery is the least time between two events that are let through.
const seldomEvery = 10 * time.Second

// Note says whether an event is let through, and how many were not since the last one that was.
func (s *Seldom) Note(now time.Time) (held int, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last) < seldomEvery {
		s.held++
		return 0, false
	}
	held, s.held, s.last = s.held, 0, now
	return held, true
}
