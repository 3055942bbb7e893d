package billing

import (
	"math/bits"
	"time"
)

// fasterSpeed is the higher of what the port could do at both readings, bit/s.
func fasterSpeed(before, now Reading) uint64 {
	if speed := max(before.Speed, now.Speed); speed > 0 {
		return min(speed, fastest)
	}
	return fastest
}

// faster is a speed that a port which says this one may have. ifHighSpeed has
// whole Mbit/s only, rounded (RFC 2863) or, by some agents, cut off: a T1 of 1.544 Mbit/s says 1.
func faster(speed uint64) uint64 {
	const precision = 1_000_000 // bit/s
	if speed%precision == 0 {
		return speed + precision - 1
	}
	return speed
}

// carried are the bytes that a port carries in a time at most.
func carried(speed uint64, span time.Duration) uint64 {
	high, low := bits.Mul64(speed, uint64(max(span, 0)/time.Millisecond))
	if high >= 8000 {
		return most
	}
	bytes, _ := bits.Div64(high, low, 8000)
	return min(bytes, most)
}

// Rates are the average rates of the sample in bit/s, rounded down; 0 where Span is.
func (s Sample) Rates() (in, out uint64) {
	return rate(s.In, s.Span), rate(s.Out, s.Span)
}

func rate(bytes uint64, span time.Duration) uint64 {
	milliseconds := uint64(max(span, 0) / time.Millisecond)
	if milliseconds == 0 {
		return 0
	}
	high, low := bits.Mul64(bytes, 8000)
	if high >= milliseconds {
		return most
	}
	perSecond, _ := bits.Div64(high, low, milliseconds)
	return min(perSecond, most)
}
