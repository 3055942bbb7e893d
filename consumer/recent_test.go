package consumer

import (
	"testing"

	"pollux/journal"
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

// BenchmarkRecentOfAFullNode adds to a list that is full.
func BenchmarkRecentOfAFullNode(b *testing.B) {
	r := &recent{}
	for b.Loop() {
		r.add(journal.Entry{})
	}
}
