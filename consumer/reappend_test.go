package consumer

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestLostEntriesAreAppendedAgain: another Redis answers for the journal, and lacks the last entries.
func TestLostEntriesAreAppendedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	id := "a"
	away := false
	r.deps.JournalID = func(context.Context) (string, error) {
		if away {
			return "", errors.New("Redis is away")
		}
		return id, nil
	}
	if known := r.lookAtJournal(t.Context(), ""); known != "a" {
		t.Fatalf("it is %q", known)
	}
	for device := range int64(3) {
		if err := r.handle(r.turn(device+1, 60)); err != nil {
			t.Fatal(err)
		}
	}
	r.recent.entries[0].at = time.Now().Add(-time.Minute) // long before the outage
	r.lookAtJournal(t.Context(), "a")
	r.recent.entries[0].at = time.Now().Add(-time.Minute) // an outage of a minute
	away = true
	if known := r.lookAtJournal(t.Context(), "a"); known != "a" || len(r.recent.all()) != 2 {
		t.Fatalf("during the outage: %q, %d entries", known, len(r.recent.all()))
	}
	away, id = false, "b"
	r.journal.errs = []error{nil, errors.New("again away")}
	if known := r.lookAtJournal(t.Context(), "a"); known != "a" {
		t.Error("half of the entries were enough")
	}
	before := len(r.journal.appended())
	if known := r.lookAtJournal(t.Context(), "a"); known != "b" || len(r.journal.appended()) != before+2 {
		t.Errorf("%q, %d entries more, want 2", known, len(r.journal.appended())-before)
	}
	if n := r.metric(t, "pollux_journal_reappended_total"); n != 2 {
		t.Errorf("%v are counted", n)
	}
}
