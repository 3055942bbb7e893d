package journal

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pollux/rrdcached"
)

// mill is a daemon in numbers: files fall due at times of their own, and are written at a fixed rate, first in first out.
type mill struct {
	now     time.Time
	pending float64 // files
	stats   rrdcached.Stats
	written float64
}

// run lets d pass in steps, with due and capacity files a second.
func (m *mill) run(d time.Duration, due, capacity float64) {
	const steps = 50
	for range steps {
		part := d.Seconds() / steps
		m.pending += due * part
		done := math.Min(m.pending, capacity*part)
		m.pending, m.written = m.pending-done, m.written+done
	}
	m.now = m.now.Add(d)
	m.stats.UpdatesReceived += uint64(3 * due * d.Seconds())
	m.stats.UpdatesWritten = uint64(m.written)
	m.stats.DataSetsWritten = 3 * m.stats.UpdatesWritten
	m.stats.QueueLength = uint64(m.pending)
}

func within(got, want, tolerance float64) bool { return math.Abs(got-want) <= want*tolerance }

// A daemon that keeps up is idle as long as it is, one that does not waits and shows its capacity, and what it was before is forgotten after 15 minutes.
func TestWriteOutTellsADaemonThatKeepsUpFromOneThatDoesNot(t *testing.T) {
	t.Parallel()
	m, w, random := &mill{now: time.Now()}, &writeOut{}, rand.New(rand.NewPCG(1, 2))
	w.look(m.now, m.stats)
	for range 600 { // a burst of 140 files each second takes 100 ms; a look comes at any moment of it
		m.pending += 140
		m.run(time.Duration(random.Int64N(int64(time.Second))), 0, 1400)
		w.look(m.now, m.stats)
		m.run(time.Second-time.Duration(m.now.UnixNano()%int64(time.Second)), 0, 1400)
	}
	r := w.report()
	if r.Idle < 0.8 || r.Idle > 0.97 || r.Waiting != 0 || r.Capacity != 0 {
		t.Errorf("of a daemon that is busy for a tenth of the time: %+v", r)
	}
	for range 1200 {
		m.run(time.Second, 2000, 1400)
		w.look(m.now, m.stats)
	}
	r = w.report()
	if r.Idle != 0 || !within(r.Waiting.Seconds(), 1200, 0.01) || !within(r.Capacity, 1400, 0.01) || !within(r.Files, 1400, 0.01) ||
		!within(r.Updates, 6000, 0.01) || !within(r.Values, 4200, 0.01) || !within(r.Span.Seconds(), 870, 0.05) || r.Queue < 600_000 {
		t.Errorf("of a daemon that gets more than it can write for 20 minutes: %+v", r)
	}
	m.pending = 0
	for range 1000 {
		m.run(time.Second, 0, 1400)
		w.look(m.now, m.stats)
	}
	if r = w.report(); r.Idle != 1 || r.Waiting != 0 || r.Capacity != 0 || r.Files != 0 {
		t.Errorf("of an idle daemon: %+v", r)
	}
}

// Counters that fall are another instance of the daemon, and a time without a look is not guessed at.
func TestWriteOutStartsAnew(t *testing.T) {
	t.Parallel()
	m, w := &mill{now: time.Now()}, &writeOut{}
	step := func() rrdcached.Stats {
		m.run(time.Second, 100, 50)
		return w.look(m.now, m.stats)
	}
	if added := step(); added != (rrdcached.Stats{}) {
		t.Errorf("the first look adds %+v", added)
	}
	if added := step(); added.UpdatesWritten != 50 || added.UpdatesReceived != 300 || added.DataSetsWritten != 150 {
		t.Errorf("a second adds %+v", added)
	}
	*m = mill{now: m.now} // restarted
	if added := step(); added != (rrdcached.Stats{}) || w.report().Waiting != 0 {
		t.Errorf("a restart adds %+v: %+v", added, w.report())
	}
	for range 20 {
		step()
	}
	if r := w.report(); !within(r.Waiting.Seconds(), 20, 0.01) || !within(r.Capacity, 50, 0.05) {
		t.Errorf("20 s later: %+v", r)
	}
	m.now = m.now.Add(2 * time.Hour)
	if added := step(); added != (rrdcached.Stats{}) || w.report().Span != 0 || w.report().Waiting != 0 {
		t.Errorf("after two hours %+v is added: %+v", added, w.report())
	}
	w.resume(m.now, WriteOut{Waiting: time.Hour, Age: 10 * time.Second})
	if r := w.report(); r.Waiting != time.Hour+10*time.Second {
		t.Errorf("after another recorder that saw files wait for an hour: %+v", r)
	}
	w.resume(m.now, WriteOut{Waiting: 2 * time.Hour, Age: time.Hour})
	if r := w.report(); r.Waiting != time.Hour+10*time.Second {
		t.Errorf("an old report counts: %+v", r)
	}
}

// The share of looks without waiting files is that of the time, when looks come as entries do.
func TestWriteOutOfRandomEntries(t *testing.T) {
	t.Parallel()
	m, w, random := &mill{now: time.Now()}, &writeOut{}, rand.New(rand.NewPCG(3, 4))
	looks := clockwork{at: m.now}
	for range 30_000 { // 50 entries a second, each with 14 files that are due: half of what can be written
		m.run(time.Duration(random.ExpFloat64()*20*float64(time.Millisecond)), 0, 1400)
		if looks.due(m.now, time.Second, true) {
			w.look(m.now, m.stats)
		}
		m.pending += 14
	}
	if r := w.report(); math.Abs(r.Idle-0.5) > 0.1 || !within(r.Files, 700, 0.1) {
		t.Errorf("a daemon that is busy for half of the time: %+v", r)
	}
}

func TestReportsComeBack(t *testing.T) {
	t.Parallel()
	want := WriteOut{Span: time.Minute, Idle: 0.25, Waiting: 7 * time.Second, Queue: math.MaxUint64, Cached: 3, Updates: 1.5, Files: 1e300, Values: 2, Capacity: 1400}
	var got WriteOut
	text := want.text()
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || len(text) > maxWriteOutText {
		t.Errorf("%q came back as %+v, %v", text, got, err)
	}
}
