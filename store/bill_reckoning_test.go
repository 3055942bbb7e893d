package store

import (
	"math/big"
	"time"

	"pollux/billing"
)

// reckoned is what the oracle says of one sample.
type reckoned struct {
	row     sampleRow
	in, out uint64 // what the port truly carried since the reading before, bytes
	sound   bool   // nothing was in its way but missed slots: it must be exact
	riddle  bool   // counters were cleared or leapt, and whoever sees two readings only cannot know it
}

// The flags by their numbers, so that they cannot change unseen.
const (
	oFirst         = 1
	oSpread        = 2
	oWrap          = 4
	oReboot        = 8
	oDiscontinuity = 16
	oReindexed     = 32
	oAmbiguous     = 64
	oImplausible   = 128
	oClock         = 256
	oInexact       = oFirst | oReboot | oDiscontinuity | oAmbiguous | oImplausible
)

// take says what the sample of a reading must be, false where it makes none. The reading is the last one from then on.
func (w *wire) take(r billing.Reading) (reckoned, bool) {
	if w.taken != nil && r.Slot <= w.taken.Slot {
		return reckoned{}, false
	}
	k := reckoned{in: w.since.in, out: w.since.out}
	k.row = sampleRow{PortID: w.id, Slot: r.Slot, SlotSeconds: r.Interval, Slots: 1, ReadAt: r.Read.UnixMilli(), Flags: oFirst}
	if w.taken != nil {
		k.row.Flags = 0
		started := w.reckonTime(&k.row, r)
		w.reckonBytes(&k.row, r, started)
		vague := r.Bits == 32 && (w.vague || !w.narrow || w.mute || k.row.SpanMS > 3_400_000)
		k.sound = !w.since.harmed && !vague
		k.riddle = w.riddle(k.row, r, started)
	}
	w.taken, w.told, w.since = &r, w.at.Sub(w.boot), events{}
	return k, true
}

// reckonTime fills in over what time a sample is, and says whether its device must be taken for one that started.
func (w *wire) reckonTime(row *sampleRow, r billing.Reading) (started bool) {
	old := w.taken
	// Slots of the sample's width, back from it, but not where the longer of both widths covers the time.
	first := old.Slot + int64(max(old.Interval, r.Interval)-r.Interval)
	for at := r.Slot - int64(r.Interval); at > first; at -= int64(r.Interval) {
		row.Slots++
	}
	const tick, week = 10 * time.Millisecond, 7 * 24 * time.Hour
	ours, theirs := r.Read.Sub(old.Read), w.at.Sub(w.boot)/tick*tick-w.told/tick*tick // nonsense after a start
	off := 5*time.Second + max(ours, 0)/200                                           // that two good clocks may differ by
	span, stepped := ours, false
	if old.Uptime != 0 && r.Uptime != 0 {
		switch {
		case w.since.started:
			started = true
		case ours > 0 && (ours-theirs).Abs() <= off:
		case r.Uptime < old.Uptime && (theirs > ours || theirs < 0), theirs < ours && theirs >= 0 && time.Duration(r.Uptime)*tick <= ours+off:
			started = true // or so it looks
		case theirs < 0, theirs > max(ours, 0)+week: // by weeks, or back over 0: nobody takes that for the time
			stepped = ours > 0
		default:
			span, stepped = theirs, true
		}
	}
	if ours <= 0 && !stepped { // only the slots say how long it was
		span, stepped = time.Duration(r.Slot-old.Slot)*time.Second, true
	}
	row.SpanMS = span.Milliseconds()
	width := int64(r.Interval) * 1000
	if stepped {
		row.Slots = max(1, min(row.Slots, int((row.SpanMS+width/2)/width)))
		row.Flags |= oClock
	}
	if row.Slots > 1 {
		row.Flags |= oSpread
	}
	if old.Index != r.Index {
		row.Flags |= oReindexed
	}
	return started
}

// reckonBytes fills in what counts of a sample.
func (w *wire) reckonBytes(row *sampleRow, r billing.Reading, started bool) {
	old := w.taken
	var wraps float64 // the seconds in which a counter of 32 bits may pass 0 more than once
	switch {
	case old.Bits != r.Bits:
		row.Flags |= oDiscontinuity
		row.SpanMS = 0 // nothing to take a rate of
		return
	case started:
		row.Flags |= oReboot
		wraps = w.reckonStart(row, r, float64(r.Uptime)/100)
	case old.Discontinuity != r.Discontinuity:
		row.Flags |= oDiscontinuity
		wraps = w.reckonStart(row, r, float64(r.Uptime-r.Discontinuity)/100)
	default:
		wraps = w.reckonOn(row, r)
	}
	if r.Bits == 32 && w.within(r, 0, wraps)(1<<32) {
		row.Flags |= oAmbiguous
	}
}

// reckonStart is what is certain of counters that may have begun at 0 so many seconds ago.
func (w *wire) reckonStart(row *sampleRow, r billing.Reading, since float64) (wraps float64) {
	old, span := w.taken, float64(row.SpanMS)/1000
	if since <= 0 || since > span {
		since = span
	}
	whole, short := w.carries(r, span+30), w.carries(r, since+30)
	in, sureIn := alone(old.In, r.In, whole, short)
	out, sureOut := alone(old.Out, r.Out, whole, short)
	fell := r.In < old.In || r.Out < old.Out
	if r.Bits == 64 && fell && short(r.In) && short(r.Out) { // both began at 0
		in, out = r.In, r.Out
	} else if r.Bits == 64 && fell || !sureIn || !sureOut {
		row.Flags |= oImplausible
	}
	row.In, row.Out = int64(in), int64(out)
	if r.In < old.In && r.Out < old.Out && row.Flags&oImplausible == 0 {
		return since
	}
	return span
}

// reckonOn is what counters brought that went on.
func (w *wire) reckonOn(row *sampleRow, r billing.Reading) (wraps float64) {
	old, span := w.taken, float64(row.SpanMS)/1000
	in, out, can := w.gone(old.In, r.In), w.gone(old.Out, r.Out), w.carries(r, w.shorter(span, r)+30)
	if !can(in) || !can(out) {
		row.Flags |= oImplausible
	}
	doubtful := row.Flags&oImplausible != 0 || r.Bits == 32 && (old.Uptime == 0 || r.Uptime == 0)
	counts := func(gone uint64, fell bool) int64 {
		switch {
		case !can(gone):
			return 0
		case fell && doubtful:
			row.Flags |= oAmbiguous
			return 0
		case fell:
			row.Flags |= oWrap
		}
		return int64(gone)
	}
	row.In, row.Out = counts(in, r.In < old.In), counts(out, r.Out < old.Out)
	return max(span, r.Read.Sub(old.Read).Seconds())
}

// alone is what is certain of one direction after a start, which began at 0 or went on; false for nothing.
func alone(old, now uint64, whole, since func(uint64) bool) (uint64, bool) {
	switch {
	case now >= old && whole(now-old):
		return now - old, true
	case now < old && since(now):
		return now, true
	}
	return 0, false
}

// shorter is the time between two readings by the clock that says less, where
// ours says no less than the slots: it cannot have stood still between two of them.
func (w *wire) shorter(span float64, r billing.Reading) float64 {
	ours := r.Read.Sub(w.taken.Read).Seconds()
	if ours <= 0 {
		return span
	}
	return min(span, max(ours, float64(r.Slot-w.taken.Slot)))
}

// carries says whether the port carries so many bytes in a time, at the faster
// of the speeds that were told, which may be a little below 1 Mbit/s more.
func (w *wire) carries(r billing.Reading, seconds float64) func(uint64) bool {
	return w.within(r, 999_999, seconds)
}

// within says whether a port of the faster of the speeds that were told, and so much more, carries so many bytes in a time.
func (w *wire) within(r billing.Reading, more uint64, seconds float64) func(uint64) bool {
	speed := max(r.Speed, w.taken.Speed)
	if speed == 0 {
		speed = 1e13
	}
	// Exactly: bytes * 8000 <= speed * milliseconds.
	most := new(big.Int).Mul(new(big.Int).SetUint64(speed+more), big.NewInt(int64(seconds*1000+0.5)))
	return func(bytes uint64) bool {
		return new(big.Int).Mul(new(big.Int).SetUint64(bytes), big.NewInt(8000)).Cmp(most) <= 0
	}
}

// gone is the difference of two counters modulo their width.
func (w *wire) gone(old, now uint64) uint64 {
	d := new(big.Int).Sub(new(big.Int).SetUint64(now), new(big.Int).SetUint64(old))
	return d.Mod(d, new(big.Int).Lsh(big.NewInt(1), uint(w.bits))).Uint64()
}

// modulo is what counters show of sums.
func (w *wire) modulo(sums [2]uint64) [2]uint64 {
	return [2]uint64{w.gone(0, sums[0]), w.gone(0, sums[1])}
}

// riddle says that counters were cleared or leapt without a word, and moved by no more than the port can carry.
func (w *wire) riddle(row sampleRow, r billing.Reading, started bool) bool {
	old := w.taken
	told := started || old.Discontinuity != r.Discontinuity
	if !w.since.silent && (told || !w.since.zeroed) {
		return false
	}
	if told || old.Bits != r.Bits || w.since.leapt && r.Bits == 32 {
		return true
	}
	can := w.carries(r, w.shorter(float64(row.SpanMS)/1000, r)+30)
	return can(w.gone(old.In, r.In)) && can(w.gone(old.Out, r.Out))
}
