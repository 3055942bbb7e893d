package main_test

import (
	"math"
	"testing"
)

// TestJudgeOfAccuracy gives the judge of the rates a device of 100 a second whose
// answer of one slot lay for a while before the poller read it.
func TestJudgeOfAccuracy(t *testing.T) {
	t.Parallel()
	const step, rate = 10, 100.0
	for name, c := range map[string]struct {
		lay         float64 // seconds for which the poller took the answer too late
		filed       float64 // what the file has of the slot beyond what the log has
		late, close int
		worst       bool
	}{
		"no answer waited":                  {0, 0, 0, 8, false},
		"an answer waited a little":         {0.04, 0, 0, 8, false},
		"an answer waited":                  {0.7, 0, 3, 5, false},
		"an answer waited for very long":    {3, 0, 1, 5, true},
		"the file has something else":       {0, 7, 0, 7, true},
		"it waited, and the file was wrong": {0.7, 9, 2, 5, true},
	} {
		var all []answered
		for i := range 10 {
			all = append(all, answered{at: float64(1000 + step*i + 3), count: uint64(rate * step * i)})
		}
		all[5].at += c.lay
		var rows []compared
		for end := int64(1020); end <= 1090; end += step {
			taken := rateTaken(all, end-step, end)
			rows = append(rows, compared{got: taken, want: rate, taken: taken})
		}
		rows[4].got += c.filed // it ends at 1060, with the answer
		rows = append(rows, compared{got: rate, want: rate, taken: rateTaken(all, 1090, 1100)})
		var a accuracy
		a.take(rows[:8], step)
		if a.late != c.late || a.close != c.close || (a.worst > 0.02) != c.worst || !c.worst && a.run > 0.002 {
			t.Errorf("%s: %v, %d close", name, a, a.close)
		}
		if outside := rows[8].taken; !math.IsNaN(outside) {
			t.Errorf("%s: beyond the last sample there is a rate of %g", name, outside)
		}
	}
}
