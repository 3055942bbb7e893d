package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/poller"
)

// The last samples of a device are not older than what since says, whoever took them.
func TestSinceWhenSamplesGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, nil)
		r.clock.offset.Store(int64(-3 * time.Second)) // since is a local time
		now := r.clock.Now().Unix()
		up, partial, down := device.OutcomeUp, device.OutcomePartial, device.OutcomeDown
		for _, c := range []struct {
			name    string
			last    journal.Last
			polled  int64 // slot that the inventory knows
			outcome device.Outcome
			want    time.Duration // ago; 0: no sample
		}{
			{"never polled", journal.Last{}, 0, "", 0},
			{"up", journal.Last{Slot: now - 60, Outcome: up}, now - 60, up, 62 * time.Second},
			{"up, and the inventory is behind", journal.Last{Slot: now - 60, Outcome: up}, now - 600, down, 62 * time.Second},
			{"partial: a port may not have been read", journal.Last{Slot: now - 60, Outcome: partial}, now - 60, up, 600 * time.Second},
			{"down", journal.Last{Slot: now - 60, Outcome: down}, now - 60, up, 600 * time.Second},
			{"up, long ago: the file takes no difference", journal.Last{Slot: now - 3000, Outcome: up}, 0, "", 600 * time.Second},
			{"the journal knows nothing", journal.Last{}, now - 120, up, 122 * time.Second},
			{"the journal knows nothing, and it was down", journal.Last{}, now - 120, down, 600 * time.Second},
		} {
			turn := r.turn(1, 60)
			turn.last = c.last
			got := r.since(turn, device.Device{Interval: 60, PolledSlot: c.polled, LastOutcome: c.outcome})
			if c.want == 0 && !got.IsZero() || c.want != 0 && (time.Since(got)-c.want).Abs() > time.Second {
				t.Errorf("%s: %v ago, want %v", c.name, time.Since(got), c.want)
			}
		}
	})
}

// A break goes into the journal as an unknown sample in front of the other.
func TestBreaksAreWrittenOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	now := time.Now()
	report := poller.Report{Measurements: []measurement.Measurement{{
		Kind: measurement.KindPort, Instance: 3, Time: now, Break: true, Values: make([]measurement.Value, 15),
	}}}
	report.Measurements[0].Values[0] = measurement.Counter(7)
	report.Poll.Outcome = device.OutcomeUp
	turn := r.turn(1, 60)
	for _, c := range []struct {
		last, polled time.Duration // ago
		want         int
	}{{0, 0, 2}, {time.Minute, time.Minute, 2}, {time.Second, time.Minute, 1}, {0, time.Second, 1}} {
		var d device.Device
		turn.last.SampleAt = time.Time{}
		if c.last > 0 {
			turn.last.SampleAt = now.Add(-c.last)
		}
		if c.polled > 0 {
			d.PolledAt = now.Add(-c.polled)
		}
		if got := entryOf(turn, d, report); len(got.Measurements) != c.want {
			t.Errorf("a sample %v ago, a poll %v ago: %d measurements, want %d", c.last, c.polled, len(got.Measurements), c.want)
		}
	}
}

// While the database is away, a copy learns what its polls read of ports: else
// one that was renamed would be taken for another one in each slot.
func TestCopiesLearnTheirPorts(t *testing.T) {
	t.Parallel()
	ports := []device.Port{
		{ID: 1, State: device.PortState{IfName: "a"}, Vanished: true, Missed: 2},
		{ID: 2, State: device.PortState{IfName: "b"}, Generation: 4, RRDMax: 9},
		{ID: 3, State: device.PortState{IfName: "c"}},
	}
	poll := device.Poll{PortsComplete: true, Ports: []device.PortReading{
		{PortID: 1, State: device.PortState{IfName: "x"}, Generation: 1, RRDMax: 7},
		{PortID: 2, State: device.PortState{IfName: "b"}, Generation: 3, RRDMax: 5}, // it began before the interval changed
		{State: device.PortState{IfName: "new"}},
	}}
	absorb(ports, poll)
	if p := ports[0]; p.State.IfName != "x" || p.Vanished || p.Missed != 0 || p.Generation != 1 || p.RRDMax != 7 {
		t.Errorf("port 1: %+v", p)
	}
	if p := ports[1]; p.Generation != 4 || p.RRDMax != 9 {
		t.Errorf("port 2: %+v", p)
	}
	if ports[2].Missed != 1 {
		t.Errorf("port 3: %+v", ports[2])
	}
	poll.PortsComplete = false
	if absorb(ports, poll); ports[2].Missed != 1 {
		t.Errorf("after an incomplete read: %+v", ports[2])
	}
	if absorb(ports, device.Poll{PortsComplete: true}); ports[2].Missed != 1 {
		t.Errorf("after a poll without ports: %+v", ports[2])
	}
}
