package producer

import (
	"io"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
)

func TestMissedSlotsAreCountedOnceByAllLeaders(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	r := newRig(t, server, "p1", device.Scheduled{ID: 1, Interval: 10}, device.Scheduled{ID: 2, Group: 3, Interval: 10}, device.Scheduled{ID: 3, Interval: 10})
	term := r.leads(t)
	slot := device.SlotAt(1, 10, term.began) + 100
	term.began = slot
	r.journal.last[1] = journal.Last{Slot: slot, Outcome: device.OutcomeDown}
	r.journal.last[2] = journal.Last{Slot: device.SlotAt(2, 10, slot) - 10, Outcome: device.OutcomeUp}
	if from, err := term.judgedUntil(t.Context()); err != nil || from != slot {
		t.Fatalf("without a leader before, counting begins at %d, %v, want %d", from, err, slot)
	}
	if err := term.judge(t.Context(), slot, slot+10); err != nil {
		t.Fatal(err)
	}
	// Device 1's slot ended finished, device 2's did not; of device 3, which was never polled, it began before the term.
	if n := r.metric(t, "pollux_slots_missed_total", "group=3"); n != 1 {
		t.Errorf("group 3 missed %v slots, want 1", n)
	}
	if n := r.metric(t, "pollux_slots_missed_total", "group=0"); n > 0 {
		t.Errorf("group 0 missed %v slots", n)
	}
	next := newTerm(r.Producer) // another leader, half a minute without one later
	next.began = slot + 40
	from, err := next.judgedUntil(t.Context())
	if err != nil || from != slot+10 {
		t.Fatalf("the next leader counts from %d, %v, want %d", from, err, slot+10)
	}
	r.journal.last[3] = journal.Last{Slot: slot + 1000, Outcome: device.OutcomeUp}
	if err := next.judge(t.Context(), from, slot+40); err != nil {
		t.Fatal(err)
	}
	if n := r.metric(t, "pollux_slots_missed_total", "group=3"); n != 4 {
		t.Errorf("group 3 missed %v slots, want 4", n)
	}
	if n := r.metric(t, "pollux_slots_missed_total", "group=0"); n != 3 {
		t.Errorf("group 0 missed %v slots, want 3", n)
	}
	r.journal.err = io.ErrUnexpectedEOF
	if err := next.judge(t.Context(), slot+40, slot+50); err == nil {
		t.Error("slots are judged without the journal")
	}
}

// TestOneMissedSlotIsSeenBehindTheNext: when a slot is judged, the next one is finished as a rule.
func TestOneMissedSlotIsSeenBehindTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 10})
	log := journal.New(r.client, 0)
	r.deps.Journal = log
	term := r.leads(t)
	slot := device.SlotAt(1, 10, term.began)
	finish := func(slot int64) {
		t.Helper()
		if result, err := log.Append(t.Context(), journal.Entry{DeviceID: 1, Slot: slot, Outcome: device.OutcomeDown}); result != journal.Accepted || err != nil {
			t.Fatalf("%s, %v", result, err)
		}
	}
	polled := []bool{true, true, false, true, true, false, false, true, true, true}
	finish(slot)
	finish(slot + 10)
	want := 0.0
	for i, at := 1, slot+10; i < len(polled)-1; i, at = i+1, at+10 {
		if polled[i+1] {
			finish(at + 10)
		}
		if !polled[i] {
			want++
		}
		if err := term.judge(t.Context(), at, at+10); err != nil {
			t.Fatal(err)
		}
		if n := max(r.metric(t, "pollux_slots_missed_total", "group=0"), 0); n != want {
			t.Errorf("after slot %d of %v %v missed slots are counted, want %v", i, polled, n, want)
		}
	}
}

// TestSlotsMissedWhileRedisHung: nobody polls and nobody judges for several slots, and when somebody does, the next slots are finished.
func TestSlotsMissedWhileRedisHung(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 20})
	log := journal.New(r.client, 0)
	r.deps.Journal = log
	term := r.leads(t)
	slot := device.SlotAt(1, 20, term.began)
	finish := func(slots ...int64) {
		t.Helper()
		for _, n := range slots {
			if result, err := log.Append(t.Context(), journal.Entry{DeviceID: 1, Slot: slot + 20*n, Outcome: device.OutcomeDown}); result != journal.Accepted || err != nil {
				t.Fatalf("slot %d: %s, %v", n, result, err)
			}
		}
	}
	judge := func(from, until int64, want float64) {
		t.Helper()
		if err := term.judge(t.Context(), slot+20*from, slot+20*until); err != nil {
			t.Fatal(err)
		}
		if n := max(r.metric(t, "pollux_slots_missed_total", "group=0"), 0); n != want {
			t.Errorf("at slot %d %v missed slots are counted, want %v", until, n, want)
		}
	}
	finish(0, 1)
	judge(1, 2, 0)
	finish(5, 6)   // Redis hung in 2 to 4
	judge(2, 7, 3) // each once
	judge(7, 8, 4) // 7 too was missed
	finish(8, 9, 11, 12, 13, 14, 15, 17)
	judge(8, 18, 6) // of eight back: 10 and 16
	finish(18, 19, 20, 21, 22, 24, 25, 26, 27)
	judge(18, 28, 7) // 23; 18 is forgotten and counts as finished
}

// TestAStandbyShowsWhatItMayHaveToCount: an increase over a series sees nothing of what its first sample holds.
func TestAStandbyShowsWhatItMayHaveToCount(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	devices := []device.Scheduled{{ID: 1, Interval: 3600}, {ID: 2, Group: 3, Interval: 3600}}
	leader, standby := newRig(t, server, "p1", devices...), newRig(t, server, "p2", devices...)
	standby.store.groups = []device.Group{{ID: 5, Name: "without devices"}}
	leader.start(t)
	polluxtest.Eventually(t, time.Minute, "one leads", leader.Leading)
	standby.start(t)
	polluxtest.Eventually(t, time.Minute, "the other one has read the groups", func() bool { return standby.groups.Load() != nil })
	for _, group := range []string{"group=0", "group=3", "group=5"} {
		if n := standby.metric(t, "pollux_slots_missed_total", group); n != 0 {
			t.Errorf("missed slots of %s are shown as %v, want 0", group, n)
		}
		for _, result := range offerResults {
			if n := standby.metric(t, "pollux_offers_total", group, "result="+result); n != 0 {
				t.Errorf("offers of %s that ended as %s are shown as %v, want 0", group, result, n)
			}
		}
	}
	if n := standby.metric(t, "pollux_group_devices"); n != -1 || standby.Leading() {
		t.Errorf("the standby shows what only a leader does: %v", n)
	}
	standby.store.mu.Lock()
	standby.store.broken = true
	standby.store.mu.Unlock()
	if err := standby.refresh(t.Context()); err == nil || standby.metric(t, "pollux_slots_missed_total", "group=3") != 0 {
		t.Errorf("without the database nothing is shown any more, or it is read: %v", err)
	}
}
