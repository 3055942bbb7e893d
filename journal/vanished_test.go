package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// deleted removes files under the daemon.
func (w *world) deleted(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(w.rrd.Base, name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A file that is deleted while a recorder works, which made it, is made again:
// RRDCached takes values for it and cannot write them, and nothing else says so.
func TestAFileDeletedUnderALiveRecorderIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	log := w.logged()
	r := w.record(func(r *journal.Recorder) { r.Inspect(2) })
	for range 3 {
		w.poll(1, 4)
		w.drained()
	}
	w.deleted(port(1001), port(1003))
	began := time.Now()
	polluxtest.Eventually(t, 20*time.Second, "they are there", func() bool {
		w.poll(1, 4)
		w.drained()
		return w.there(port(1001)) && w.there(port(1003))
	})
	t.Logf("made again after %v", time.Since(began))
	for range 4 {
		w.poll(1, 4)
	}
	w.drained()
	for _, name := range []string{port(1001), port(1003)} { // what was sent while they were away is lost
		w.counted[name] = w.counted[name][len(w.counted[name])-4:]
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 0 {
		t.Errorf("%.0f lines are refused", n)
	}
	if told := log.with("level=WARN", "went away under RRDCached", "file=sw1/port-id100"); len(told) == 0 {
		t.Error("nothing is told")
	}
}

// One that a fresh recorder would look at first costs no line.
func TestADeletedFileIsMadeAgainWithItsFirstLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	first := w.record()
	w.poll(1, 3)
	w.drained()
	first.stop()
	w.deleted(port(1000))
	r := w.record()
	w.poll(1, 3)
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 0 || !w.there(port(1000)) {
		t.Errorf("%.0f lines are refused, the file is there: %v", n, w.there(port(1000)))
	}
}

// A daemon that cannot look at files, for want of descriptors, takes values all the same: those of good files are not refused.
func TestADaemonThatSeesNoFilesIsSentValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	p := newProxy(t, w.rrd)
	w.through = p.address
	log := w.logged()
	r := w.record(func(r *journal.Recorder) { r.Inspect(2) })
	w.poll(1, 3)
	w.drained()
	p.unseen.Store(true)
	polluxtest.Eventually(t, 20*time.Second, "it is told", func() bool {
		w.poll(1, 3)
		w.drained()
		return len(log.with("level=WARN", "a file cannot be looked at")) > 0
	})
	for range 5 {
		w.poll(1, 3)
	}
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 0 {
		t.Errorf("%.0f lines are refused", n)
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}
