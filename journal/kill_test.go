package journal_test

import (
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// accelerated are flags of rrdcached a hundred times shorter than usual: 7 s in all.
var accelerated = []string{"-w", "2", "-z", "1", "-f", "4", "-t", "1"}

const acceleratedWindow = 7 * time.Second

// TestNothingIsLostWhenRRDCachedIsKilled kills the daemon five times under
// load, once right after the recorder has come back, and looks at every slot of every file.
func TestNothingIsLostWhenRRDCachedIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	r := w.record()
	kills := 0
	restart := func() {
		w.kill()
		kills++
		w.rrd.Start()
	}
	back := func() bool { // and has sent something to the new instance
		cursor := w.cursor()
		return cursor["instance"] == itoa(kills) && cursor["updates"] != "0"
	}
	every(100*time.Millisecond, 165, func(i int) {
		w.poll(5, 8)
		switch i {
		case 20, 35:
			restart()
		case 45: // two, the second within half a second of the recorder's return
			restart()
			polluxtest.Eventually(t, 10*time.Second, "the recorder is back", back)
			restart()
		case 150: // when the log is trimmed already
			if durable := w.cursor()["durable"]; durable == "0-0" {
				t.Error("nothing is durable after 10 s")
			}
			restart()
		}
	})
	w.drained()
	right, wrong := w.verdict()
	t.Logf("%d kills: %d slots right, %d wrong; %d files torn", kills, right, wrong, len(w.torn))
	if wrong > 0 || right < 160*(5*8-len(w.torn))*15 || len(w.torn) > kills { // with one thread it writes one file at a time
		t.Errorf("after %d kills %d slots are right and %d are lost or wrong", kills, right, wrong)
	}
	if !back() {
		t.Errorf("after %d kills the cursor is %v", kills, w.cursor())
	}
	if present := r.counter("pollux_rrd_updates_total", "present"); present == 0 {
		t.Error("no replayed line was on disk already: the test proves nothing")
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
		t.Errorf("%.0f lines were refused", refused)
	}
	if status, err := w.journal.Status(t.Context()); err != nil || status.Entries >= 165*5 {
		t.Errorf("the log was not trimmed: %+v, %v", status, err)
	}
}

// TestWithoutTheProbeAKillLoses is the same with rule J2 switched off, and proves that the test above can fail.
func TestWithoutTheProbeAKillLoses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	w.record((*journal.Recorder).WithoutProbe)
	every(100*time.Millisecond, 70, func(i int) {
		w.poll(3, 6)
		if i == 45 {
			w.kill()
			w.rrd.Start()
		}
	})
	w.drained()
	right, wrong := w.verdict()
	t.Logf("%d right, %d lost", right, wrong)
	if wrong == 0 {
		t.Errorf("only %d slots are lost; is the probe still needed?", wrong)
	}
}

// TestARestartThatNobodySaw restarts the daemon while no recorder lives. The
// count of updates that is stored beside the cursor shows it to the next one.
func TestARestartThatNobodySaw(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"with the stored count nothing is lost": true, "without it much is lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, flags := func(*journal.Recorder) {}, accelerated
			if !stored { // and a daemon that writes nothing out meanwhile, however long a busy machine takes
				set, flags = (*journal.Recorder).WithoutStoredUpdates, nil
			}
			w := newWorld(t, acceleratedWindow, flags...)
			r := w.record(set)
			every(50*time.Millisecond, 25, func(int) { w.poll(3, 6) })
			w.drained()
			r.stop()
			w.probe(50) // what others ask of the daemon must not hide the restart
			w.kill()
			w.rrd.Start()
			w.probe(50)
			w.record(set)
			every(50*time.Millisecond, 10, func(int) { w.poll(3, 6) })
			w.drained()
			right, wrong := w.verdict()
			t.Logf("%d right, %d lost", right, wrong)
			if stored && (wrong > 0 || right == 0) {
				t.Errorf("%d slots are right and %d are lost", right, wrong)
			}
			if !stored && wrong == 0 { // how many depends on what the daemon had written out
				t.Errorf("only %d slots are lost; is the stored count still needed?", wrong)
			}
		})
	}
}
