// Package billing turns what the counters of ports say into what a bill says:
// samples, periods, 95th percentiles, totals. Pure functions over integers.
//
// It must not read devices, the database or the clock: every time is passed in,
// so that each figure can be made again from its samples.
package billing

import (
	"fmt"
	"math"
	"time"
)

// Port is a billed port as a collection must know it.
type Port struct {
	ID     int64
	Device int64
	Index  int64  // ifIndex, where the inventory has the port
	Name   string // ifName, else ifDescr: what stands at Index, or Row, must be called so
	Row    string // of a port that stands in another table than the IF-MIB, as device.PortState has it; "" for one of the IF-MIB
	Speed  uint64 // bit/s; 0 when it is not known
	Last   int64  // slot of its last reading; 0 for none
	Bits   int    // width of the counters of that reading: 64 or 32; 0 for none
}

// Device is a device with billed ports: what a producer schedules.
type Device struct {
	ID    int64
	Group int64 // its poller group
	Ports int   // billed ports that the inventory has
}

// Reading is one port's counters as read in one PDU together with sysUpTime,
// ifCounterDiscontinuityTime and ifName (RFC 2863). Whoever makes it has seen
// that the name is the port's: there is no reading of another port's counters.
// A read that failed is no reading.
type Reading struct {
	Port          int64
	Slot          int64     // Unix second at which the collect slot begins
	Interval      int       // seconds between slots
	Read          time.Time // middle between sending and receiving the PDU, by the cluster's clock
	Uptime        uint32    // sysUpTime, hundredths of a second; 0 when the device does not say
	Discontinuity uint32    // ifCounterDiscontinuityTime, the sysUpTime of the last one; 0 for none, or when the device does not say
	In, Out       uint64    // octets
	Bits          int       // 64 for ifHCInOctets and ifHCOutOctets, 32 for ifInOctets and ifOutOctets
	Index         int64     // ifIndex at which it was read
	Speed         uint64    // bit/s, the highest of ifHighSpeed and ifSpeed of that PDU and the inventory's; 0 when none is known
}

// Sample is what a port carried since the reading before: bytes, exact unless
// its flags say otherwise. Unique by port and slot.
type Sample struct {
	Port  int64
	Slot  int64         // Unix second; the sample belongs whole to the period in which its slot begins
	Width int           // seconds of the slot
	Slots int           // that the bytes are spread over: 1, and 1 more for each slot missed before
	Read  time.Time     // when the counters were read
	Span  time.Duration // since the reading before; 0 for the first, and where the two cannot be compared
	In    uint64        // bytes
	Out   uint64        // bytes
	Flags Flag
}

const (
	slack      = 30 * time.Second   // of traffic that a device's agent may bring out late, since some refresh their counters only so often
	fastest    = 10_000_000_000_000 // bit/s, of a port whose speed is not known; above every port that is sold
	ticks      = 10 * time.Millisecond
	clockSlack = 5 * time.Second // between the cluster's clock and the device's, and 1/200 of the time in between
	clockDrift = 200
	clockAhead = 7 * 24 * time.Hour // more than this by the device's clock than by the cluster's is the device's fault
	most       = math.MaxInt64      // bytes of one sample: what every database can keep
)

// Measure makes the sample of two readings of one port, in the order of their
// slots. A former reading of 0 bits is none. The sample is refused, with
// false, when its slot is not newer than the former reading's: it was
// delivered twice, or too late, or a clock stepped back. Nothing is lost by
// that, since the next reading covers the time.
func Measure(before, now Reading) (Sample, bool) {
	s := Sample{Port: now.Port, Slot: now.Slot, Width: now.Interval, Slots: 1, Read: now.Read}
	if now.Slot <= before.Slot {
		return Sample{}, false
	}
	if before.Bits == 0 {
		s.Flags = First
		return s, true
	}
	s.Slots = slotsBetween(before, now)
	var rebooted, stepped bool
	s.Span, rebooted, stepped = elapsed(before, now)
	if stepped {
		// The slots say how far the clock went, the device how long that took.
		s.Flags |= Clock
		width := time.Duration(now.Interval) * time.Second
		s.Slots = max(1, min(s.Slots, int((s.Span+width/2)/width)))
	}
	if s.Slots > 1 {
		s.Flags |= Spread
	}
	if before.Index != now.Index {
		s.Flags |= Reindexed
	}
	switch {
	case before.Bits != now.Bits: // the two cannot be compared, so that no rate is known either
		s.Flags |= Discontinuity
		s.Span = 0
	case rebooted:
		s.Flags |= Reboot
		restarted(&s, before, now, sinceTicks(now.Uptime))
	case before.Discontinuity != now.Discontinuity:
		s.Flags |= Discontinuity
		restarted(&s, before, now, sinceTicks(now.Uptime-now.Discontinuity))
	default:
		went(&s, before, now)
	}
	return s, true
}

// slotsBetween is how many slots a reading ends: 1 when none was missed. After
// a change of the interval the first slot of the new one may be as far as the longer of both.
func slotsBetween(before, now Reading) int {
	missed := now.Slot - before.Slot - int64(max(before.Interval, now.Interval))
	if missed <= 0 {
		return 1
	}
	return int(min(1+(missed+int64(now.Interval)-1)/int64(now.Interval), math.MaxInt32))
}

// elapsed is the time between two readings, and whether the device started in
// between. The device's own clock tells a clock of ours that stepped from a
// device that started: one that is up for longer than the time in between did not.
func elapsed(before, now Reading) (span time.Duration, rebooted, stepped bool) {
	span = now.Read.Sub(before.Read)
	byClock := time.Duration(now.Slot-before.Slot) * time.Second
	if before.Uptime == 0 || now.Uptime == 0 { // nothing to compare with
		if span <= 0 {
			return byClock, false, true
		}
		return span, false, false
	}
	went := sinceTicks(now.Uptime - before.Uptime) // modulo 2^32: sysUpTime passes 0 every 497 days
	tolerance := clockSlack + max(span, 0)/clockDrift
	switch off := span - went; {
	case span > 0 && off.Abs() <= tolerance:
		return span, false, false
	case now.Uptime < before.Uptime && went > span, sinceTicks(now.Uptime) <= span+tolerance && went < span:
		if span <= 0 {
			return byClock, true, true
		}
		return span, true, false
	case went > 0 && went <= max(span, 0)+clockAhead:
		return went, false, true
	case span > 0: // its sysUpTime leapt by weeks, or back over 0
		return span, false, true
	default:
		return byClock, false, true
	}
}

func sinceTicks(t uint32) time.Duration { return time.Duration(t) * ticks }

// went counts by the difference, modulo the counters' width. A direction in
// which that is more than the port can carry adds nothing, and the other what it
// carried: whoever is billed for that one has used it. What it can carry goes by
// the shorter of our time and the device's: one that is up for days longer than
// five minutes ago may be another device behind the same address. Our time is no less than
// the slots between say, since a clock that stepped back makes the readings look close together.
//
// A counter that fell has passed 0, or began at 0 anew. Where the other counter is
// implausible, as after both were cleared, or the device does not say how long it
// is up, nobody can tell, so it adds nothing. One of 64 bits that begins anew is
// implausible at any speed, unless it was about to pass 0.
func went(s *Sample, before, now Reading) {
	in, out := difference(before.In, now.In, now.Bits), difference(before.Out, now.Out, now.Bits)
	between := s.Span
	if ours := now.Read.Sub(before.Read); ours > 0 {
		between = min(between, max(ours, time.Duration(now.Slot-before.Slot)*time.Second))
	}
	limit := carried(faster(fasterSpeed(before, now)), between+slack)
	if in > limit || out > limit {
		s.Flags |= Implausible // counters that were cleared, or of a device that errs
	}
	anew := s.Flags&Implausible != 0 || now.Bits == 32 && (before.Uptime == 0 || now.Uptime == 0)
	count := func(before, now, went uint64) uint64 {
		switch {
		case went > limit:
			return 0
		case now >= before:
			return went
		case anew:
			s.Flags |= Ambiguous
			return 0
		default:
			s.Flags |= Wrap
			return went
		}
	}
	s.In, s.Out = count(before.In, now.In, in), count(before.Out, now.Out, out)
	s.ambiguous(before, now, max(s.Span, now.Read.Sub(before.Read))) // by the clock that says more, where two disagree
}

// restarted counts by what the counters say since they began at 0, which is
// since at most. What passed between the former reading and that is not known.
//
// Where no counter fell they may have gone on, as those of a host do whose
// agent alone was started again; then the difference is what is certain. Of
// 32-bit counters that went on one may have passed 0 and the other not, so that each is judged alone.
func restarted(s *Sample, before, now Reading, since time.Duration) {
	if since <= 0 || since > s.Span {
		since = s.Span
	}
	speed := fasterSpeed(before, now)
	whole, limit := carried(faster(speed), s.Span+slack), carried(faster(speed), since+slack)
	wentOn := now.In >= before.In && now.Out >= before.Out && now.In-before.In <= whole && now.Out-before.Out <= whole
	if !wentOn && now.Bits == 64 {
		if s.In, s.Out = now.In, now.Out; now.In <= limit && now.Out <= limit {
			return
		}
		s.Flags |= Implausible
	}
	least := func(before, now uint64) uint64 { // whether its counter began at 0 or went on
		switch {
		case now >= before && now-before <= whole:
			return now - before
		case now < before && now <= limit:
			return now
		}
		s.Flags |= Implausible
		return 0
	}
	s.In, s.Out = least(before.In, now.In), least(before.Out, now.Out)
	if now.In >= before.In || now.Out >= before.Out || s.Flags&Implausible != 0 {
		since = s.Span // they may not have begun at 0
	}
	s.ambiguous(before, now, since)
}

// ambiguous marks a sample of 32-bit counters that may have passed 0 more often than they show.
func (s *Sample) ambiguous(before, now Reading, span time.Duration) {
	if now.Bits == 32 && carried(fasterSpeed(before, now), span) > math.MaxUint32 {
		s.Flags |= Ambiguous
	}
}

// difference is how far a counter of 32 or 64 bits went.
func difference(before, now uint64, width int) uint64 {
	if width == 32 {
		return uint64(uint32(now) - uint32(before))
	}
	return now - before
}

// Validate refuses what cannot be a reading, whoever made it.
func (r Reading) Validate() error {
	switch {
	case r.Port <= 0 || r.Slot <= 0 || r.Read.IsZero():
		return fmt.Errorf("reading: port %d, slot %d, read at %v", r.Port, r.Slot, r.Read)
	case r.Interval < MinInterval || r.Interval > MaxInterval:
		return fmt.Errorf("reading of port %d: interval %d s, want %d to %d", r.Port, r.Interval, MinInterval, MaxInterval)
	case r.Bits != 64 && r.Bits != 32, r.Bits == 32 && max(r.In, r.Out) > math.MaxUint32:
		return fmt.Errorf("reading of port %d: counters %d and %d of %d bits", r.Port, r.In, r.Out, r.Bits)
	}
	return nil
}

// Bounds of the interval between collect slots, in seconds.
const (
	MinInterval = 60
	MaxInterval = 900
)
