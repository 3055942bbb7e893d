package consumer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateHoldsItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		g.resize(3)
		var mu sync.Mutex
		inside, most := 0, 0
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := g.enter(t.Context(), 0); err != nil {
					t.Error(err)
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				inside--
				mu.Unlock()
				g.leave()
			})
		}
		all.Wait()
		if most != 3 || g.holders != 0 {
			t.Errorf("%d were inside at once, %d are left", most, g.holders)
		}
	})
}

func TestGateGivesUpAndResizes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		g.resize(1)
		if g.full() || !g.tryEnter() || g.tryEnter() || !g.full() {
			t.Fatal("a gate of one takes one")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.enter(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("enter: %v", err)
		}
		if len(g.waiting) != 0 {
			t.Fatal("who gave up still waits")
		}
		entered := make(chan error, 1)
		go func() { entered <- g.enter(t.Context(), 0) }()
		synctest.Wait()
		g.resize(2)
		if err := <-entered; err != nil {
			t.Fatal(err)
		}
		g.resize(1)
		g.leave()
		if g.tryEnter() {
			t.Error("a smaller gate takes more")
		}
		g.leave()
		if !g.tryEnter() {
			t.Error("an empty gate takes none")
		}
	})
}

// Two slow groups of three leave the third what is kept for it, and use the rest.
func TestGateKeepsPlacesForEachLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		g.resize(10)
		g.divide([][]int64{{0}, {3}, {5, 6}}, 2)
		var mu sync.Mutex
		polled := map[int64]int{}
		release := make(chan struct{})
		var all sync.WaitGroup
		work := func(group int64, tasks int, until <-chan struct{}) {
			for range tasks {
				all.Go(func() {
					if err := g.enter(t.Context(), group); err != nil {
						t.Error(err)
					}
					mu.Lock()
					polled[group]++
					mu.Unlock()
					<-until
					g.leaveFor(group)
				})
			}
			synctest.Wait()
		}
		atOnce := make(chan struct{})
		close(atOnce)
		work(0, 7, release)
		work(3, 7, release)
		if polled[0] != 6 || polled[3] != 2 || g.holders != 8 {
			t.Errorf("the slow groups hold %v of 10 places", polled)
		}
		work(6, 20, atOnce)
		if polled[6] != 20 {
			t.Errorf("%d of 20 of the third group found a place", polled[6])
		}
		work(9, 1, atOnce) // of no lane: a former one
		if polled[9] != 0 {
			t.Error("a place that is kept went to a group of no lane")
		}
		g.divide([][]int64{{0}, {3}}, 2) // the third lane is gone: what was kept for it is free
		synctest.Wait()
		if polled[0] != 7 || polled[3] != 3 || polled[9] != 0 || g.holders != 10 {
			t.Errorf("after a lane went: %v, %d places taken", polled, g.holders)
		}
		close(release)
		all.Wait()
		if polled[0] != 7 || polled[3] != 7 || polled[9] != 1 || g.holders != 0 || len(g.groups) != 0 || g.lanes[0] != 0 || g.lanes[1] != 0 {
			t.Errorf("in the end: %v, %d holders, %v by group, %v by lane", polled, g.holders, g.groups, g.lanes)
		}
	})
}

func TestGateWithFewerPlacesThanLanes(t *testing.T) {
	t.Parallel()
	g := &gate{}
	g.resize(2)
	g.divide([][]int64{{0}, {1}, {2}}, 1)
	first, second := g.tryEnterFor(2), g.tryEnterFor(2)
	if !first || !second || g.tryEnterFor(0) {
		t.Error("it is not open to whoever comes first")
	}
	g.resize(3) // now one is kept for each of the others
	if g.tryEnterFor(2) || !g.tryEnterFor(0) {
		t.Error("the third place is not kept for those who have none")
	}
}

func TestPlanKeepsWorkersForEachLane(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ groups, workers, share, lane, kept int }{
		{1, 10, 75, 10, 0}, {2, 10, 75, 7, 3}, {3, 10, 75, 7, 1}, {3, 100, 75, 75, 12}, {3, 100, 100, 98, 1},
		{16, 100, 75, 75, 1}, {50, 100, 75, 75, 1}, {10, 10, 75, 1, 1}, {3, 2, 75, 1, 1}, {2, 1, 75, 1, 1},
	} {
		p := plan{groups: make([]int64, c.groups), workers: c.workers, share: c.share}
		if p.laneWorkers() != c.lane || p.kept() != c.kept {
			t.Errorf("%d groups, %d workers, %d %%: %d for a lane, %d kept; want %d and %d", c.groups, c.workers, c.share, p.laneWorkers(), p.kept(), c.lane, c.kept)
		}
		if lanes := min(c.groups, maxLanes); c.workers >= lanes && c.kept*(lanes-1)+p.laneWorkers() > c.workers {
			t.Errorf("%d groups, %d workers: what is kept is more than there is", c.groups, c.workers)
		}
	}
}
