package producer

import (
	"pollux/device"
	"pollux/journal"
	"pollux/tasks"
)

// Offer is one slot of one device, to be put into the queue of its group.
type Offer struct {
	tasks.Poll
	Group int64 // poller group
}

// reofferShare is the part of the interval after which each slot is offered a second time: 1/5.
const reofferShare = 5

// Due returns the slots to offer at the Unix second now, when everything up to
// the second from has been offered: the current slot of each device whose
// slot began after from, or reached a fifth of its interval after from (the
// second offer, which heals one that was lost in a failover). It returns a
// device's current slot only, never a backlog; each device at most once. With
// from at least an hour before now, it is every device.
func Due(s *Schedule, from, now int64) []Offer {
	var due []Offer
	for _, r := range s.rounds {
		add := func(e entry) { due = appendOffer(due, e.Scheduled, r.slotAt(e, now)) }
		r.during(from, now, add)
		later := r.interval / reofferShare
		r.during(from-later, now-later, func(e entry) {
			// A slot that began after from is offered already; the moment of
			// one that is over belongs to a device with such a slot.
			if r.slotAt(e, now) <= from {
				add(e)
			}
		})
	}
	return due
}

// current returns the current slots of some devices.
func current(devices []device.Scheduled, now int64) []Offer {
	var due []Offer
	for _, d := range devices {
		due = appendOffer(due, d, device.SlotAt(d.ID, d.Interval, now))
	}
	return due
}

func appendOffer(due []Offer, d device.Scheduled, slot int64) []Offer {
	if slot < d.SlotFrom || slot <= 0 {
		return due
	}
	return append(due, Offer{Poll: tasks.Poll{DeviceID: d.ID, Slot: slot, Interval: d.Interval}, Group: d.Group})
}

// ended is a device of which at least one slot ended in a stretch of time.
type ended struct {
	entry
	last int64 // beginning of the last slot that ended
}

// endedDuring returns the devices of which a slot ended in the seconds (from, to].
func endedDuring(s *Schedule, from, to int64) []ended {
	var result []ended
	for _, r := range s.rounds {
		r.during(from, to, func(e entry) {
			result = append(result, ended{entry: e, last: r.slotAt(e, to) - r.interval})
		})
	}
	return result
}

// missed counts the slots of a device that ended after the second from and were
// not finished. The journal knows the last eight finished slots of a device, so that
// gaps in front of the last one show too: after a time without a leader, or
// without Redis, several slots are judged at once. What is older than
// all that is remembered counts as finished. Of what lies before its first finished slot
// a device misses only what began at or after the second known, since nothing says how long it has been there.
func (e ended) missed(from int64, last journal.Last, known int64) int64 {
	first := max(from-int64(e.Interval)+1, e.SlotFrom, e.since)
	finished := last.Finished()
	if len(finished) == 0 {
		return e.slots(max(first, known), e.last)
	}
	oldest := finished[len(finished)-1]
	missed := e.slots(max(first, oldest), e.last)
	for _, slot := range finished {
		if slot >= first {
			missed -= e.slots(slot, slot)
		}
	}
	if !last.Forgotten {
		missed += e.slots(max(first, known), oldest-1)
	}
	return missed
}

// slots counts the slots up to the device's last one that ended, and that begin in the seconds from first to end.
func (e ended) slots(first, end int64) int64 {
	interval := int64(e.Interval)
	if end < e.last {
		end -= modulo(end-e.last, interval)
	}
	end = min(end, e.last)
	if end < first {
		return 0
	}
	return (end-first)/interval + 1
}
