package consumer

import (
	"testing"
	"time"

	"pollux/journal"
	"pollux/measurement"
)

// TestRecentDropsATenthAtOnce: a full list must not move all of its entries at each append.
func TestRecentDropsATenthAtOnce(t *testing.T) {
	t.Parallel()
	r := &recent{}
	for id := range int64(maxRecent) {
		r.add(journal.Entry{DeviceID: id})
	}
	if n := len(r.all()); n != maxRecent {
		t.Fatalf("%d entries, want %d", n, maxRecent)
	}
	r.add(journal.Entry{DeviceID: maxRecent})
	kept := r.all()
	if len(kept) != maxRecent*9/10+1 || kept[0].entry.DeviceID != maxRecent/10 || kept[len(kept)-1].entry.DeviceID != maxRecent {
		t.Errorf("%d entries from device %d on", len(kept), kept[0].entry.DeviceID)
	}
	for id := range int64(maxRecent) {
		r.add(journal.Entry{DeviceID: id})
	}
	if n := len(r.all()); n > maxRecent || n < maxRecent*9/10 {
		t.Errorf("%d entries after twice as many", n)
	}
}

// TestRecentIsBoundedByMeasurements: a device may have hundreds of times as many ports as most have.
func TestRecentIsBoundedByMeasurements(t *testing.T) {
	t.Parallel()
	r := &recent{}
	large := journal.Entry{DeviceID: 1, Measurements: make([]measurement.Measurement, maxMeasured/4)}
	for range 20 {
		r.add(large)
		r.add(journal.Entry{DeviceID: 2})
	}
	n := 0
	for _, kept := range r.all() {
		n += len(kept.entry.Measurements)
	}
	if n != maxMeasured {
		t.Errorf("%d measurements are kept, want %d", n, maxMeasured)
	}
	r.add(journal.Entry{DeviceID: 3, Measurements: make([]measurement.Measurement, maxMeasured+1)})
	if kept := r.all(); len(kept) != 1 || kept[0].entry.DeviceID != 3 { // the newest one in any case
		t.Errorf("%d entries beside one that is larger than all may be", len(kept)-1)
	}
	if r.forget(time.Now().Add(time.Hour)); r.samples != 0 || len(r.all()) != 0 {
		t.Errorf("%d measurements in %d entries when all are forgotten", r.samples, len(r.all()))
	}
}

// BenchmarkRecentOfAFullNode adds to a list that is full.
func BenchmarkRecentOfAFullNode(b *testing.B) {
	r := &recent{}
	for b.Loop() {
		r.add(journal.Entry{})
	}
}
