package journal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/polluxtest"
)

// of appends a poll of device 1 as a program would that writes a version, and makes no checksum.
func (w *world) of(version byte, ports int) {
	w.t.Helper()
	payload, err := journal.EncodeEntry(w.entry(1, ports))
	if err != nil {
		w.t.Fatal(err)
	}
	payload[0] = version
	if err := w.client.XAdd(w.t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []any{"e", payload}}).Err(); err != nil {
		w.t.Fatal(err)
	}
	w.slots++
}

// counting counts how often the lease is asked for.
type counting struct {
	journal.Lease
	tries *atomic.Int64
}

func (c counting) TryAcquire(ctx context.Context) (bool, error) {
	c.tries.Add(1)
	return c.Lease.TryAcquire(ctx)
}

// While nodes are upgraded one by one, a recorder that cannot read an entry
// records what stands before it and leaves the rest to one that can.
func TestAnEntryOfALaterProgramWaitsForIt(t *testing.T) {
	t.Parallel()
	this := func(*journal.Recorder) {}
	t.Run("a later one", func(t *testing.T) {
		t.Parallel()
		upgrade(t, 5, this, func(r *journal.Recorder) { r.Knows(5) })
	})
	t.Run("this one, after one that knows version 1 only", func(t *testing.T) {
		t.Parallel()
		upgrade(t, 2, func(r *journal.Recorder) { r.Knows(1) }, this)
	})
}

// upgrade lets an older recorder meet entries of a version that only a newer one knows.
func upgrade(t *testing.T, version byte, old, knowing func(*journal.Recorder)) {
	w := newWorld(t, acceleratedWindow)
	var tries atomic.Int64
	w.wrap = func(l journal.Lease) journal.Lease { return counting{l, &tries} }
	w.poll(1, 3) // all are read at once
	w.poll(1, 3)
	w.of(version, 3)
	w.poll(1, 3)
	older := w.record(old)
	polluxtest.Eventually(t, 10*time.Second, "what stands before it is recorded, and the lease is free", func() bool {
		status, err := w.journal.Status(t.Context())
		return err == nil && len(status.Targets) == 1 && status.Targets[0].Recorder == "" && older.counter("pollux_rrd_updates_total", "accepted") == 2*3
	})
	tried := tries.Load()
	polluxtest.Eventually(t, 10*time.Second, "the rest waits", func() bool { return older.counter("pollux_journal_lag_seconds") > 1 })
	if n := tries.Load(); n != tried {
		t.Errorf("the older recorder asked %d times for the lease", n-tried)
	}
	newer := w.record(knowing)
	w.drained()
	if n := newer.counter("pollux_rrd_updates_total", "accepted"); n != 2*3 {
		t.Errorf("the newer recorder sent %.0f lines", n)
	}
	w.of(version, 3)
	w.poll(1, 3)
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	for _, r := range []*running{older, newer} {
		if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 0 {
			t.Errorf("%.0f entries were dropped", n)
		}
	}
}

// A replay comes to entries again that a later program had taken: the time since they were met first says nothing.
func TestAReplayWaitsForTheLaterProgramAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	const patience = 2 * time.Second
	w.poll(1, 3)
	w.of(5, 3)
	w.poll(1, 3)
	older := w.record(func(r *journal.Recorder) { r.Patience(patience) })
	polluxtest.Eventually(t, 10*time.Second, "the older one stands before it", func() bool {
		return older.counter("pollux_rrd_updates_total", "accepted") == 3
	})
	met := time.Now()
	newer := w.record(func(r *journal.Recorder) { r.Knows(5) })
	w.drained()
	polluxtest.Eventually(t, 10*time.Second, "the patience would be over", func() bool { return time.Since(met) > patience })
	newer.stop()
	w.kill()
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "the older one sees the restart", func() bool { return w.cursor()["instance"] == "1" })
	w.record(func(r *journal.Recorder) { r.Knows(5) })
	w.drained()
	if n := older.counter("pollux_journal_cut_total", "undecodable"); n != 0 {
		t.Errorf("%.0f entries were dropped", n)
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// When no later program comes, as after a downgrade, its entries are dropped at last, and counted.
func TestEntriesOfALaterProgramAreDroppedAtLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	const patience = 1500 * time.Millisecond
	started := time.Now()
	r := w.record(func(r *journal.Recorder) { r.Patience(patience) })
	w.poll(1, 2)
	for range 3 {
		w.of(5, 2)
		w.poll(1, 2)
	}
	w.drained()
	if waited := time.Since(started); waited < patience {
		t.Errorf("they were dropped after %v", waited)
	}
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 3 {
		t.Errorf("%.0f entries are undecodable, want 3", n)
	}
	if n := r.counter("pollux_rrd_updates_total", "accepted"); n != 4*2 {
		t.Errorf("%.0f lines are accepted, want 8", n)
	}
}
