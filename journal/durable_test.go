package journal_test

import (
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestAKillAfterABacklog lets the daemon be away longer than its window, then
// catch up, then crash. The entries are older than the window by then, but
// what may be lost is what was acknowledged last, not what was measured last.
func TestAKillAfterABacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5*time.Second, "-w", "2", "-f", "3", "-t", "1")
	hurry := func(r *journal.Recorder) { r.Hurry(500*time.Millisecond, 200*time.Millisecond) }
	w.record(hurry)
	every(100*time.Millisecond, 75, func(int) { w.poll(3, 6) })
	w.drained()
	before := w.cursor()["durable"]
	if before == "" || before == "0-0" {
		t.Errorf("nothing is durable after 7.5 s: %v", w.cursor())
	}
	w.kill()
	every(100*time.Millisecond, 42, func(int) { w.poll(3, 6) })
	every(100*time.Millisecond, 53, func(int) {}) // all of them are older than the window
	w.rrd.Start()
	w.drained()
	every(100*time.Millisecond, 4, func(int) {}) // the recorder looks what is durable, and the daemon has not written it yet
	w.kill()
	w.rrd.Start()
	every(100*time.Millisecond, 5, func(int) { w.poll(3, 6) })
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right < 115*3*6*15 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// TestNothingIsDurableWhileFilesWaitToBeWritten: an update that is old enough may still stand in the daemon's queue.
func TestNothingIsDurableWhileFilesWaitToBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500*time.Millisecond)
	p := newProxy(t, w.rrd)
	p.busy.Store(true)
	w.through = p.address
	r := w.record(func(r *journal.Recorder) { r.Hurry(100*time.Millisecond, 100*time.Millisecond) })
	every(100*time.Millisecond, 20, func(int) { w.poll(2, 2) })
	w.drained()
	if cursor := w.cursor(); cursor["durable"] != "0-0" {
		t.Errorf("durable while files wait: %v", cursor)
	}
	if queue := r.counter("pollux_rrdcached_queue_length"); queue != 7 {
		t.Errorf("the queue's length is %.0f", queue)
	}
	p.busy.Store(false)
	polluxtest.Eventually(t, 10*time.Second, "all is durable", func() bool {
		cursor := w.cursor()
		return cursor["durable"] == cursor["acked"]
	})
}

// TestAFullDiskLosesNothing: while the daemon cannot create files the log waits.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	p := newProxy(t, w.rrd)
	p.full.Store(true)
	w.through = p.address
	r := w.record()
	w.poll(2, 2)
	polluxtest.Eventually(t, 10*time.Second, "the recorder tries to create", func() bool { return p.refused.Load() >= 2 })
	polluxtest.Eventually(t, 10*time.Second, "it says so", func() bool { return r.health() != nil })
	w.poll(2, 2)
	p.full.Store(false)
	every(50*time.Millisecond, 5, func(int) { w.poll(2, 2) })
	w.drained()
	if err := r.health(); err != nil {
		t.Errorf("all is recorded, and its health is %v", err)
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
		t.Errorf("%.0f lines were refused", refused)
	}
}

// TestTheCapCutsTheOldestFirst fills the log while the daemon is away, and once while it is there.
func TestTheCapCutsTheOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.limit.Store(1 << 40)
	r := w.record()
	every(time.Millisecond, 100, func(int) { w.poll(3, 6) })
	w.drained()
	w.limit.Store(40_000)
	polluxtest.Eventually(t, 10*time.Second, "acknowledged entries are cut", func() bool {
		return r.counter("pollux_journal_cut_total", "acked") > 100 && r.counter("pollux_journal_bytes") < 45_000
	})
	if lost := r.counter("pollux_journal_cut_total", "lost"); lost != 0 {
		t.Errorf("%.0f entries are lost", lost)
	}
	w.kill()
	kept := w.client.XLen(t.Context(), w.journal.Stream()).Val()
	every(time.Millisecond, 200, func(int) { w.poll(3, 6) })
	polluxtest.Eventually(t, 10*time.Second, "entries are lost", func() bool {
		return r.counter("pollux_journal_cut_total", "lost") > 100 && r.counter("pollux_journal_bytes") < 45_000
	})
	length := w.client.XLen(t.Context(), w.journal.Stream()).Val()
	cut := r.counter("pollux_journal_cut_total", "acked") + r.counter("pollux_journal_cut_total", "lost")
	if int64(cut)+length != 900 {
		t.Errorf("%.0f entries cut and %d left, 900 were appended (%d before the daemon went)", cut, length, kept)
	}
	// It stays known when the processes that counted it are gone.
	polluxtest.Eventually(t, 10*time.Second, "the status tells of the cuts", func() bool {
		s, err := w.journal.Status(t.Context())
		return err == nil && float64(s.Lost) == r.counter("pollux_journal_cut_total", "lost") && float64(s.AtRisk) == r.counter("pollux_journal_cut_total", "acked")
	})
	// What is left is recorded.
	w.limit.Store(1 << 40)
	w.rrd.Start()
	w.drained()
	if accepted := r.counter("pollux_rrd_updates_total", "accepted"); int64(accepted) < length*6 {
		t.Errorf("%.0f lines are accepted, %d entries were left", accepted, length)
	}
}

// TestRedisIsKilled: Redis comes back with its append-only file, and recording goes on where it was.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	r := w.record()
	for range 3 {
		every(20*time.Millisecond, 15, func(int) { w.poll(3, 6) })
		w.redis.Kill()
		w.redis.Start()
	}
	every(20*time.Millisecond, 15, func(int) { w.poll(3, 6) })
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
		t.Errorf("%.0f lines were refused", refused)
	}
}

// TestAFullRedisDoesNotStopRecording: the cursor cannot be stored, and what the log holds is recorded all the same.
func TestAFullRedisDoesNotStopRecording(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	r := w.record()
	w.poll(2, 3)
	w.drained()
	before := w.cursor()["acked"]
	full := func(bytes string) {
		if err := w.client.ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	w.rrd.Pause() // so that the entries are not recorded before Redis is full
	every(time.Millisecond, 5, func(int) { w.poll(2, 3) })
	full("1")
	w.rrd.Resume()
	polluxtest.Eventually(t, 10*time.Second, "all lines are sent", func() bool {
		return r.counter("pollux_rrd_updates_total", "accepted") == 6*2*3
	})
	if acked := w.cursor()["acked"]; acked != before {
		t.Errorf("a full Redis took the cursor %s", acked)
	}
	full("0")
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}
