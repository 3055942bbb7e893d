package store

import (
	"math"
	"math/rand/v2"
	"time"

	"pollux/billing"
)

// wire is a port with all that happens to it, in true time. Whoever reads it has a clock that may be wrong.
type wire struct {
	id      int64
	bits    int    // width of the counters that it is read by
	narrow  bool   // it has no others than those of 32 bits
	real    uint64 // bit/s that it carries at most
	speed   uint64 // bit/s that it is said to; 0 when nothing is said
	index   int64
	phase   time.Duration // from a turn's begin until it is read
	calm    bool          // nothing happens to it
	vague   bool          // its counters may pass 0 more than once in a slot
	mute    bool          // its device does not say how long it is up
	passing bool          // its sysUpTime passes 0 in these hours
	boot    time.Time     // by its device's own clock
	disc    uint32
	in, out uint64        // its counters, modulo 2^64
	skew    time.Duration // of the cluster's clock while this port is read
	at      time.Time     // until when it has carried
	random  *rand.Rand

	taken *billing.Reading // that the database took last
	told  time.Duration    // how long the device was up then, by its own clock
	since events           // what happened after that
}

// events are what happened between two readings.
type events struct {
	in, out uint64 // truly carried, bytes
	started bool   // the device or its agent started
	zeroed  bool   // the counters began at 0 anew, and the device says so, unless it is mute
	stepped bool   // a clock stepped
	silent  bool   // counters were cleared or leapt, and the device said nothing
	leapt   bool
	harmed  bool // anything but missed slots
}

func newWire(id int64, random *rand.Rand) *wire {
	w := &wire{id: id, bits: 64, real: 1e9, speed: 1e9, index: id % 1000, phase: time.Duration(5+random.IntN(45)) * time.Second, random: random, calm: random.IntN(5) == 0}
	w.boot = oracleStart.Add(-time.Hour - time.Duration(random.Int64N(int64(400*24*time.Hour))))
	if w.passing = random.IntN(10) == 0; w.passing {
		w.boot = oracleStart.Add(-uptimeModulus + time.Hour)
	}
	w.in, w.out = random.Uint64N(1<<50), random.Uint64N(1<<50)
	switch random.IntN(8) {
	case 0, 1:
		w.bits, w.narrow, w.real, w.speed = 32, true, 10_000_000, 10_000_000
		w.in, w.out = random.Uint64N(1<<32), math.MaxUint32-random.Uint64N(1<<31)
	case 2:
		w.bits, w.narrow, w.vague, w.calm = 32, true, true, false
		w.speed *= random.Uint64N(2)
	case 3:
		w.in = math.MaxUint64 - random.Uint64N(1<<37)
	case 4:
		w.speed = 0
	}
	w.mute = !w.calm && !w.passing && random.IntN(12) == 0
	return w
}

// uptimeModulus is when sysUpTime passes 0 (RFC 3418: hundredths of a second in 32 bits).
const uptimeModulus = (1 << 32) * 10 * time.Millisecond

// pass lets the time until then pass, with what happens in it.
func (w *wire) pass(until time.Time) {
	whole := until.Sub(w.at)
	w.at = until
	if whole <= 2*time.Second || w.calm || w.random.IntN(8) > 0 {
		w.carry(whole)
		return
	}
	late := time.Second + time.Duration(w.random.Int64N(int64(whole-2*time.Second)))
	w.carry(whole - late)
	w.happen(until.Add(-late))
	w.carry(late)
}

// carry lets traffic through for a time, at most 60 % of what the port can.
func (w *wire) carry(span time.Duration) {
	most := w.real / 8 * 6 / 10 * uint64(span/time.Millisecond) / 1000
	in, out := w.random.Uint64N(most+1), w.random.Uint64N(most+1)
	w.since.in, w.since.out = w.since.in+in, w.since.out+out
	w.in, w.out = w.in+in, w.out+out
}

// happen has one fault happen, where it can.
func (w *wire) happen(at time.Time) {
	w.since.harmed = true
	switch w.random.IntN(11) {
	case 0: // the device starts
		if w.mayStart(at) {
			w.boot, w.disc, w.in, w.out = at, 0, 0, 0
			w.since.started, w.since.zeroed = true, true
		}
	case 1: // its agent starts, the counters go on
		if w.mayStart(at) {
			w.boot, w.since.started = at, true
			w.disc *= w.random.Uint32N(2)
		}
	case 2: // the card is pulled
		w.in, w.out, w.disc = 0, 0, ticksSince(w.boot, at)
		w.since.zeroed = true
	case 3:
		w.index += 1000
	case 4: // somebody clears both counters, or one
		which := w.random.IntN(3)
		if which != 0 {
			w.in = 0
		}
		if which != 1 {
			w.out = 0
		}
		w.since.silent = true
	case 5:
		w.leap()
	case 6:
		w.stepOurs()
	case 7:
		w.stepTheirs(at)
	case 8:
		w.mute = !w.mute && !w.passing
	case 9:
		if !w.narrow && w.speed > 0 { // the port comes up at another speed
			w.real = []uint64{1e8, 1e9, 1e10}[w.random.IntN(3)]
			w.speed = w.real
		}
	case 10:
		if !w.narrow { // the agent loses its wide counters, or has them again
			w.bits = 96 - w.bits
		}
	}
}

// stepOurs has the clock of the cluster step, and step back the next time.
func (w *wire) stepOurs() {
	if w.since.started && !w.longUp() {
		return
	}
	steps := []time.Duration{-1490, -610, -310, -75, 75, 310, 610, 1490}
	if w.skew != 0 {
		w.skew = 0
	} else {
		w.skew = steps[w.random.IntN(len(steps))] * time.Second
	}
	w.since.stepped = true
}

// stepTheirs has the clock of the device step ahead or back, or ahead by months.
func (w *wire) stepTheirs(at time.Time) {
	step := time.Duration(70+w.random.IntN(1400)) * time.Second * time.Duration(1-2*w.random.IntN(2))
	if w.random.IntN(8) == 0 {
		step = -time.Duration(30+w.random.IntN(60)) * 24 * time.Hour
	}
	if !w.since.started && at.Sub(w.boot) > step+time.Minute {
		w.boot, w.since.stepped = w.boot.Add(step), true
	}
}

// leap has one counter or both go ahead, by far more than the port can carry as long as they are wide.
func (w *wire) leap() {
	how := w.random.IntN(3)
	by := func() uint64 {
		if w.narrow {
			return 1<<30 + w.random.Uint64N(1<<31)
		}
		return 1<<60 + w.random.Uint64N(1<<59)
	}
	if how != 0 {
		w.in += by()
	}
	if how != 1 {
		w.out += by()
	}
	w.since.silent, w.since.leapt = true, true
}

// mayStart leaves out what nobody can tell by sysUpTime: a device that starts
// twice within a minute, or in the minute in which sysUpTime passes 0, or while
// a clock steps by as much as it was up for.
func (w *wire) mayStart(at time.Time) bool {
	up := at.Sub(w.boot)
	return up > time.Minute && up%uptimeModulus > time.Minute && (up%uptimeModulus-uptimeModulus).Abs() > time.Minute && (!w.since.stepped || w.longUp())
}

// longUp says that the device was up for long at the last reading, and had long to go until its sysUpTime passes 0.
func (w *wire) longUp() bool {
	return w.taken == nil || w.told%uptimeModulus > 24*time.Hour && w.told%uptimeModulus < uptimeModulus-24*time.Hour
}

func ticksSince(boot, at time.Time) uint32 { return uint32(at.Sub(boot) / (10 * time.Millisecond)) }

// read is the reading of a turn by the clock of whoever reads.
func (w *wire) read(width int, at time.Time) billing.Reading {
	at = at.Add(w.skew)
	r := billing.Reading{
		Port: w.id, Slot: at.Unix() / int64(width) * int64(width), Interval: width, Read: at, Uptime: ticksSince(w.boot, at.Add(-w.skew)), Discontinuity: w.disc,
		In: w.in, Out: w.out, Bits: w.bits, Index: w.index, Speed: w.speed,
	}
	if w.bits == 32 {
		r.In, r.Out = r.In%(1<<32), r.Out%(1<<32)
	}
	if w.mute {
		r.Uptime = 0
	}
	return r
}
