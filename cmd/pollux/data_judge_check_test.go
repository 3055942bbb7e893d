package main_test

import (
	"fmt"
	"math"
	"testing"
)

// checkedRates are the rates of a device of which the judge's own test knows what is filed: they change from slot to slot.
var checkedRates = []float64{100, 400, 200, 800, 100, 500, 300, 700, 100, 600}

// sampledAt are the answers of a device with checkedRates, 3 s into each step of 20 s, and what RRDtool makes of them.
func sampledAt(left map[int]bool) (all []answered, rows []rowOf) {
	var count uint64
	for i := range checkedRates {
		if !left[i] {
			all = append(all, answered{at: float64(1000 + 20*i + 3), count: count})
		}
		count += uint64(checkedRates[i] * 20)
	}
	for end := 1040.0; end <= all[len(all)-1].at; end += 20 {
		rows = append(rows, rowOf{at: end, rate: (counted(all, end) - counted(all, end-20)) / 20})
	}
	return all, rows
}

// lateBy are the answers of sampledAt of which the poller took the fourth for given some seconds too late, and the rows that came of it.
func lateBy(seconds float64) (all []answered, rows []rowOf) {
	all, rows = sampledAt(nil)
	for i := range all {
		all[i].taken = all[i].at
	}
	all[3].at -= seconds
	return all, rows
}

func TestJudgeOfFiledRates(t *testing.T) {
	t.Parallel()
	all, right := sampledAt(nil)
	_, lost := sampledAt(map[int]bool{4: true})
	gap, beside := sampledAt(map[int]bool{4: true})
	moved := append([]rowOf(nil), beside...) // a second's worth of one row stands in the next one
	moved[2].rate, moved[3].rate = moved[2].rate+moved[3].rate/20, moved[3].rate-moved[3].rate/20
	short := append([]rowOf(nil), beside...)
	short[3].rate *= 0.7
	unknown := append([]rowOf(nil), right...)
	unknown[2].rate = math.NaN()
	waited, late := lateBy(0.5)     // the poller took one answer for half a second later
	tooLong, tooLate := lateBy(2.9) // six seconds on its way: nothing that a busy machine explains
	beyond, other := lateBy(0.5)    // and the file has not what the poller took
	other[2].rate *= 1.2
	early, begun := sampledAt(map[int]bool{1: true}) // a slot was missed after the first sample of a file
	begun[0].rate = math.NaN()
	for name, c := range map[string]struct {
		all            []answered
		rows           []rowOf
		unknown, wrong int
	}{
		"all is right":                           {all, right, 0, 0},
		"a sample is lost":                       {all, lost, 0, 2},
		"a slot was missed":                      {gap, beside, 0, 0},
		"beside a missed slot a second is moved": {gap, moved, 0, 0},
		"beside a missed slot something is lost": {gap, short, 0, 1},
		"a row is unknown":                       {all, unknown, 1, 0},
		"the time of a sample is off":            {waited, late, 0, 0},
		"the time of a sample is far off":        {tooLong, tooLate, 0, 1},
		"it is off, and the file is wrong":       {beyond, other, 0, 1},
		"a file began, and a slot was missed":    {early, begun, 0, 0},
		"rows are not there":                     {all, right[:4], 4, 0},
	} {
		var r filed
		r.compareAnswers(name, 20, c.rows, c.all)
		if r.unknown != c.unknown || r.wrong < c.wrong || c.wrong == 0 && r.wrong > 0 || len(r.complaints) == 0 && c.unknown+c.wrong > 0 {
			t.Errorf("%s: %v: %v", name, fmt.Sprint(r), r.complaints)
		}
	}
}

func TestJudgeForgivesFewTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows, late int
		wrong      bool
	}{{0, 0, true}, {100, 5, false}, {100, 6, true}} {
		r := filed{rows: c.rows, late: c.late}
		if wrong := r.judge(); (len(wrong) > 0) != c.wrong {
			t.Errorf("%d of %d: %q", c.late, c.rows, wrong)
		}
	}
}

func TestBesideAnEmptyStep(t *testing.T) {
	t.Parallel()
	full, _ := sampledAt(nil)
	gap, _ := sampledAt(map[int]bool{4: true}) // nothing from 1080 to 1100
	for _, c := range []struct {
		all        []answered
		begin, end float64
		want       bool
	}{{full, 1060, 1080, false}, {gap, 1040, 1060, false}, {gap, 1060, 1080, true}, {gap, 1080, 1100, true}, {gap, 1100, 1120, true}, {gap, 1120, 1140, false}} {
		if got := besideEmpty(c.all, 20, c.begin, c.end); got != c.want {
			t.Errorf("%.0f to %.0f: %t", c.begin, c.end, got)
		}
	}
}

func TestJudgeOfLines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines
		wrong bool
	}{
		"all is recorded":                    {lines{appended: 10, accepted: 8, present: 2}, false},
		"some was sent again":                {lines{appended: 10, accepted: 10, present: 5}, false},
		"one is lost":                        {lines{appended: 10, accepted: 8, present: 1}, true},
		"one was cut":                        {lines{appended: 10, cut: 1, accepted: 9}, false},
		"one is refused":                     {lines{appended: 10, accepted: 10, refused: 1}, true},
		"one is removed, and nobody removes": {lines{appended: 10, accepted: 9, removed: 1}, true},
		"one is removed":                     {lines{appended: 10, accepted: 9, removed: 1, removing: true}, false},
		"a consumer died, RRDCached lived":   {lines{appended: 10, accepted: 5, received: 11}, false},
		"RRDCached got too few":              {lines{appended: 10, accepted: 5, received: 9}, true},
		"nothing was appended":               {lines{}, true},
	} {
		if wrong := c.judge(); len(wrong) > 0 != c.wrong {
			t.Errorf("%s: %v: %q", name, c.lines, wrong)
		}
	}
}
