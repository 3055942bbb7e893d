package journal_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/journal"
	"pollux/polluxtest"
)

const newcomer = "aaaaaaaaaaaaaaaaaa"

// TestASeededTargetBeginsWhereTheSourceIsDurable gives a target a cursor, and refuses to do it twice or for one that records.
func TestASeededTargetBeginsWhereTheSourceIsDurable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	r := w.record()
	every(20*time.Millisecond, 60, func(int) { w.poll(3, 6) })
	w.drained()
	status := func() map[string]string { return w.cursor() }
	polluxtest.Eventually(t, 30*time.Second, "something is durable", func() bool { return status()["durable"] != "0-0" })
	ids, err := w.client.SMembers(t.Context(), w.journal.Key("targets")).Result()
	if err != nil || len(ids) != 1 {
		t.Fatalf("targets %v, %v", ids, err)
	}
	source := ids[0]
	seed := func(target, source string, lease journal.Lease) error {
		return w.journal.SeedTarget(t.Context(), target, source, lease.Token())
	}
	lease := cluster.NewLease(w.client, w.journal.RecorderKey(newcomer), "copy", time.Minute)
	if err := seed(newcomer, source, lease); !errors.Is(err, journal.ErrTargetBusy) {
		t.Errorf("without its lease: %v", err)
	}
	if held, err := lease.TryAcquire(t.Context()); err != nil || !held {
		t.Fatalf("take the lease: %v, %v", held, err)
	}
	other := cluster.NewLease(w.client, w.journal.RecorderKey(newcomer), "another", time.Minute)
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"with another's lease":   {seed(newcomer, source, other), journal.ErrTargetBusy},
		"from an unknown source": {seed(newcomer, "000000000000000000", lease), journal.ErrNoTarget},
		"with a false name":      {seed("../*", source, lease), journal.ErrNoTarget},
		"the source itself":      {seed(source, source, lease), journal.ErrTargetBusy},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	r.stop()
	before := w.cursor()
	if err := seed(newcomer, source, lease); err != nil {
		t.Fatal(err)
	}
	got, err := w.client.HGetAll(t.Context(), w.journal.Key("cursor", newcomer)).Result()
	want := map[string]string{"acked": before["durable"], "durable": before["durable"], "updates": "0", "instance": "0"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("the cursor is %v, %v, want %v", got, err, want)
	}
	if err := seed(newcomer, source, lease); !errors.Is(err, journal.ErrTargetKnown) {
		t.Errorf("twice: %v", err)
	}
	if err := w.journal.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := w.client.XRangeN(t.Context(), w.journal.Stream(), "("+before["durable"], "+", 1).Result()
	if err != nil {
		t.Fatal(err)
	}
	oldest, err := w.journal.OldestUnwritten(t.Context(), newcomer)
	if err != nil || oldest.IsZero() != (len(first) == 0) {
		t.Errorf("the oldest unwritten is of %v, %v; the log goes on with %v", oldest, err, first)
	}
}

// TestTheEndOfTheLogIsReached asks how far targets are.
func TestTheEndOfTheLogIsReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	if id, err := w.journal.End(t.Context()); err != nil || id != "0-0" {
		t.Errorf("the end of an empty log is %q, %v", id, err)
	}
	if _, err := w.journal.Recorded(t.Context(), newcomer, "0-0"); !errors.Is(err, journal.ErrNoTarget) {
		t.Errorf("a target without a cursor: %v", err)
	}
	if _, err := w.journal.OldestUnwritten(t.Context(), newcomer); !errors.Is(err, journal.ErrNoTarget) {
		t.Errorf("a target without a cursor: %v", err)
	}
	r := w.record()
	w.poll(2, 3)
	w.drained()
	r.stop()
	target, err := w.client.SRandMember(t.Context(), w.journal.Key("targets")).Result()
	if err != nil {
		t.Fatal(err)
	}
	reached := func() bool {
		id, err := w.journal.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		recorded, err := w.journal.Recorded(t.Context(), target, id)
		if err != nil {
			t.Fatal(err)
		}
		return recorded
	}
	if !reached() {
		t.Error("a drained log is not recorded")
	}
	w.poll(2, 3)
	if reached() {
		t.Error("what no recorder took is recorded")
	}
	if _, err := w.journal.Recorded(t.Context(), target, "nonsense"); err == nil {
		t.Error("nonsense is recorded")
	}
}
