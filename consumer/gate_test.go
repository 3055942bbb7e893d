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
				if err := g.enter(t.Context()); err != nil {
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
		if err := g.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("enter: %v", err)
		}
		if len(g.waiting) != 0 {
			t.Fatal("who gave up still waits")
		}
		entered := make(chan error, 1)
		go func() { entered <- g.enter(t.Context()) }()
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
