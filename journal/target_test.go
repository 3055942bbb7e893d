package journal_test

import (
	"errors"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestAForgottenTargetHoldsNothingBack plants the cursor of a target that is gone: the log is kept for it until it is forgotten.
func TestAForgottenTargetHoldsNothingBack(t *testing.T) {
	t.Parallel()
	const gone = "fedcba987654321012"
	w := newWorld(t, acceleratedWindow, accelerated...)
	stream := w.journal.Stream()
	if err := w.client.HSet(t.Context(), stream+":cursor:"+gone, "acked", "0-0", "durable", "0-0", "updates", "0", "instance", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := w.client.SAdd(t.Context(), stream+":targets", gone).Err(); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	every(20*time.Millisecond, 60, func(int) { w.poll(3, 6) })
	status := func() journal.Status {
		s, err := w.journal.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	polluxtest.Eventually(t, 30*time.Second, "the other target has all on disk", func() bool {
		for _, target := range status().Targets {
			if target.ID != gone && target.Recorder != "" && target.Unwritten == 0 {
				return true
			}
		}
		return false
	})
	full := status()
	if len(full.Targets) != 2 || full.Entries != 180 || full.Limit <= 0 {
		t.Fatalf("before: %+v", full)
	}
	live := full.Targets[0].ID
	if live == gone {
		live = full.Targets[1].ID
	}
	for target, want := range map[string]error{live: journal.ErrTargetBusy, "000000000000000000": journal.ErrNoTarget, "../*": journal.ErrNoTarget} {
		if err := w.journal.ForgetTarget(t.Context(), target); !errors.Is(err, want) {
			t.Errorf("forget %s: %v, want %v", target, err, want)
		}
	}
	if err := w.journal.ForgetTarget(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 30*time.Second, "the log is trimmed", func() bool { return status().Entries < full.Entries })
	r.stop()
	if err := w.journal.ForgetTarget(t.Context(), live); err != nil {
		t.Errorf("forget a target whose recorder has stopped: %v", err)
	}
	if left := status().Targets; len(left) != 0 {
		t.Errorf("targets that are left: %+v", left)
	}
}
