package consumer

import (
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller"
)

// A slot that was under way when the interval was changed goes into the files of the former interval; every other one into the newest.
func TestASlotOfTheFormerInterval(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	now := r.clock.Now()
	report := poller.Report{
		Poll:         device.Poll{Outcome: device.OutcomeUp},
		Measurements: []measurement.Measurement{{Kind: measurement.KindUptime, Generation: 3, Time: now}, {Kind: measurement.KindUptime, Time: now}},
	}
	for name, c := range map[string]struct {
		interval           int // of the task
		from               time.Duration
		step, first, other int
	}{
		"under way at the change":        {10, 5 * time.Second, 10, 2, 0},
		"of the new interval":            {60, -time.Second, 60, 3, 0},
		"known by a copy from before it": {10, -time.Minute, 60, 3, 0},
		"of the new interval, too early": {60, 5 * time.Second, 60, 3, 0},
	} {
		d := r.store.devices[1]
		d.Interval, d.SlotFrom = 60, now.Add(c.from).Unix()
		e := entryOf(r.turn(1, c.interval), d, report)
		if e.Step != c.step || e.Heartbeat != measurement.Heartbeat(c.step) || e.Measurements[0].Generation != c.first || e.Measurements[1].Generation != c.other {
			t.Errorf("%s: step %d, generations %d and %d", name, e.Step, e.Measurements[0].Generation, e.Measurements[1].Generation)
		}
	}
	if report.Measurements[0].Generation != 3 {
		t.Error("the report was changed")
	}
}
