package journal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/measurement"
)

// there says whether the tree has a file or directory.
func (w *world) there(name string) bool {
	_, err := os.Stat(filepath.Join(w.rrd.Base, name))
	return err == nil
}

// An entry that is sound and not the one that was appended is dropped; one of a program that made no checksums is recorded.
func TestAChangedEntryIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	w.poll(1, 2)
	first := w.client.XRange(t.Context(), w.journal.Stream(), "-", "+").Val()[0]
	if sum, _ := first.Values["c"].(string); sum == "" || len(first.Values) != 2 {
		t.Fatalf("an entry has the fields %v", first.Values)
	}
	changed := w.entry(2, 2)
	for p := range changed.Measurements {
		delete(w.counted, measurement.Path("sw2", measurement.KindPort, 2000+int64(p), 0))
	}
	payload, err := journal.EncodeEntry(changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []any{"e", payload, "c", first.Values["c"]}}).Err(); err != nil {
		t.Fatal(err)
	}
	w.of(1, 2)
	w.poll(1, 2)
	r := w.record()
	w.drained()
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 1 {
		t.Errorf("%.0f entries are undecodable, want 1", n)
	}
	if n := r.counter("pollux_rrd_updates_total", "accepted"); n != 3*2 {
		t.Errorf("%.0f lines are accepted, want 6", n)
	}
	if w.there("sw2") {
		t.Error("it was recorded")
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}
