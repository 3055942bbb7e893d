package journal_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pollux/journal"
	"pollux/measurement"
)

// TestSeamsAreNeverTooHigh changes the intervals of devices with all kinds of
// phases and reads their newest files: the rate is always 1,000, so what a seam does to a
// slot shows. An unfinished step of the old file that became one of the new file's was too high by many times.
func TestSeamsAreNeverTooHigh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.record()
	phases := []phase{{0, 20, 12}, {1, 10, 14}, {2, 60, 6}, {3, 20, 12}, {4, 30, 8}}
	var last int64
	for id := int64(1); id <= 40; id++ {
		last = w.steady(id, phases)
	}
	w.drained()
	unknown, low := 0, 0
	for id := int64(1); id <= 40; id++ {
		file := measurement.Path(fmt.Sprint("sw", id), measurement.KindPort, id, 4)
		series, err := w.dial().Fetch(t.Context(), file, "AVERAGE", time.Unix(w.begin+60, 0), time.Unix(last-120, 0))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		spoiled := 0
		for _, row := range series.Rows {
			switch got := row.Values[0]; {
			case math.IsNaN(got):
				unknown++
				spoiled += series.Step
			case got > 1000*(1+1.02/10):
				t.Errorf("%s: %.0f at %v", file, got, row.Time.Unix()-w.begin)
			case got < 1000*(1-2.0/10)-5:
				t.Errorf("%s: %.0f at %v", file, got, row.Time.Unix()-w.begin)
			case got < 995:
				low++
				spoiled += series.Step
			}
		}
		if most := 2*20 + 2*60 + 2*60 + 2*30; spoiled > most {
			t.Errorf("%s: %d s are unknown or too low, at most %d s may be", file, spoiled, most)
		}
	}
	t.Logf("%d slots unknown, %d too low", unknown, low)
}

// steady appends the polls of a device whose rate is 1,000, each half a second
// after its slot, and returns when the last one was. Slots begin at another second for each device.
func (w *world) steady(id int64, phases []phase) (at int64) {
	w.t.Helper()
	at = w.begin
	for _, p := range phases {
		interval := int64(p.interval)
		at += ((id*7-at)%interval + interval) % interval // the first slot of this interval that does not begin before the old one's end
		for range p.slots {
			ms := at*1000 + 500
			e := journal.Entry{DeviceID: id, Slot: at, Outcome: "up", Dir: fmt.Sprint("sw", id), Step: p.interval, Heartbeat: measurement.Heartbeat(p.interval)}
			e.Measurements = []measurement.Measurement{{
				Kind: measurement.KindPort, Instance: id, Generation: p.generation, Max: measurement.DefaultPortMax,
				Time: time.UnixMilli(ms), Values: portValues(uint64(ms - w.begin*1000)),
			}}
			if result, err := w.journal.Append(w.t.Context(), e); err != nil || result != journal.Accepted {
				w.t.Fatalf("append: %v, %v", result, err)
			}
			at += interval
		}
	}
	return at
}
