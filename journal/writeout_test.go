package journal_test

import (
	"strings"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// writeOut is the report on the only target.
func (w *world) writeOut() journal.WriteOut {
	w.t.Helper()
	status, err := w.journal.Status(w.t.Context())
	if err != nil || len(status.Targets) != 1 {
		w.t.Fatalf("%+v, %v", status, err)
	}
	return status.Targets[0].WriteOut
}

// Entries come so fast that something was always just sent, of which files are
// due at once. The daemon keeps up, so it must be seen without a waiting file, and what is on disk be known.
func TestASteadyStreamBecomesDurable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500*time.Millisecond)
	p := newProxy(t, w.rrd)
	p.writes = 12 * time.Millisecond
	w.through = p.address
	r := w.record(func(r *journal.Recorder) { r.Hurry(100*time.Millisecond, 100*time.Millisecond) })
	every(40*time.Millisecond, 90, func(int) { w.poll(1, 2) })
	if durable := w.cursor()["durable"]; durable == "0-0" {
		t.Errorf("nothing is durable after 3.6 s: %v", w.cursor())
	}
	if idle := r.counter("pollux_rrdcached_idle_ratio"); idle < 0.3 {
		t.Errorf("the daemon writes for 30 %% of the time, and its share of idleness is %.2f", idle)
	}
}

// What the daemon counts is counted in metrics and in the status.
func TestWhatTheDaemonWritesIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	r := w.record()
	for range 5 {
		w.poll(2, 3)
	}
	w.drained()
	if err := w.dial().FlushAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 10*time.Second, "all is counted", func() bool {
		return r.counter("pollux_rrdcached_updates_written_total") == 5*2*3 && r.counter("pollux_rrdcached_files_written_total") == 2*3 &&
			r.counter("pollux_rrdcached_files") == 2*3
	})
	if n := r.counter("pollux_rrdcached_updates_received_total"); n < 5*2*3 || n > 6*2*3 { // and each file's first touch
		t.Errorf("%.0f updates were received", n)
	}
	polluxtest.Eventually(t, 10*time.Second, "the status tells it", func() bool {
		report := w.writeOut()
		return report.Values > 0 && report.Files > 0 && report.Updates > 0 && report.Cached == 2*3 && report.Idle > 0 && report.Age < 5*time.Second
	})
}

// A daemon in whose queue files wait without end is reported in the log once, in metrics and in the status, and so is that it is over.
func TestADaemonThatFallsBehindIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	log := w.logged()
	p := newProxy(t, w.rrd)
	p.busy.Store(true)
	w.through = p.address
	behind := func(r *journal.Recorder) { r.BehindAfter(time.Second) }
	first := w.record(behind)
	w.poll(1, 1)
	w.drained()
	polluxtest.Eventually(t, 10*time.Second, "a line says so", func() bool { return len(log.with("level=WARN", "as fast as they are due", "queue=7")) == 1 })
	waited := w.writeOut().Waiting
	if queue := w.writeOut().Queue; queue != 7 || waited < 500*time.Millisecond {
		t.Errorf("the status says %+v", w.writeOut())
	}
	if seconds := first.counter("pollux_rrdcached_waiting_seconds"); seconds < 1 {
		t.Errorf("the metric says %.1f s", seconds)
	}
	first.stop()
	second := w.record(behind) // goes on counting where the first stopped
	polluxtest.Eventually(t, 10*time.Second, "the next recorder knows since when", func() bool {
		return second.counter("pollux_rrdcached_waiting_seconds") > waited.Seconds()+0.1 && w.writeOut().Waiting > waited
	})
	p.busy.Store(false)
	polluxtest.Eventually(t, 10*time.Second, "it is over", func() bool {
		return len(log.with("level=INFO", "has written all files")) == 1 && w.writeOut().Waiting == 0 && w.writeOut().Idle > 0
	})
	if n := len(log.with("level=WARN", "as fast as they are due")); n != 2 { // one of each recorder
		t.Errorf("%d lines", n)
	}
}

// Redis keeps a report of another program, or of nobody: nothing is known then.
func TestReportsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	r := w.record()
	w.poll(1, 1)
	w.drained()
	r.stop()
	ids := w.client.SMembers(t.Context(), w.journal.Key("targets")).Val()
	key := w.journal.Key("cursor", ids[0])
	for _, fields := range [][]any{
		{"writeout", ""}, {"writeout", "{"}, {"writeout", "[1]"}, {"writeout", `{"span":-1}`}, {"writeout", `{"span":"x"}`},
		{"writeout", `{"span":1,"waiting":-1}`}, {"writeout", strings.Repeat(" ", 2000) + "{}"}, {"writeout", "{}", "writeout_at", "x"},
	} {
		if err := w.client.HSet(t.Context(), key, fields...).Err(); err != nil {
			t.Fatal(err)
		}
		if got := w.writeOut(); got.Span != 0 || got.Waiting != 0 {
			t.Errorf("%.60q is read as %+v", fields, got)
		}
	}
	if err := w.client.HDel(t.Context(), key, "writeout", "writeout_at").Err(); err != nil { // a program without it
		t.Fatal(err)
	}
	if got := w.writeOut(); got != (journal.WriteOut{}) {
		t.Errorf("nothing is read as %+v", got)
	}
	w.record()
	w.poll(1, 1)
	w.drained()
}
