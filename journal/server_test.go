package journal_test

import (
	"errors"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
)

// TestAnotherServerIsRefused: what names the Redis that it means is not carried out by another one.
func TestAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	id, err := cluster.RunID(t.Context(), a.client)
	if err != nil {
		t.Fatal(err)
	}
	const other = "0123456789012345678901234567890123456789"
	now := time.Now().Add(-time.Minute)
	if result, err := a.journal.AppendOn(t.Context(), other, portEntry(7, now.Unix(), now, 2)); !errors.Is(err, journal.ErrServer) {
		t.Errorf("appended on another server: %q, %v", result, err)
	}
	if a.length() != 0 || a.last(7) != (journal.Last{}) {
		t.Errorf("%d entries, last %+v", a.length(), a.last(7))
	}
	if result, err := a.journal.AppendOn(t.Context(), id, portEntry(7, now.Unix(), now, 2)); err != nil || result != journal.Accepted {
		t.Errorf("appended: %q, %v", result, err)
	}
	if lasts, err := a.journal.LastOn(t.Context(), other, []int64{7, 8}); !errors.Is(err, journal.ErrServer) {
		t.Errorf("read from another server: %v, %v", lasts, err)
	}
	lasts, err := a.journal.LastOn(t.Context(), id, []int64{8, 7})
	if err != nil || len(lasts) != 2 || lasts[0] != (journal.Last{}) || lasts[1].Outcome != device.OutcomeUp || lasts[1].Slot != now.Unix() {
		t.Errorf("read: %+v, %v", lasts, err)
	}
}
