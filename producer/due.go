package producer

import (
	"pollux/device"
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

// missed counts the slots of a device that ended after the second from and
// were not finished. finished is its last finished slot, 0 when it never had
// one; such a device misses only what began at or after the second known,
// since nothing says how long it has been there.
func (e ended) missed(from, finished, known int64) int64 {
	interval := int64(e.Interval)
	first := max(from-interval, finished) + 1
	first = max(first, e.SlotFrom, e.since)
	if finished == 0 {
		first = max(first, known)
	}
	if e.last < first {
		return 0
	}
	return (e.last-first)/interval + 1
}
