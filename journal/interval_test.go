package journal_test

import (
	"math"
	"testing"
	"time"

	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
)

// phase is a time in which a device has one interval.
type phase struct {
	generation, interval, slots int
}

// intervals appends the polls of a device whose interval changes, 300 ms after
// each slot, and returns the samples of its port. The rate of each slot differs from its neighbours'.
func (w *world) intervals(phases []phase) []counted {
	w.t.Helper()
	var samples []counted
	at, count := w.begin, uint64(1_000_000)
	for _, p := range phases {
		for i := range p.slots {
			ms := at*1000 + 300
			if n := len(samples); n > 0 {
				count += uint64(ms-samples[n-1].ms) / 1000 * uint64(100+300*(i%2))
			}
			samples = append(samples, counted{ms, count})
			e := journal.Entry{DeviceID: 1, Slot: at, Outcome: "up", Dir: "sw1", Step: p.interval, Heartbeat: measurement.Heartbeat(p.interval)}
			e.Measurements = []measurement.Measurement{{
				Kind: measurement.KindPort, Instance: 5, Generation: p.generation, Max: measurement.DefaultPortMax,
				Time: time.UnixMilli(ms), Values: portValues(count),
			}}
			if result, err := w.journal.Append(w.t.Context(), e); err != nil || result != journal.Accepted {
				w.t.Fatalf("append: %v, %v", result, err)
			}
			at += int64(p.interval)
		}
	}
	return samples
}

// compare checks the slots of a file between two times against the closed form.
func (w *world) compare(file string, samples []counted, from, to, coarse int64) (right, wrong int) {
	w.t.Helper()
	series, err := w.dial().Fetch(w.t.Context(), file, "AVERAGE", time.UnixMilli(from), time.UnixMilli(to))
	if err != nil {
		w.t.Fatalf("%s: %v", file, err)
	}
	for _, row := range series.Rows {
		end := row.Time.UnixMilli()
		begin := end - int64(series.Step)*1000
		coarse := max(coarse, int64(series.Step)) * 1000
		begin, end = begin/coarse*coarse, (end+coarse-1)/coarse*coarse // the slot as it was first recorded
		if begin < from || end > to {
			continue
		}
		want := average(samples, begin, end)
		if got := row.Values[0]; math.Abs(got-want) <= want*1e-3 {
			right++
		} else {
			wrong++
			w.t.Logf("%s at %v: %.3f, want %.3f", file, row.Time, got, want)
		}
	}
	return right, wrong
}

// A changed interval opens a new generation of the file. It goes on from the
// history of the old one, loses nothing in a kill, and every slot between two of its samples is right.
func TestAChangedIntervalOpensAGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.begin -= 3600
	r := w.record()
	samples := w.intervals([]phase{{0, 300, 8}, {1, 60, 20}, {2, 300, 8}})
	w.drained()
	w.rrd.Kill() // at which every file has pending values
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "the restart is seen", func() bool { return w.cursor()["instance"] == "1" })
	more := w.client.XLen(t.Context(), w.journal.Stream()).Val()
	w.drained()
	for _, c := range []struct {
		generation, first, last, least int   // samples between which all slots must be right
		coarse                         int64 // seconds: step of the file that the history comes from
	}{
		{0, 0, 7, 6, 300}, {1, 8, 27, 18, 60}, {2, 28, 35, 6, 300},
		{1, 0, 7, 6 * 5, 300}, {2, 0, 7, 6, 300}, {2, 8, 26, 2, 300}, // history of the generations before
	} {
		file := measurement.Path("sw1", measurement.KindPort, 5, c.generation)
		if right, wrong := w.compare(file, samples, samples[c.first].ms, samples[c.last].ms, c.coarse); wrong > 0 || right < c.least {
			t.Errorf("%s, samples %d to %d: %d slots right, %d wrong", file, c.first, c.last, right, wrong)
		}
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 || more != 36 {
		t.Errorf("%.0f lines were refused, %d entries", refused, more)
	}
}

// A file without a new generation keeps its step and takes samples of any interval up to its heartbeat.
func TestAFileKeepsItsStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.begin -= 3600
	w.record()
	samples := w.intervals([]phase{{0, 300, 6}, {0, 60, 20}, {0, 300, 6}})
	w.drained()
	file := measurement.Path("sw1", measurement.KindPort, 5, 0)
	if right, wrong := w.compare(file, samples, samples[0].ms, samples[len(samples)-1].ms, 300); wrong > 0 || right < 14 {
		t.Errorf("%d slots right, %d wrong", right, wrong)
	}
}

// A generation whose older file does not exist begins anew.
func TestAGenerationWithoutHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.record()
	samples := w.intervals([]phase{{3, 60, 10}})
	w.drained()
	file := measurement.Path("sw1", measurement.KindPort, 5, 3)
	if right, wrong := w.compare(file, samples, samples[0].ms, samples[9].ms, 60); wrong > 0 || right < 8 {
		t.Errorf("%d slots right, %d wrong", right, wrong)
	}
}

// TestKillsAtAnIntervalOfTenSeconds runs in real time: simulated switches whose
// rates change by half or more from slot to slot are polled over SNMP every ten seconds, and the
// daemon is killed five times, once right after the recorder has come back and once
// while no recorder lives. Beside it the same is done to two daemons whose
// recorders lack a rule, to prove that each is needed.
func TestKillsAtAnIntervalOfTenSeconds(t *testing.T) {
	t.Parallel()
	const slots = 11
	shared := &world{t: t, redis: polluxtest.Redis(t)}
	shared.client = dialRedis(t, shared.redis)
	shared.journal = journal.New(shared.client, 0)
	n := newNetwork(t, shared.journal)
	if change := n.smallestChange(slots); change < 0.5 {
		t.Fatalf("a rate changes by %.0f %% only", change*100)
	}
	var members []*member
	for _, m := range []struct {
		name string
		rule func(*journal.Recorder)
	}{
		{"all rules", func(*journal.Recorder) {}},
		{"without the probe", (*journal.Recorder).WithoutProbe},
		{"without the stored count", (*journal.Recorder).WithoutStoredUpdates},
	} {
		// A value stays in memory for 15 to 20 s, so that each kill takes one or two of every port.
		members = append(members, newMember(shared, m.name, m.rule, 38*time.Second, "-w", "15", "-z", "3", "-f", "20", "-t", "1"))
		members[len(members)-1].start()
	}
	n.poll(slots)
	for i, kill := range []struct {
		after float64 // seconds from the first slot: in the midst of a slot's polls, or between two slots'
		do    func(*member)
	}{
		{51.2, (*member).crash},
		{61.2, func(m *member) { // two
			after := m.crashOnReturn()
			t.Logf("%s: killed at most %v after the reconnect", m.name, after)
			if m == members[0] && after > 500*time.Millisecond {
				t.Error("that is too late to prove anything")
			}
		}},
		{76, (*member).crash},
		{86.2, (*member).crashUnseen}, // the last: a restart that is seen would send again what this one takes
	} {
		until(n.begin.Add(time.Duration(kill.after * float64(time.Second))))
		for _, m := range members {
			if durable := m.cursor()["durable"]; i == 0 && (durable == "" || durable == "0-0") {
				t.Errorf("%s: nothing is durable after %.0f s", m.name, kill.after)
			}
			kill.do(m)
		}
	}
	n.polling.Wait()
	samples := n.answered()
	for i, m := range members {
		m.settle()
		v := m.judge(samples)
		t.Logf("%s: %d slots right, %d unknown, %d off by more than 2 %%, the worst by %.3f %%; %.0f lines accepted, %.0f present, %.0f refused; %v",
			m.name, v.right, v.unknown, v.off, v.worst*100, m.lines("accepted"), m.lines("present"), m.lines("refused"), m.cursor())
		if v.right+v.unknown+v.off != switches*switchPorts*2*(slots-2) {
			t.Errorf("%s: %d slots, want %d", m.name, v.right+v.unknown+v.off, switches*switchPorts*2*(slots-2))
		}
		switch {
		case i == 0 && (v.unknown+v.off > 0 || m.lines("refused") > 0 || m.cursor()["instance"] != "5"):
			t.Errorf("%s: after five kills %d slots are unknown and %d off, %v", m.name, v.unknown, v.off, m.cursor())
		case i == 0 && m.lines("present") == 0:
			t.Error("no replayed line was on disk already: the test proves nothing")
		case i > 0 && v.unknown+v.off == 0:
			t.Errorf("%s: nothing is lost; is the rule still needed?", m.name)
		}
	}
}
