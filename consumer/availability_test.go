package consumer

import (
	"testing"
	"time"

	"pollux/measurement"
	"pollux/poller"
)

// TestAvailabilityKeepsItsDistance: it is filed at a whole second, which must not lie in the last poll's last second either.
func TestAvailabilityKeepsItsDistance(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	whole := time.Unix(1_772_366_400, 0)
	at := whole.Add(600 * time.Millisecond)
	for _, c := range []struct{ last, want time.Time }{
		{time.Time{}, whole},
		{at.Add(-time.Minute), whole},
		{whole.Add(-time.Second), whole},
		{at.Add(-sampleGap), whole.Add(time.Second)},
	} {
		u := r.turn(1, 10)
		u.last.SampleAt = c.last
		report := poller.Report{Measurements: []measurement.Measurement{{Kind: measurement.KindAvailability, Time: at}, {Kind: measurement.KindICMP, Time: at}}}
		r.date(u, &report)
		if m := report.Measurements; !m[0].Time.Equal(c.want) || !m[1].Time.Equal(at) {
			t.Errorf("after a sample of %v: %v and %v, want %v and %v", c.last, m[0].Time, m[1].Time, c.want, at)
		}
	}
}
