package journal_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
)

const lastKey = "pollux:{journal:0}:last"

func (a *appending) down(id, slot int64) journal.Entry {
	return journal.Entry{DeviceID: id, Slot: slot, Outcome: device.OutcomeDown}
}

// holds checks which finished slots of device 7 are remembered, the newest first, and whether others were before them.
func (a *appending) holds(forgotten bool, slots ...int64) {
	a.t.Helper()
	last := a.last(7)
	if !slices.Equal(last.Finished(), slots) || last.Forgotten != forgotten || last.Slot != slots[0] {
		a.t.Errorf("remembered are %v of %+v, want %v, forgotten %t", last.Finished(), last, slots, forgotten)
	}
}

// The log knows the last eight finished slots of a device, so that one that nobody finished shows although later ones are.
func TestTheLastFinishedSlots(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	at := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	slot := at.Unix()
	poll := func(n int64) journal.Entry {
		return portEntry(7, slot+10*n, at.Add(time.Duration(10*n)*time.Second), 1)
	}
	var want []int64
	for _, n := range []int64{0, 1, 3, 4, 5, 8, 9, 10} {
		a.want(journal.Accepted, poll(n))
		want = slices.Insert(want, 0, slot+10*n)
		a.holds(false, want...)
	}
	last := a.last(7)
	for n, state := range map[int64]journal.SlotState{
		-1: journal.SlotUnfinished, 0: journal.SlotFinished, 2: journal.SlotUnfinished, 5: journal.SlotFinished,
		7: journal.SlotUnfinished, 10: journal.SlotFinished, 11: journal.SlotUnfinished,
	} {
		if got := last.State(slot + 10*n); got != state {
			t.Errorf("slot %d is %s, want %s", n, got, state)
		}
	}
	// Those that come out of order are refused, finished or not, and move nothing.
	for _, n := range []int64{0, 2, 5, 7, 9} {
		a.want(journal.Stale, poll(n))
		a.want(journal.Stale, a.down(7, slot+10*n))
	}
	a.holds(false, want...)
	// A ninth pushes the oldest out.
	a.want(journal.Accepted, poll(12))
	a.holds(true, append([]int64{slot + 120}, want[:7]...)...)
	last = a.last(7)
	if last.State(slot) != journal.SlotForgotten || last.State(slot+10) != journal.SlotFinished || last.State(slot+110) != journal.SlotUnfinished {
		t.Errorf("slot 0 is %s, 1 %s, 11 %s", last.State(slot), last.State(slot+10), last.State(slot+110))
	}
	if n := a.length(); n != 9 {
		t.Errorf("%d entries, want 9", n)
	}
	if (journal.Last{}).State(slot) != journal.SlotUnfinished || (journal.Last{}).Finished() != nil {
		t.Error("a device of which nothing is known has finished slots")
	}
}

// A slot takes one result. What is only noted may be noted again, because the answer may have been lost.
func TestASlotIsFinishedOnce(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Add(-time.Minute).Truncate(time.Second)
	slot := now.Unix()
	down := a.down(7, slot)
	a.want(journal.Accepted, down)
	a.want(journal.Accepted, down)
	a.want(journal.Stale, portEntry(7, slot, now, 1))
	a.want(journal.Accepted, portEntry(7, slot+10, now.Add(10*time.Second), 1))
	a.want(journal.Stale, portEntry(7, slot+10, now.Add(15*time.Second), 1))
	down.Slot += 10
	a.want(journal.Stale, down)
	a.holds(false, slot+10, slot)
	if last := a.last(7); last.Outcome != device.OutcomeUp || !last.SampleAt.Equal(now.Add(10*time.Second)) {
		t.Errorf("last is %+v", last)
	}
	// Somebody may poll it again all the same, but not an older one, and not within a second.
	for at, want := range map[time.Duration]journal.Result{10500 * time.Millisecond: journal.Stale, 15 * time.Second: journal.Accepted} {
		if got, err := a.journal.AppendAgain(t.Context(), portEntry(7, slot+10, now.Add(at), 1)); got != want || err != nil {
			t.Errorf("again after %v: %s, %v, want %s", at, got, err, want)
		}
	}
	if got, err := a.journal.AppendAgain(t.Context(), portEntry(7, slot, now.Add(20*time.Second), 1)); got != journal.Stale || err != nil {
		t.Errorf("an older slot again: %s, %v", got, err)
	}
	a.holds(false, slot+10, slot)
	if n := a.length(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// TestSlotsOfAnOlderProgram: it knew one finished slot, or two. The first append turns them into the present form.
func TestSlotsOfAnOlderProgram(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Add(-time.Minute).Truncate(time.Second)
	slot := now.Unix()
	for _, c := range []struct {
		before    string
		forgotten bool
		slots     []int64
		then      string
	}{
		{"", true, nil, ":-10"},
		{":" + itoa(int(slot)), true, nil, ":-10"}, // not known
		{":0", false, nil, ":-10."},
		{":" + itoa(int(slot-30)), true, []int64{slot - 30}, ":-10-30"},
		{":nonsense", true, nil, ":-10"},
	} {
		held := "1000:" + itoa(int(slot)) + ":up" + c.before
		if err := a.client.HSet(t.Context(), lastKey, "7", held).Err(); err != nil {
			t.Fatal(err)
		}
		if c.before != ":nonsense" {
			a.holds(c.forgotten, append([]int64{slot}, c.slots...)...)
		}
		a.want(journal.Stale, portEntry(7, slot, now, 1)) // finished
		a.want(journal.Accepted, a.down(7, slot+10))
		a.holds(c.forgotten, append([]int64{slot + 10, slot}, c.slots...)...)
		if text := a.client.HGet(t.Context(), lastKey, "7").Val(); text != "1000:"+itoa(int(slot+10))+":down"+c.then {
			t.Errorf("%q became %q", held, text)
		}
	}
}

// TestFinishedSlotsInAnyOrder appends slots in random order and compares what is remembered with a list.
func TestFinishedSlotsInAnyOrder(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	random := rand.New(rand.NewPCG(8, 8))
	first := time.Now().Unix() - 100_000
	var finished []int64
	for n := range int64(300) {
		slot := first + 10*max(n-random.Int64N(12), 0)
		want := journal.Accepted
		if len(finished) > 0 && slot < finished[0] {
			want = journal.Stale
		}
		if len(finished) == 0 || slot > finished[0] {
			finished = slices.Insert(finished, 0, slot)
		}
		a.want(want, a.down(7, slot))
		a.holds(len(finished) > journal.Remembered, finished[:min(len(finished), journal.Remembered)]...)
		last := a.last(7)
		for asked := first; asked <= finished[0]; asked += 10 {
			state := journal.SlotUnfinished
			switch {
			case len(finished) > journal.Remembered && asked < finished[journal.Remembered-1]:
				state = journal.SlotForgotten
			case slices.Contains(finished, asked):
				state = journal.SlotFinished
			}
			if got := last.State(asked); got != state {
				t.Fatalf("slot %d is %s, want %s", asked, got, state)
			}
		}
	}
}

// TestMemoryOfFinishedSlots says what the remembered slots cost, against the two of an older program.
func TestMemoryOfFinishedSlots(t *testing.T) {
	t.Parallel()
	for _, interval := range []int64{10, 300, 3600} {
		const devices = 1000
		a := newAppending(t)
		memory := func() float64 {
			t.Helper()
			used, err := a.client.MemoryUsage(t.Context(), lastKey, 0).Result()
			if err != nil {
				t.Fatal(err)
			}
			return float64(used) / devices
		}
		slot := time.Now().Unix() - 100_000
		fields := map[string]any{}
		for id := range devices {
			fields[strconv.Itoa(id+1)] = fmt.Sprintf("%d:%d:down:%d", slot*1000, slot, slot-interval)
		}
		if err := a.client.HSet(t.Context(), lastKey, fields).Err(); err != nil {
			t.Fatal(err)
		}
		two := memory()
		for n := range int64(journal.Remembered) {
			for id := range int64(devices) {
				a.want(journal.Accepted, a.down(id+1, slot+interval*(n+1)))
			}
		}
		eight := memory()
		t.Logf("every %d s: %.0f bytes per device with two slots, %.0f with eight", interval, two, eight)
		if eight > two+40 {
			t.Errorf("every %d s: eight slots take %.0f bytes per device, two %.0f", interval, eight, two)
		}
	}
}
