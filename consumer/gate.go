package consumer

import (
	"context"
	"slices"
	"sync"
)

// gate lets a limited number of holders in. Its limit may change at any time:
// a smaller one takes effect as holders leave.
//
// Its places may be divided between lanes, each of which then has some kept for
// it: a lane that holds as many as that gets more only while enough are free
// for what the others lack of theirs. So however many lanes are slow, none of
// the others finds all places taken.
type gate struct {
	mu      sync.Mutex
	limit   int
	holders int
	waiting []waiter // in the order of their coming

	kept   int           // places for each lane
	lanes  []int         // places that each lane holds
	laneOf map[int64]int // index in lanes, by group
	groups map[int64]int // places that the groups hold, of lanes that are no more too
}

// waiter is one who waits for a place.
type waiter struct {
	group int64
	in    chan struct{} // closed when let in
}

// divide keeps so many places for each lane, a list of groups. Groups of no
// lane have none kept for them. With fewer places than lanes none are kept.
func (g *gate) divide(lanes [][]int64, kept int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept, g.lanes, g.laneOf = kept, make([]int, len(lanes)), map[int64]int{}
	for lane, groups := range lanes {
		for _, group := range groups {
			g.laneOf[group] = lane
			g.lanes[lane] += g.groups[group]
		}
	}
	g.admit()
}

// resize sets the limit.
func (g *gate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}

// tryEnter enters when there is room, and says whether it did.
func (g *gate) tryEnter() bool { return g.tryEnterFor(0) }

// tryEnterFor enters for a group when there is room for it, and says whether it did.
func (g *gate) tryEnterFor(group int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.take(group)
}

// full says whether nobody could enter now.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holders >= g.limit
}

// enter waits for room for a group until ctx ends.
func (g *gate) enter(ctx context.Context, group int64) error {
	g.mu.Lock()
	if g.take(group) {
		g.mu.Unlock()
		return nil
	}
	in := make(chan struct{})
	g.waiting = append(g.waiting, waiter{group, in})
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
		g.release(group)
	default:
		g.waiting = slices.DeleteFunc(g.waiting, func(w waiter) bool { return w.in == in })
	}
	return ctx.Err()
}

// leave gives a place back.
func (g *gate) leave() { g.leaveFor(0) }

// leaveFor gives a place of a group back.
func (g *gate) leaveFor(group int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release(group)
}

// take takes a place when there is room for a group. Whoever waits found none
// for its lane, so nobody is overtaken who could have it. The caller holds mu.
func (g *gate) take(group int64) bool {
	if !g.hasRoom(group, g.spare()) {
		return false
	}
	g.count(group, 1)
	return true
}

// release gives a place back and lets in who waits for it. The caller holds mu.
func (g *gate) release(group int64) {
	g.count(group, -1)
	g.admit()
}

// count notes that a group holds more or fewer places. The caller holds mu.
func (g *gate) count(group int64, places int) {
	g.holders += places
	if g.groups == nil {
		g.groups = map[int64]int{}
	}
	if g.groups[group] += places; g.groups[group] == 0 {
		delete(g.groups, group)
	}
	if lane, known := g.laneOf[group]; known {
		g.lanes[lane] += places
	}
}

// spare is how many free places are kept for no lane. The caller holds mu.
func (g *gate) spare() int {
	spare := g.limit - g.holders
	if g.limit < len(g.lanes) {
		return spare
	}
	for _, held := range g.lanes {
		spare -= max(g.kept-held, 0)
	}
	return spare
}

// hasRoom says whether a group may take a place. The caller holds mu.
func (g *gate) hasRoom(group int64, spare int) bool {
	if g.holders >= g.limit {
		return false
	}
	lane, known := g.laneOf[group]
	return spare > 0 || known && g.limit >= len(g.lanes) && g.lanes[lane] < g.kept
}

// admit lets in those who wait, as far as there is room for their lanes. The caller holds mu.
func (g *gate) admit() {
	for i := 0; i < len(g.waiting) && g.holders < g.limit; {
		if w := g.waiting[i]; g.take(w.group) {
			close(w.in)
			g.waiting = slices.Delete(g.waiting, i, i+1)
			continue
		}
		i++
	}
}
