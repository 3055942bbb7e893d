package producer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"pollux/device"
	"pollux/journal"
)

const (
	// A device that was not polled for so many of its intervals is late, and overdue. In tenths.
	lateTenths    = 12
	overdueTenths = 30
	// pollAllowance is how long a poll may take before its device counts as
	// late, in seconds: the finished slot is known, not the moment it was finished.
	pollAllowance = 5
)

// Unpolled is how long a device has been without a finished slot: up, partial, down or auth.
type Unpolled struct {
	DeviceID int64
	Group    int64
	Interval int           // seconds
	For      time.Duration // since the last finished slot began or its sample was taken; for a device without one, since it was to be polled
}

// Intervals is For in intervals of the device.
func (u Unpolled) Intervals() float64 { return u.For.Seconds() / float64(u.Interval) }

// Late says that it was not polled for 1.2 of its intervals, plus 5 s that a poll may take.
func (u Unpolled) Late() bool { return u.beyond(lateTenths) }

// Overdue says the same of 3 intervals.
func (u Unpolled) Overdue() bool { return u.beyond(overdueTenths) }

func (u Unpolled) beyond(tenths int64) bool {
	return 10*(int64(u.For/time.Second)-pollAllowance) > tenths*int64(u.Interval)
}

// unpolled says how long a device was not polled at the Unix second now. since
// is from when on it counts (it came into the schedule then; 0 for always), and
// known from when on a device without any finished slot does: nothing else says how long it has been there.
func unpolled(d device.Scheduled, last journal.Last, since, known, now int64) Unpolled {
	from := max(last.Slot, since)
	if !last.SampleAt.IsZero() {
		from = max(from, last.SampleAt.Unix())
	}
	if last.Slot == 0 {
		from = max(from, d.Created, known)
	}
	if last.Slot < d.SlotFrom {
		// The interval was changed: the first slot of the new one may begin much later than an interval after the last slot.
		first := device.SlotAt(d.ID, d.Interval, d.SlotFrom+int64(d.Interval)-1)
		from = max(from, first-int64(d.Interval))
	}
	return Unpolled{DeviceID: d.ID, Group: d.Group, Interval: d.Interval, For: time.Duration(max(now-from, 0)) * time.Second}
}

// lateDevices reads the last finished slots of all devices of a schedule and
// returns those that are late, in the order of their ids. It costs one question
// to the journal per 1,000 devices.
func lateDevices(ctx context.Context, log Journal, s *Schedule, known, now int64) ([]Unpolled, error) {
	var late []Unpolled
	ids := make([]int64, 0, lastBatch)
	for _, r := range s.rounds {
		for batch := range slices.Chunk(r.entries, lastBatch) {
			ids = ids[:0]
			for _, e := range batch {
				ids = append(ids, e.ID)
			}
			last, err := log.Last(ctx, ids)
			if err != nil {
				return nil, fmt.Errorf("read the last finished slots: %w", err)
			}
			if len(last) != len(ids) {
				return nil, fmt.Errorf("read the last finished slots: %d answers for %d devices", len(last), len(ids))
			}
			for i, e := range batch {
				if u := unpolled(e.Scheduled, last[i], e.since, known, now); u.Late() {
					late = append(late, u)
				}
			}
		}
	}
	slices.SortFunc(late, func(a, b Unpolled) int { return cmp.Compare(a.DeviceID, b.DeviceID) })
	return late, nil
}

// tally counts the devices of a poller group that are not polled.
type tally struct{ late, overdue int }

func tallyOf(late []Unpolled) map[int64]tally {
	tallies := map[int64]tally{}
	for _, u := range late {
		t := tallies[u.Group]
		t.late++
		if u.Overdue() {
			t.overdue++
		}
		tallies[u.Group] = t
	}
	return tallies
}
