package billing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"time"
)

// Totals are what adding up samples gives, one sample after the other, in any order.
type Totals struct {
	In, Out     uint64 // bytes
	Got         int64  // samples
	GotSeconds  int64  // their slots' widths
	Inexact     int64  // samples whose bytes may be fewer than the port carried
	Implausible int64  // samples that count nothing because they are more than the port can
	Checksum    Checksum
}

// Add counts one sample.
func (t *Totals) Add(s Sample) {
	t.In, t.Out = min(t.In+s.In, most), min(t.Out+s.Out, most)
	t.Got++
	t.GotSeconds += int64(s.Width)
	if !s.Flags.Exact() {
		t.Inexact++
	}
	if s.Flags&Implausible != 0 {
		t.Implausible++
	}
	t.Checksum.add(s)
}

// Checksum tells one set of samples from another: the SHA-256 of each sample,
// added up modulo 2^256, so that samples can be added in any order and never
// have to be read again. It finds damage and changes by hand; it is no signature.
type Checksum [32]byte

func (c *Checksum) add(s Sample) {
	var text [72]byte
	for i, n := range [9]uint64{
		uint64(s.Port), uint64(s.Slot), uint64(s.Width), uint64(s.Slots), uint64(s.Read.UnixMilli()), uint64(s.Span.Milliseconds()), s.In, s.Out, uint64(s.Flags),
	} {
		binary.BigEndian.PutUint64(text[8*i:], n)
	}
	sum := sha256.Sum256(text[:])
	var carry uint64
	for i := 24; i >= 0; i -= 8 {
		var n uint64
		n, carry = bits.Add64(binary.BigEndian.Uint64(c[i:]), binary.BigEndian.Uint64(sum[i:]), carry)
		binary.BigEndian.PutUint64(c[i:], n)
	}
}

// String is the checksum in 64 hexadecimal digits.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// ParseChecksum reads what String wrote; false for anything else.
func ParseChecksum(text string) (c Checksum, ok bool) {
	raw, err := hex.DecodeString(text)
	return c, err == nil && copy(c[:], raw) == len(c) && len(raw) == len(c)
}

// Figures are what a bill says of a period, up to some time.
type Figures struct {
	Rate95In, Rate95Out   uint64 // 95th percentile of the slots' rates, bit/s
	Rate95                uint64 // that of the bill's direction
	AverageIn, AverageOut uint64 // bit/s: the bytes over the slots with a rate. It can be above the peak, see MeasuredSeconds
	PeakIn, PeakOut, Peak uint64 // highest rate of a slot, bit/s; Peak is that of the bill's direction
	Used, Overuse         uint64 // bit/s of a CDR, bytes of a quota
	Predicted             uint64 // what Used will be at the period's end when it goes on like this
	MeasuredSeconds       int64  // slots with a rate, of this period: the bytes of slots that were missed before its begin are in it, their rates and time are not
	Expected              int64  // samples that there would be, had no read failed
	CalculatedTo          int64  // Unix second: slots that begin before it are in the figures
}

// Percent is used of allowed in hundredths of a percent; 0 when nothing is allowed.
func Percent(used, allowed uint64) uint64 {
	if allowed == 0 {
		return 0
	}
	return scale(used, 10_000, allowed)
}

// Terms are what the figures of a period are made by.
type Terms struct {
	Type      Type
	Allowed   uint64
	Direction Direction
	Method    Method
	Period    Period
	To        int64 // Unix second up to which there can be samples; not after the period's end
	Began     int64 // Unix second at which the first port was billed
}

// Figure makes the figures of a period from its totals and the rates of its slots.
func Figure(t Terms, totals Totals, slots []Slot) Figures {
	f := Figures{CalculatedTo: t.To}
	uniform := true
	for _, s := range slots {
		f.MeasuredSeconds += int64(s.Width)
		f.PeakIn, f.PeakOut = max(f.PeakIn, s.In), max(f.PeakOut, s.Out)
		f.Peak = max(f.Peak, t.Direction.of(s.In, s.Out))
		uniform = uniform && s.Width == slots[0].Width
	}
	values := make([]uint64, len(slots))
	rate95 := func(value func(Slot) uint64) uint64 {
		if !uniform && t.Method != LibreNMS {
			return weighted95(slots, value)
		}
		for i, s := range slots {
			values[i] = value(s)
		}
		return percentile95(values, t.Method)
	}
	f.Rate95In, f.Rate95Out = rate95(func(s Slot) uint64 { return s.In }), rate95(func(s Slot) uint64 { return s.Out })
	if f.Rate95 = t.Direction.of(f.Rate95In, f.Rate95Out); t.Direction == Aggregate {
		f.Rate95 = rate95(func(s Slot) uint64 { return min(s.In+s.Out, most) })
	}
	measured := time.Duration(f.MeasuredSeconds) * time.Second
	f.AverageIn, f.AverageOut = rate(totals.In, measured), rate(totals.Out, measured)
	if t.Type == Quota {
		f.Used = t.Direction.of(totals.In, totals.Out)
		f.Predicted = f.Used
		if elapsed, left := t.To-max(t.Period.From, t.Began), t.Period.To-t.To; elapsed > 0 && left > 0 {
			f.Predicted = min(f.Used+scale(min(f.Used, t.Direction.carriedIn(slots)), uint64(left), uint64(elapsed)), most)
		}
	} else {
		f.Used = f.Rate95
		f.Predicted = f.Rate95 // a rate does not grow with time
	}
	if f.Used > t.Allowed {
		f.Overuse = f.Used - t.Allowed
	}
	return f
}

// carriedIn are the bytes that the rates of slots stand for. They are fewer than
// the total where a sample brought what slots before the period had carried: that does not come again.
func (d Direction) carriedIn(slots []Slot) uint64 {
	var in, out uint64
	for _, s := range slots {
		in = min(in+scale(s.In, uint64(s.Width), 8), most)
		out = min(out+scale(s.Out, uint64(s.Width), 8), most)
	}
	return d.of(in, out)
}

// of is what counts of two directions.
func (d Direction) of(in, out uint64) uint64 {
	switch d {
	case In:
		return in
	case Out:
		return out
	case Aggregate:
		return min(in+out, most)
	default:
		return max(in, out)
	}
}

// scale is n x by / over, rounded down.
func scale(n, by, over uint64) uint64 {
	high, low := bits.Mul64(n, by)
	if high >= over {
		return most
	}
	quotient, _ := bits.Div64(high, low, over)
	return min(quotient, most)
}

// Expected is how many samples there are of a port that is billed from a time to another, when no read fails.
func Expected(from, to int64, interval int) int64 {
	width := int64(interval)
	return max(0, (to+width-1)/width-(from+width-1)/width)
}

// Amend is how many samples are expected where some of those that are there
// are of another interval, which was set before. There are never more than expected.
func Amend(expected int64, interval int, t Totals) int64 {
	width := int64(interval)
	if t.GotSeconds == t.Got*width {
		return max(expected, t.Got)
	}
	return t.Got + max(0, expected*width-t.GotSeconds+width/2)/width
}

// Standing is a period of a bill with its figures.
type Standing struct {
	Bill       int64
	Type       Type
	Allowed    int64
	Direction  Direction
	Method     Method
	Period     Period
	Closed     bool      // nothing changes it any more
	Calculated time.Time // zero when nothing was calculated yet
	Late       int64     // samples of former periods that were written after those were closed, and count nowhere
	Totals
	Figures
}

// Percent is how much of the allowance is used, in hundredths of a percent; 0 when nothing is allowed.
func (s Standing) Percent() uint64 { return Percent(s.Used, uint64(max(s.Allowed, 0))) }

// Coverage is the share of the expected samples that there are, in hundredths of a percent, rounded down.
func (s Standing) Coverage() uint64 {
	if s.Expected <= 0 {
		return 10_000
	}
	return scale(uint64(s.Got), 10_000, uint64(s.Expected))
}

// Membership is a port of a bill, from when to when its samples count.
type Membership struct {
	Port    int64
	From    int64  // Unix second; samples whose slots begin then or later count
	Until   int64  // Unix second; samples whose slots begin before count; 0 for no end
	Device  string // hostname; of a port that is gone, the one it had when it came
	Name    string // ifName; likewise
	Present bool   // the inventory has the port
	Done    int64  // slot of the last sample in the figures
}

// Calculation is what a calculation of bills must know.
type Calculation struct {
	Now      time.Time // the cluster's
	Interval int       // seconds between collect slots
	Method   Method
	Open     bool // no period is closed, however long it is over: only the cluster's own calculations do that
}
