package consumer

import (
	"context"
	"sync"
)

// gate lets a limited number of holders in. Its limit may change at any time:
// a smaller one takes effect as holders leave.
type gate struct {
	mu      sync.Mutex
	limit   int
	holders int
	waiting []chan struct{} // in the order of their coming; closed when let in
}

// resize sets the limit.
func (g *gate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}

// tryEnter enters when there is room, and says whether it did.
func (g *gate) tryEnter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holders >= g.limit || len(g.waiting) > 0 {
		return false
	}
	g.holders++
	return true
}

// full says whether nobody could enter now.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holders >= g.limit || len(g.waiting) > 0
}

// size is the limit.
func (g *gate) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}

// enter waits for room until ctx ends.
func (g *gate) enter(ctx context.Context) error {
	if g.tryEnter() {
		return nil
	}
	in := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, in)
	g.admit()
	g.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-in: // let in at the same moment: give the place back
		g.holders--
		g.admit()
	default:
		for i, other := range g.waiting {
			if other == in {
				g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
				break
			}
		}
	}
	return ctx.Err()
}

// leave gives a place back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holders--
	g.admit()
}

// admit lets in those who wait, as far as there is room. The caller holds mu.
func (g *gate) admit() {
	for g.holders < g.limit && len(g.waiting) > 0 {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.holders++
	}
}
