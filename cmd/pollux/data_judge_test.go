package main_test

import (
	"fmt"
	"math"
	"slices"
)

// I3: what the files hold is what the devices answered. Their rates change from
// slot to slot, so a sample that is not in its file shows: the rates of the two
// slots that it parts are then their mean.

const (
	rightWithin = 0.02  // a rate, of what follows from the simulator's log
	closeWithin = 0.005 // most of them
)

// answered is one octet counter that a device gave.
type answered struct {
	at    float64 // Unix seconds
	count uint64
	begin int64   //nolint:unused // of the slot; the tests that have a fleet use it
	taken float64 // for when the poller took it to be; 0 when that is not known
}

// counted is a counter at a moment between two answers.
func counted(all []answered, at float64) float64 {
	i, exact := slices.BinarySearchFunc(all, at, func(a answered, at float64) int {
		switch {
		case a.at < at:
			return -1
		case a.at > at:
			return 1
		}
		return 0
	})
	if exact {
		return float64(all[i].count)
	}
	before, after := all[i-1], all[i]
	return float64(before.count) + float64(after.count-before.count)*(at-before.at)/(after.at-before.at)
}

// filed is how well files agree with the answers.
type filed struct {
	rows, unknown, wrong, close, gaps int
	torn                              int     // files that a kill left half written
	late                              int     // that are wrong because the poller was off about the moment of an answer
	waited                            float64 // seconds' worth that the worst of these lacks or has too much
	worst                             float64 // relative error, without those
	off                               float64 // seconds by which it was off, at most
	complaints                        []string
}

func (r filed) String() string {
	return fmt.Sprintf("%d rates, %d unknown, %d wrong, %.2f %% within 0.5 %%, the worst %.2f %%; %d beside samples whose time was off, the worst by %.2f s' worth, the times by %.0f ms at most; %d beside missed slots; %d files torn by kills",
		r.rows, r.unknown, r.wrong, 100*float64(r.close)/float64(max(r.rows-r.gaps, 1)), 100*r.worst, r.late, r.waited, 1000*r.off, r.gaps, r.torn)
}

// judge is what is wrong, at the end. A poller whose times were off in more than a twentieth of the rows is not forgiven.
func (r filed) judge() []string {
	if r.rows == 0 || r.late > r.rows/20 {
		r.complain("I3: %d rates could be compared, of %d the time is off", r.rows, r.late)
	}
	return r.complaints
}

func (r *filed) complain(format string, args ...any) {
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

// compareAnswers holds the rows of one counter of a file against its answers,
// from the first whole step to the last. Where a slot is missing RRDtool 1.7
// counts whole seconds: only the sum of the rows that its neighbours touch is right.
func (r *filed) compareAnswers(what string, step float64, rows []rowOf, all []answered) {
	if len(all) < 2 {
		r.complain("I3: %s has %d samples", what, len(all))
		return
	}
	// RRDtool takes steps that it fills from one update for one: a step that a file began
	// in, together with one that was left out, may be unknown as a whole.
	for len(all) > 2 && math.Floor(all[1].at/step)-math.Floor(all[0].at/step) >= 2 {
		all = all[1:]
	}
	first, last := all[0].at, all[len(all)-1].at
	taken := slices.Clone(all)
	for i := range taken {
		if taken[i].taken > 0 {
			taken[i].at = taken[i].taken
			r.off = max(r.off, math.Abs(taken[i].at-all[i].at))
		}
	}
	var got, want float64
	block, bounded := 0, false // bounded by a row without a gap on its left
	for _, row := range rows {
		begin, end := row.at-step, row.at
		if begin < first || end > last {
			continue
		}
		if row.torn {
			block, got, want, bounded = 0, 0, 0, false
			continue
		}
		r.rows++
		expected := (counted(all, end) - counted(all, begin)) / step
		if math.IsNaN(row.rate) {
			r.unknown++
			r.complain("I3: %s is unknown at %.0f, answers: %s", what, end, around(all, end))
			block, got, want, bounded = 0, 0, 0, false
			continue
		}
		if skipped(all, step, begin, end) {
			r.gaps++
			block, got, want = block+1, got+row.rate, want+expected
			continue
		}
		if bounded && block > 0 && math.Abs(got-want) > rightWithin*want {
			r.wrong++
			r.complain("I3: %s is %.0f in the %d slots up to %.0f, the device says %.0f", what, got/float64(block), block, begin, want/float64(block))
		}
		block, got, want, bounded = 0, 0, 0, true
		asTaken := expected
		if begin >= taken[0].at && end <= taken[len(taken)-1].at {
			asTaken = (counted(taken, end) - counted(taken, begin)) / step
		}
		r.look(what, row, step, expected, asTaken, fastest(all, begin, end))
	}
	if missing := int((last-first)/step) - 1 - len(rows); missing > 0 {
		r.unknown += missing
		r.complain("I3: of %s %d rows are not there", what, missing)
	}
}

// look judges one row. On a busy machine an answer may lie there for up to two seconds before the poller reads it: the
// poller takes its moment for half of the way, and is off. A row that is exactly right by the poller's times is not lost,
// but for more than a second's worth no such answer is an excuse. That is a second of the fastest rate about
// the row: what an answer that is late takes along is of the slot before it, in which the device may have
// counted five times as fast as in the row itself.
func (r *filed) look(what string, row rowOf, step, expected, asTaken, fastest float64) {
	off := math.Abs(row.rate-expected) / expected
	if off > rightWithin && off*expected*step <= fastest && math.Abs(row.rate-asTaken) <= closeWithin*asTaken {
		r.late, r.waited = r.late+1, max(r.waited, off*expected*step/fastest)
		return
	}
	r.worst = max(r.worst, off)
	switch {
	case off <= closeWithin:
		r.close++
	case off > rightWithin:
		r.wrong++
		r.complain("I3: %s is %.0f at %.0f, the device says %.0f, and %.0f by the poller's times", what, row.rate, row.at, expected, asTaken)
	}
}

// fastest is the highest rate between two answers in a row that it touches; those are two when an answer lies within it.
func fastest(all []answered, begin, end float64) (rate float64) {
	for i := 1; i < len(all); i++ {
		if before, after := all[i-1], all[i]; after.at > begin && before.at < end {
			rate = max(rate, float64(after.count-before.count)/(after.at-before.at))
		}
	}
	return rate
}

// around tells of the answers near a moment: when each was given, and for when it was taken.
func around(all []answered, at float64) (text string) {
	for i, a := range all {
		if math.Abs(a.at-at) < 90 {
			text += fmt.Sprintf("%d: %+.2f (taken for %+.2f) counts %d; ", i, a.at-at, a.taken-at, a.count)
		}
	}
	return text
}

// rowOf is one row of one counter: the rate of the step that ends at second at.
type rowOf struct {
	at, rate float64
	torn     bool // by a kill of its RRDCached, which no line mends
}

// skipped says whether a row is touched by two answers between which a whole step was left out.
func skipped(all []answered, step, begin, end float64) bool {
	for i := 1; i < len(all); i++ {
		if all[i].at > begin && all[i-1].at < end && math.Floor(all[i].at/step)-math.Floor(all[i-1].at/step) >= 2 {
			return true
		}
	}
	return false
}

// besideEmpty says whether a stretch of time shares a step with one of two samples in a row between which a whole step
// of the file is empty.
func besideEmpty(all []answered, step, begin, end float64) bool {
	for i := 1; i < len(all); i++ {
		before, after := math.Floor(all[i-1].at/step), math.Floor(all[i].at/step)
		if after-before >= 2 && end > before*step && begin < (after+1)*step {
			return true
		}
	}
	return false
}

// lines are those that a log held for one of its targets, and what became of them. One that
// is sent again is counted again: recorded ones may be more than those appended, never fewer.
type lines struct {
	appended, cut                       int
	accepted, present, refused, removed int
	removing                            bool // devices were removed or moved, whose lines are dropped
	received                            int  // updates that the daemon itself counted since it began; 0 when the consumers' counts are whole
}

func (l lines) String() string {
	return fmt.Sprintf("%d lines appended, %d cut; %d accepted, %d there already, %d refused, %d removed; RRDCached itself was asked for its count: %d",
		l.appended, l.cut, l.accepted, l.present, l.refused, l.removed, l.received)
}

// judge is what is wrong.
func (l lines) judge() (wrong []string) {
	if l.refused > 0 || l.removed > 0 && !l.removing {
		wrong = append(wrong, fmt.Sprintf("I5: %d lines were refused and %d removed", l.refused, l.removed))
	}
	if recorded := max(l.accepted+l.present+l.removed, l.received); l.appended == 0 || recorded < l.appended-l.cut {
		wrong = append(wrong, fmt.Sprintf("I5: %d lines were appended and %d cut, but only %d recorded or dropped with their device", l.appended, l.cut, recorded))
	}
	return wrong
}
