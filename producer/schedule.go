package producer

import (
	"cmp"
	"slices"

	"pollux/device"
)

// Schedule is what is to be polled, arranged so that finding what is due costs
// little at 100,000 devices: for each interval its devices in the order of
// their phases. It never changes once it is made.
type Schedule struct {
	source  []device.Scheduled // as it was read, to see whether a new reading differs
	rounds  []round
	devices map[int64]int // place in source
	since   map[int64]int64
	groups  map[int64]int
	short   map[int64]int // shortest interval by group
}

// round is the devices of one interval, in the order of their phases.
type round struct {
	interval int64
	entries  []entry
}

// entry is one device in its round.
type entry struct {
	device.Scheduled
	phase int64
	since int64 // Unix second at which the device came into the schedule; 0 when it was in the first one
}

// NewSchedule arranges devices. Those with an interval outside the allowed
// range, or without an id, are left out: they cannot have slots.
func NewSchedule(devices []device.Scheduled) *Schedule { return follow(nil, devices, 0) }

// follow makes the schedule that comes after previous (nil for the first).
// now is the Unix second from which devices count that previous did not hold.
// An unchanged reading returns previous itself.
func follow(previous *Schedule, devices []device.Scheduled, now int64) *Schedule {
	if previous != nil && slices.Equal(previous.source, devices) {
		return previous
	}
	s := &Schedule{
		source:  slices.Clone(devices),
		devices: make(map[int64]int, len(devices)),
		since:   map[int64]int64{},
		groups:  map[int64]int{},
		short:   map[int64]int{},
	}
	rounds := map[int64][]entry{}
	for place, d := range s.source {
		if d.ID <= 0 || d.Group < 0 || d.Interval < device.MinInterval || d.Interval > device.MaxInterval {
			continue
		}
		if _, twice := s.devices[d.ID]; twice {
			continue
		}
		s.devices[d.ID] = place
		s.groups[d.Group]++
		if shortest := s.short[d.Group]; shortest == 0 || d.Interval < shortest {
			s.short[d.Group] = d.Interval
		}
		e := entry{Scheduled: d, phase: device.Phase(d.ID, d.Interval), since: previous.sinceOf(d.ID, now)}
		if e.since > 0 {
			s.since[d.ID] = e.since
		}
		rounds[int64(d.Interval)] = append(rounds[int64(d.Interval)], e)
	}
	for interval, entries := range rounds {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.ID, b.ID)) })
		s.rounds = append(s.rounds, round{interval: interval, entries: entries})
	}
	slices.SortFunc(s.rounds, func(a, b round) int { return cmp.Compare(a.interval, b.interval) })
	return s
}

// sinceOf says since when the schedule after s holds a device.
func (s *Schedule) sinceOf(id, now int64) int64 {
	if s == nil {
		return 0
	}
	if _, known := s.devices[id]; known {
		return s.since[id]
	}
	return now
}

// Groups counts the devices of each poller group.
func (s *Schedule) Groups() map[int64]int { return s.groups }

// Shortest is the shortest interval of the devices of each poller group, in seconds.
func (s *Schedule) Shortest() map[int64]int { return s.short }

// holds says whether a device is to be polled.
func (s *Schedule) holds(id int64) bool {
	_, found := s.devices[id]
	return found
}

// changes are the devices of s that previous did not hold, or held otherwise.
func (s *Schedule) changes(previous *Schedule) []device.Scheduled {
	var changed []device.Scheduled
	for id, place := range s.devices {
		if before, known := previous.devices[id]; known && previous.source[before] == s.source[place] {
			continue
		}
		changed = append(changed, s.source[place])
	}
	return changed
}

// during calls visit with each entry whose phase some second of (from, to] has.
func (r round) during(from, to int64, visit func(entry)) {
	if to <= from {
		return
	}
	if to-from >= r.interval {
		r.visit(0, r.interval, visit)
		return
	}
	first, end := modulo(from+1, r.interval), modulo(to, r.interval)+1
	if first < end {
		r.visit(first, end, visit)
		return
	}
	r.visit(first, r.interval, visit)
	r.visit(0, end, visit)
}

// visit calls visit with each entry whose phase is in [first, end).
func (r round) visit(first, end int64, visit func(entry)) {
	start, _ := slices.BinarySearchFunc(r.entries, first, func(e entry, phase int64) int { return cmp.Compare(e.phase, phase) })
	for _, e := range r.entries[start:] {
		if e.phase >= end {
			return
		}
		visit(e)
	}
}

// slotAt is the beginning of the slot of an entry that contains the Unix second now.
func (r round) slotAt(e entry, now int64) int64 { return now - modulo(now-e.phase, r.interval) }

// modulo is the remainder that is never negative.
func modulo(n, divisor int64) int64 { return (n%divisor + divisor) % divisor }
