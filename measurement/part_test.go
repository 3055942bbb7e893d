package measurement_test

import (
	"testing"
	"time"

	"pollux/measurement"
)

func TestPartWritesBreaksOut(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_800_000_100_400)
	port := func(id int64, breaks bool, after time.Duration) measurement.Measurement {
		return measurement.Measurement{
			Kind: measurement.KindPort, Instance: id, Generation: 2, Max: 9, Time: at.Add(after), Break: breaks,
			Values: []measurement.Value{measurement.Counter(5), measurement.Unknown()},
		}
	}
	whole := []measurement.Measurement{port(1, false, 0), port(2, false, 0)}
	if got := measurement.Part(whole, at.Add(-time.Minute), 2); len(got) != 2 || &got[0] != &whole[0] {
		t.Error("measurements without a break are changed")
	}
	list := []measurement.Measurement{port(1, false, 0), port(2, true, 700*time.Millisecond)}
	for _, c := range []struct {
		name  string
		last  time.Duration // before at; 0: no sample
		most  int
		parts bool
	}{
		{"room", time.Minute, 3, true},
		{"no sample before", 0, 3, true},
		{"the last sample is a second before", 1400 * time.Millisecond, 3, true},
		{"the last sample is too near", 1399 * time.Millisecond, 3, false},
		{"too many", time.Minute, 2, false},
	} {
		last := time.Time{}
		if c.last > 0 {
			last = at.Add(-c.last)
		}
		got := measurement.Part(list, last, c.most)
		if !list[1].Break || list[1].Values[0].IsUnknown() {
			t.Fatalf("%s: what was given is changed", c.name)
		}
		final := got[len(got)-1]
		if final.Break || final.Instance != 2 || !final.Time.Equal(list[1].Time) || final.Values[0].IsUnknown() == c.parts {
			t.Errorf("%s: the sample is %+v", c.name, final)
		}
		if c.parts != (len(got) == 3) {
			t.Errorf("%s: %d measurements", c.name, len(got))
			continue
		}
		if !c.parts {
			continue
		}
		mark := got[1]
		if mark.Instance != 2 || mark.Generation != 2 || mark.Max != 9 || mark.Break || len(mark.Values) != 2 || !mark.Values[0].IsUnknown() {
			t.Errorf("%s: the unknown sample is %+v", c.name, mark)
		}
		if mark.Time.Nanosecond() != 0 || mark.Time.Unix() != final.Time.Unix()-1 {
			t.Errorf("%s: it stands at %v, the sample at %v", c.name, mark.Time, final.Time)
		}
	}
}
