package consumer

import (
	"fmt"
	"sync"
	"time"
)

const (
	// sealedFor is how long a device is remembered whose credentials did not
	// open: longer than the longest interval, so that the next poll says it again.
	sealedFor = 75 * time.Minute
	maxSealed = 20_000
)

// sealed are the devices whose stored credentials did not open on this node
// when they were read last. The zero sealed is ready.
type sealed struct {
	mu   sync.Mutex
	seen map[int64]time.Time // at most maxSealed
}

func (s *sealed) note(id int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[int64]time.Time{}
	}
	if _, known := s.seen[id]; known || len(s.seen) < maxSealed {
		s.seen[id] = now
	}
}

func (s *sealed) forget(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, id)
}

// check is an error that tells of how many devices the credentials do not
// open. One that this node was not asked to poll since is forgotten.
func (s *sealed) check(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var one int64
	for id, at := range s.seen {
		if now.Sub(at) > sealedFor {
			delete(s.seen, id)
			continue
		}
		if one == 0 || id < one {
			one = id
		}
	}
	if len(s.seen) == 0 {
		return nil
	}
	return fmt.Errorf("the stored credentials of %d devices, such as %d, do not open with this node's keys: add the former key to APP_PREVIOUS_KEYS, or set them anew with: pollux device set", len(s.seen), one)
}

// Credentials is nil when the stored credentials of all devices opened when
// this node read them last. Those that did not are polled with a copy as long as there is one.
func (c *Consumer) Credentials() error { return c.inventory.sealed.check(time.Now()) }
