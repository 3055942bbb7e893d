package producer

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pollux/device"
	"pollux/journal"
)

const epoch = int64(1_795_340_000)

// randomSchedule makes devices with all kinds of intervals.
func randomSchedule(random *rand.Rand, n int) []device.Scheduled {
	intervals := []int{10, 11, 30, 60, 300, 3600, 10 + random.IntN(3591)}
	devices := make([]device.Scheduled, n)
	for i := range devices {
		devices[i] = device.Scheduled{ID: int64(i + 1), Group: random.Int64N(4), Interval: intervals[random.IntN(len(intervals))]}
		if random.IntN(4) == 0 {
			devices[i].SlotFrom = epoch + random.Int64N(600)
		}
	}
	return devices
}

// TestEverySlotIsOfferedInItsTime lets irregular seconds pass and compares Due with its definition, device by device.
func TestEverySlotIsOfferedInItsTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		devices := randomSchedule(random, 60)
		s := NewSchedule(devices)
		offered := map[int64]int64{} // device -> its last slot that was offered
		from, now := int64(0), epoch+random.Int64N(300)
		for range 400 {
			due := map[int64]Offer{}
			for _, o := range Due(s, from, now) {
				if _, twice := due[o.DeviceID]; twice {
					t.Fatalf("seed %d, second %d: device %d twice at once", seed, now, o.DeviceID)
				}
				due[o.DeviceID] = o
			}
			for _, d := range devices {
				slot := device.SlotAt(d.ID, d.Interval, now)
				o, isDue := due[d.ID]
				again := slot + int64(d.Interval)/5
				switch {
				case isDue && (o.Slot != slot || o.Interval != d.Interval || o.Group != d.Group || slot < d.SlotFrom):
					t.Fatalf("seed %d, second %d: %+v is offered for %+v, whose slot is %d", seed, now, o, d, slot)
				case slot < d.SlotFrom:
				case offered[d.ID] != slot && !isDue:
					t.Fatalf("seed %d, second %d: slot %d of %+v is not offered", seed, now, slot, d)
				case offered[d.ID] == slot && isDue != (from < again && again <= now):
					t.Fatalf("seed %d, second %d: second offer of slot %d of %+v: %v", seed, now, slot, d, isDue)
				}
				if isDue {
					offered[d.ID] = slot
				}
			}
			from = now
			switch random.IntN(10) {
			case 0:
				now += 1 + random.Int64N(50)
			case 1:
				now += random.Int64N(2) // the same second twice
			default:
				now++
			}
		}
	}
}

func TestDueFromTheBeginningIsEveryDevice(t *testing.T) {
	t.Parallel()
	devices := randomSchedule(rand.New(rand.NewPCG(3, 3)), 500)
	for i := range devices {
		devices[i].SlotFrom = 0
	}
	if got := len(Due(NewSchedule(devices), 0, epoch)); got != 500 {
		t.Errorf("%d of 500 devices are due", got)
	}
	if got := Due(NewSchedule(nil), 0, epoch); len(got) != 0 {
		t.Errorf("an empty schedule is due: %v", got)
	}
}

func TestScheduleLeavesOutWhatHasNoSlots(t *testing.T) {
	t.Parallel()
	s := NewSchedule([]device.Scheduled{
		{ID: 1, Interval: 10}, {ID: 2, Interval: 9}, {ID: 3, Interval: 3601}, {ID: -4, Interval: 300}, {ID: 5, Group: -1, Interval: 300},
		{ID: 1, Interval: 300}, {ID: 6, Group: 2, Interval: 3600},
	})
	offers := Due(s, 0, epoch)
	if len(offers) != 2 || offers[0].DeviceID != 1 || offers[0].Interval != 10 || offers[1].DeviceID != 6 {
		t.Errorf("due are %+v", offers)
	}
	if groups := s.Groups(); len(groups) != 2 || groups[0] != 1 || groups[2] != 1 {
		t.Errorf("groups %v", groups)
	}
}

func TestFollowTellsWhatChanged(t *testing.T) {
	t.Parallel()
	first := []device.Scheduled{{ID: 1, Interval: 300}, {ID: 2, Interval: 300}, {ID: 3, Interval: 300}}
	s := follow(nil, first, 100)
	if follow(s, []device.Scheduled{{ID: 1, Interval: 300}, {ID: 2, Interval: 300}, {ID: 3, Interval: 300}}, 200) != s {
		t.Error("an unchanged reading makes another schedule")
	}
	next := follow(s, []device.Scheduled{{ID: 1, Interval: 300}, {ID: 3, Interval: 60, SlotFrom: 700}, {ID: 4, Group: 1, Interval: 300}}, 200)
	changed := map[int64]bool{}
	for _, d := range next.changes(s) {
		changed[d.ID] = true
	}
	if len(changed) != 2 || !changed[3] || !changed[4] {
		t.Errorf("changed are %v, want 3 and 4", changed)
	}
	if since := next.sinceOf(4, 0); since != 200 {
		t.Errorf("device 4 is there since %d, want 200", since)
	}
	if last := follow(next, append([]device.Scheduled{{ID: 2, Interval: 300}}, next.source...), 900); last.sinceOf(4, 0) != 200 || last.sinceOf(2, 0) != 900 || last.sinceOf(1, 7) != 0 {
		t.Errorf("since: device 4 %d, 2 %d, 1 %d", last.sinceOf(4, 0), last.sinceOf(2, 0), last.sinceOf(1, 7))
	}
}

// TestMissedSlots compares the count of missed slots with a walk over all slots.
func TestMissedSlots(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	for range 2000 {
		interval := 10 + random.IntN(100)
		d := device.Scheduled{ID: 1 + random.Int64N(1000), Interval: interval, SlotFrom: epoch + random.Int64N(400) - 300}
		s := NewSchedule([]device.Scheduled{d})
		for i := range s.rounds[0].entries {
			s.rounds[0].entries[i].since = epoch + random.Int64N(400) - 300
		}
		e := s.rounds[0].entries[0]
		from := epoch + random.Int64N(100)
		until := from + random.Int64N(500)
		last, known := randomLast(random, d, from), epoch+random.Int64N(300)
		want := int64(0)
		for slot := device.SlotAt(d.ID, interval, epoch-1000); slot+int64(interval) <= until; slot += int64(interval) {
			expected := slot+int64(interval) > from && slot >= d.SlotFrom && slot >= e.since
			unknown := !last.Forgotten && (last.Slot == 0 || slot < slices.Min(last.Finished()))
			if expected && last.State(slot) == journal.SlotUnfinished && (!unknown || slot >= known) {
				want++
			}
		}
		got := int64(0)
		for _, e := range endedDuring(s, from, until) {
			got += e.missed(from, last, known)
		}
		if got != want {
			t.Fatalf("%+v since %d, (%d, %d], last %+v, known %d: %d missed, want %d", d, e.since, from, until, last, known, got, want)
		}
	}
}

// randomLast is what a journal may know of a device: slots of its interval, and of another one before.
func randomLast(random *rand.Rand, d device.Scheduled, from int64) (last journal.Last) {
	if random.IntN(4) == 0 {
		return last
	}
	last.Slot = device.SlotAt(d.ID, d.Interval, from-200+random.Int64N(600))
	last.Forgotten = random.IntN(2) == 0
	slot := last.Slot
	for i := range random.IntN(journal.Remembered) {
		slot -= int64(1+random.IntN(3)) * int64(d.Interval)
		if random.IntN(10) == 0 {
			slot -= random.Int64N(100)
		}
		last.Before[i] = slot
	}
	return last
}

// TestEachMissedSlotIsCounted lets a device lose any of its slots, many in a row
// too, and judges them as time goes on, by what the journal holds at that moment.
// At times nobody polls and nobody judges, as when Redis is away.
func TestEachMissedSlotIsCounted(t *testing.T) {
	t.Parallel()
	const slots = 400
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 5))
		interval := int64(10 + random.IntN(30))
		d := device.Scheduled{ID: 1 + random.Int64N(1000), Interval: int(interval)}
		s := NewSchedule([]device.Scheduled{d})
		first := device.SlotAt(d.ID, d.Interval, epoch)
		end := first + slots*interval
		finished := map[int64]int64{first: first} // slot -> when it was finished
		missed := int64(0)
		var away []int64 // beginnings of pauses
		const pause = 45
		for slot := first + interval; slot < end; slot += interval {
			if random.IntN(30) == 0 {
				away = append(away, slot+random.Int64N(interval))
			}
		}
		during := func(at int64) bool {
			return slices.ContainsFunc(away, func(began int64) bool { return at >= began && at < began+pause })
		}
		for slot := first + interval; slot < end; slot += interval {
			if at := slot + random.Int64N(interval); random.IntN(4) > 0 && !during(at) {
				finished[slot] = at
			} else {
				missed++
			}
		}
		counted := int64(0)
		for from := first + interval; from < end; {
			until := min(from+1+random.Int64N(6), end)
			for during(until + missedGrace) {
				until++
			}
			until = min(until, end)
			for _, e := range endedDuring(s, from, until) {
				counted += e.missed(from, lastAt(finished, first, interval, until+missedGrace), first)
			}
			from = until
		}
		if counted != missed {
			t.Errorf("seed %d, interval %d: %d missed slots are counted, want %d", seed, interval, counted, missed)
		}
	}
}

// lastAt is what the journal knows at a moment of slots that were finished.
func lastAt(finished map[int64]int64, first, interval, now int64) (last journal.Last) {
	for slot := first; slot <= now; slot += interval {
		if at, done := finished[slot]; done && at <= now {
			before := [journal.Remembered - 1]int64{last.Slot}
			copy(before[1:], last.Before[:])
			last = journal.Last{Slot: slot, Before: before, Forgotten: last.Forgotten || last.Before[journal.Remembered-2] > 0}
		}
	}
	return last
}

func BenchmarkDueOfASecond(b *testing.B) {
	devices := make([]device.Scheduled, 100_000)
	for i := range devices {
		devices[i] = device.Scheduled{ID: int64(i + 1), Interval: 300}
	}
	s := NewSchedule(devices)
	now := epoch
	for b.Loop() {
		Due(s, now-1, now)
		now++
	}
}

func BenchmarkNewScheduleOf100000(b *testing.B) {
	devices := make([]device.Scheduled, 100_000)
	for i := range devices {
		devices[i] = device.Scheduled{ID: int64(i + 1), Interval: 300}
	}
	for b.Loop() {
		NewSchedule(devices)
	}
}
