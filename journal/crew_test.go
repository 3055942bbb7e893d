package journal_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestACrewFollowsTheShards starts with one RRDCached, gets another shard, has
// one RRDCached named for both, and loses the shard again.
func TestACrewFollowsTheShards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	second := polluxtest.RRDCached(t, accelerated...)
	shards := journal.NewShards(w.client)
	first, added, wrong := journal.Post{Target: w.rrd.Address}, journal.Post{Shard: 1, Target: second.Address}, journal.Post{Shard: 2, Target: w.rrd.Address}
	var mu sync.Mutex
	posts := []journal.Post{first}
	inForce := func(next ...journal.Post) { mu.Lock(); posts = next; mu.Unlock() }
	crew := journal.NewCrew(func() []journal.Post { mu.Lock(); defer mu.Unlock(); return posts }, func(p journal.Post) (*journal.Recorder, error) {
		config := w.config()
		config.Target = p.Target
		r, err := journal.NewRecorder(shards.Shard(p.Shard), config, w.newLease, prometheus.NewRegistry(), quiet(t))
		if err == nil {
			r.Hurry(time.Second, 300*time.Millisecond)
		}
		return r, err
	}, quiet(t))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = crew.Run(ctx) })
	defer running.Wait()
	defer cancel()

	poll := func(shard int) {
		t.Helper()
		for id := range int64(3) {
			e := w.entry(int64(shard)*10+id+1, 2)
			e.Shard = shard
			if result, err := shards.AppendOn(t.Context(), "", e); err != nil || result != journal.Accepted {
				t.Errorf("append to shard %d: %v, %v", shard, result, err)
			}
		}
		w.slots++
	}
	recorded := func(shard, targets int) bool {
		status, err := shards.Shard(shard).Status(t.Context())
		if err != nil || len(status.Targets) != targets {
			return false
		}
		for _, target := range status.Targets {
			if target.Lag > 0 || target.Recorder == "" {
				return false
			}
		}
		return true
	}
	poll(0)
	poll(1)
	polluxtest.Eventually(t, 30*time.Second, "shard 0 is recorded", func() bool { return recorded(0, 1) })
	if recorded(1, 1) {
		t.Error("shard 1 is recorded before it has an RRDCached")
	}
	inForce(first, added, wrong)
	polluxtest.Eventually(t, 30*time.Second, "shard 1 is recorded", func() bool { return recorded(1, 1) })
	polluxtest.Eventually(t, 30*time.Second, "an RRDCached of two shards is refused", func() bool { return errors.Is(crew.Health()[wrong], journal.ErrTargetShard) })
	if health := crew.Health(); health[first] != nil || health[added] != nil {
		t.Errorf("health: %v", health)
	}
	inForce(first)
	polluxtest.Eventually(t, 30*time.Second, "nobody records shard 1", func() bool {
		status, err := shards.Shard(1).Status(t.Context())
		return err == nil && status.Targets[0].Recorder == ""
	})
	poll(0)
	polluxtest.Eventually(t, 30*time.Second, "shard 0 is still recorded", func() bool { return recorded(0, 1) })
	if len(crew.Health()) != 1 {
		t.Errorf("posts that are left: %v", crew.Health())
	}
}
