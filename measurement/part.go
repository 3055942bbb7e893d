package measurement

import (
	"slices"
	"time"
)

// partBefore is how long before its sample the unknown value of a break stands, at least and about: a whole
// second, because whoever replays the samples compares whole seconds.
const partBefore = time.Second

// Part writes the breaks of one poll's measurements out: in front of each sample that breaks
// it puts one of unknown values, so that RRDtool, which takes the difference of
// two values, takes none across the break and begins anew with the sample itself. No
// value is left unknown for want of that: an unknown sample alone would cost the slot after it too.
//
// It stands at a whole second, because RRDtool counts unknown time in whole seconds, and so that the two differ in theirs. Where there
// is no room for it, as it must lie a second behind last, the device's last
// sample (zero for none), or because there may be no more than most
// measurements, the sample's own values become unknown instead.
// list is not changed; without a break it is returned as it is.
func Part(list []Measurement, last time.Time, most int) []Measurement {
	breaks := 0
	for i := range list {
		if list[i].Break {
			breaks++
		}
	}
	if breaks == 0 {
		return list
	}
	room := len(list)+breaks <= most
	parted := make([]Measurement, 0, len(list)+breaks)
	for _, m := range list {
		if m.Break {
			m.Break = false
			unknown := m
			unknown.Values = make([]Value, len(m.Values))
			unknown.Time = m.Time.Truncate(time.Second).Add(-partBefore)
			switch {
			case room && (last.IsZero() || unknown.Time.Sub(last) >= time.Second):
				parted = append(parted, unknown)
			default:
				m.Values = unknown.Values
			}
		}
		parted = append(parted, m)
	}
	return slices.Clip(parted)
}
