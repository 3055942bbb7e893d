package journal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with are the lines that hold all of the words.
func (l *lines) with(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

// logged makes a world's recorders log into what it returns.
func (w *world) logged() *lines {
	l := &lines{}
	w.log = slog.New(slog.NewTextHandler(l, nil))
	return l
}

// writeOut is the report on the only target.
func (w *world) writeOut() journal.WriteOut {
	w.t.Helper()
	status, err := w.journal.Status(w.t.Context())
	if err != nil || len(status.Targets) != 1 {
		w.t.Fatalf("%+v, %v", status, err)
	}
	return status.Targets[0].WriteOut
}

// Entries come so fast that something was always just sent, and each has files
// that are due at once. The daemon keeps up, so it must be seen without a waiting file, and the log be trimmed.
func TestASteadyStreamBecomesDurable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2*time.Second, "-w", "1", "-f", "4", "-t", "1")
	r := w.record(func(r *journal.Recorder) { r.Hurry(500*time.Millisecond, 200*time.Millisecond) })
	const devices, ports = 30, 30
	every(50*time.Millisecond, 9*20, func(i int) {
		if result, err := w.journal.Append(t.Context(), w.entry(int64(1+i%devices), ports)); err != nil || result != journal.Accepted {
			t.Errorf("append: %v, %v", result, err)
		}
		if i%devices == devices-1 {
			w.slots++
		}
	})
	status, err := w.journal.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if target := status.Targets[0]; target.Unwritten == 0 || target.Unwritten > 6*time.Second {
		t.Errorf("what is not known to be on disk is %v old: %v", target.Unwritten, w.cursor())
	}
	report := w.writeOut()
	if report.Idle < 0.3 || report.Files < 100 || report.Span < 3*time.Second || report.Cached < devices*ports {
		t.Errorf("the report says %+v", report)
	}
	if idle := r.counter("pollux_rrdcached_idle_ratio"); idle < 0.3 {
		t.Errorf("the metric says %.2f", idle)
	}
	for _, name := range []string{"updates_received", "updates_written", "files_written"} {
		if n := r.counter("pollux_rrdcached_" + name + "_total"); n < 500 {
			t.Errorf("%s is %.0f", name, n)
		}
	}
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
