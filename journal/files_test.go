package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
)

// port is the file of a port of device 1.
func port(instance int64) string { return measurement.Path("sw1", measurement.KindPort, instance, 0) }

// A file that is repaired takes values again, on the same connection.
func TestARepairedFileIsTakenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	bad := filepath.Join(w.rrd.Base, port(1001))
	if err := os.MkdirAll(filepath.Dir(bad), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("this is not an RRD file"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	w.poll(1, 3)
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 1 {
		t.Errorf("%.0f lines are refused, want 1", n)
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	w.recovers(r, 3)
}

// A disk that was full for long held up the log first, and then the new files are refused. When it has room, they are made.
func TestNewFilesAreMadeAfterALongFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	if _, err := journal.Identify(t.Context(), w.dial(), clusterID); err != nil { // the tree exists
		t.Fatal(err)
	}
	p := newProxy(t, w.rrd)
	p.full.Store(true)
	w.through = p.address
	r := w.record(func(r *journal.Recorder) { r.FullFor(50 * time.Millisecond) })
	w.poll(2, 2)
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 4 {
		t.Errorf("%.0f lines are refused, want 4", n)
	}
	p.full.Store(false)
	w.recovers(r, 2)
}

// recovers polls two devices until a poll has no refused line any more.
func (w *world) recovers(r *running, ports int) {
	w.t.Helper()
	polluxtest.Eventually(w.t, 10*time.Second, "no line is refused", func() bool {
		before, sent := r.counter("pollux_rrd_updates_total", "refused"), r.counter("pollux_rrd_updates_total", "accepted")
		w.poll(2, ports)
		w.drained()
		return r.counter("pollux_rrd_updates_total", "refused") == before && r.counter("pollux_rrd_updates_total", "accepted") == sent+float64(2*ports)
	})
}

// A Redis that does not store the cursor is no fault of the file that is just looked at.
func TestTroubleWithRedisSpoilsNoFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	first := w.record()
	w.poll(1, 3)
	w.drained()
	first.stop()
	w.poll(1, 3)
	trouble := &trouble{}
	w.client.AddHook(trouble)
	p := newProxy(t, w.rrd)
	tried := false
	p.probed = func() { // the time since the last store grows, so that the next question stores again, in vain
		if !tried {
			tried = true
			<-time.After(200 * time.Millisecond)
			trouble.scripts.Store(1)
		}
	}
	w.through = p.address
	r := w.record()
	w.drained()
	if left := trouble.scripts.Load(); left > 0 || !tried {
		t.Error("no call to Redis failed: the test proves nothing")
	}
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 0 {
		t.Errorf("%.0f lines were refused", n)
	}
	if right, wrong := w.verdict(); wrong > 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// A fresh process looks at the sources of one file of a directory, and at those of the files that it found spoiled.
func TestSourcesAreLookedAtOncePerDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	schema, err := measurement.Schema(measurement.KindUptime, step, 600, 0, archives("AVERAGE:1x10")())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.rrd.Base, "sw1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.dial().Create(t.Context(), port(1000), schema, time.Unix(w.begin, 0), ""); err != nil {
		t.Fatal(err)
	}
	first := w.record()
	w.poll(2, 20)
	w.drained()
	first.stop()
	p := newProxy(t, w.rrd)
	w.through = p.address
	r := w.record()
	w.poll(2, 20)
	w.drained()
	if n := p.infos.Load(); n != 3 { // the foreign file, the one after it, and one of the other directory
		t.Errorf("%d files were looked at, want 3", n)
	}
	polls := 1
	polluxtest.Eventually(t, 10*time.Second, "the foreign file is looked at again", func() bool {
		w.poll(2, 20)
		polls++
		w.drained()
		return p.infos.Load() >= 5
	})
	delete(w.counted, port(1000))
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != float64(polls) {
		t.Errorf("%.0f lines are refused, want %d", n, polls)
	}
}

// A table of files that is full is emptied between two batches: within one, lines would go unguarded.
func TestAFullTableOfFilesLeavesNoLineUnguarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	r := w.record(func(r *journal.Recorder) { r.RememberFiles(10) })
	for range 5 {
		w.poll(3, 6)
	}
	w.drained()
	client := w.dial()
	if err := client.FlushAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 10*time.Second, "all is on disk", func() bool {
		for file, samples := range w.counted {
			if info, err := client.Info(t.Context(), file); err != nil || info.LastUpdate.Unix() != samples[len(samples)-1].ms/1000 {
				return false
			}
		}
		return true
	})
	w.kill()
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "the restart is seen", func() bool { return w.cursor()["instance"] == "1" })
	for range 5 {
		w.poll(3, 6)
	}
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if n := r.counter("pollux_rrd_updates_total", "present"); n < 5*3*6 {
		t.Errorf("%.0f lines were present, want 90", n)
	}
}
