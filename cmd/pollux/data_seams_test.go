//go:build faults

package main_test

import (
	"fmt"
	"math"
	"testing"

	"pollux/simulator"
)

// wholeSecond is by how many seconds' worth a row may be off at a seam, and where it is beside a step of its file that
// holds no sample: RRDtool 1.7 then counts the seconds of its neighbour as whole ones. The file of that time had steps of the
// interval of that time, so this is 10 % of a rate at 10 s, 5 % at 20 s and 1.7 % at 60 s. No other row is let pass, but
// for those that are exactly what the poller took when an answer waited on a busy machine.
const wholeSecond = 1.02

// fileStep is the step, in seconds, of the file that had the row that ended at a moment, which is at no seam.
func fileStep(seams []seam, at int64) int {
	step := seams[0].before
	for _, s := range seams {
		if at > s.at.Unix() {
			step = s.after
		}
	}
	return step
}

// seamCount is what the seams cost.
type seamCount struct {
	seams []seam
	step  int // of the newest files, in seconds

	rows, unknown, low, longest int // rows of the newest file; seconds
	lowest                      float64
	moved, empty, late          int     // rows that are off at a seam, beside a step without a sample, beside an answer that waited
	high, beside, waited        float64 // seconds' worth by which the worst of each is off; at a seam: is too high
	visits                      []visit
}

func (c seamCount) String() string {
	return fmt.Sprintf("%d rates; %d unknown and %d too low, at most %d s at a seam, the lowest %.1f %% of what it was; %d at a seam too high, the worst by %.2f s' worth; "+
		"%d beside a step without a sample off, the worst by %.2f s' worth; %d beside an answer that waited, the worst by %.2f s' worth; no other is off",
		c.rows, c.unknown, c.low, c.longest, 100*c.lowest, c.moved, c.high, c.empty, c.beside, c.late, c.waited)
}

// counterSeen is a counter of constant rate, and the samples of it in the log.
type counterSeen struct {
	sampledPort
	of        int64 // device
	direction simulator.Column
	rate      float64
	taken     []answered
}

// judge holds the rows of a counter against what it counted.
func (c *seamCount) judge(t testing.TB, seen counterSeen, rows []row) {
	t.Helper()
	if c.lowest == 0 {
		c.lowest = 1
	}
	spoiled := make([]int, len(c.seams)) // seconds
	for _, r := range rows {
		c.rows++
		got := r.in
		if seen.direction == simulator.OutOctets {
			got = r.out
		}
		share := got / seen.rate
		if share >= 0.995 && share <= 1.005 {
			continue
		}
		at, found := nearest(c.seams, r.at)
		if !found {
			if !c.excused(seen, r.at, got) {
				t.Errorf("%s, %v: %.0f at %d, at no seam, the rate is %.0f", seen.file, seen.direction, got, r.at, seen.rate)
			}
			continue
		}
		s := c.seams[at]
		shorter := float64(min(s.before, s.after))
		switch {
		case math.IsNaN(got):
			c.unknown++
		case share > 1:
			c.moved, c.high = c.moved+1, max(c.high, (share-1)*shorter)
			if (share-1)*shorter > wholeSecond {
				t.Errorf("%s, %v: %.0f at %d, at the seam from %d to %d s, the rate is %.0f", seen.file, seen.direction, got, r.at, s.before, s.after, seen.rate)
			}
			continue
		default:
			c.low++
			c.lowest = min(c.lowest, share)
			if least := 1 - 2/shorter; share < least-0.005 {
				t.Errorf("%s, %v: %.1f %% at the seam from %d to %d s, want %.1f", seen.file, seen.direction, 100*share, s.before, s.after, 100*least)
			}
		}
		spoiled[at] += c.step
	}
	c.judgeSpoiled(t, seen, spoiled)
}

// excused says whether a row at no seam may be off: beside a step of its file without a sample by less than a second's
// worth, and beside an answer that waited, when it is what the poller took.
func (c *seamCount) excused(seen counterSeen, at int64, got float64) bool {
	step := int64(fileStep(c.seams, at))
	begin, end := (at-int64(c.step))/step*step, (at+step-1)/step*step // of the rows that its file had then
	worth := math.Abs(got-seen.rate) / seen.rate * float64(step)
	switch {
	case besideEmpty(seen.taken, float64(step), float64(begin), float64(end)) && worth <= wholeSecond:
		c.empty, c.beside = c.empty+1, max(c.beside, worth)
		return true
	case compared{got: got, want: seen.rate, taken: rateTaken(seen.taken, begin, end)}.waited(float64(step)):
		c.late, c.waited = c.late+1, max(c.waited, worth)
		return true
	}
	return false
}

// judgeSpoiled fails the test when more seconds of a port are unknown or too low at a seam than two slots.
func (c *seamCount) judgeSpoiled(t testing.TB, seen counterSeen, spoiled []int) {
	t.Helper()
	coarse := 0 // the longest step that the history went through after the seam
	for i := len(c.seams) - 1; i >= 0; i-- {
		s := c.seams[i]
		coarse = max(coarse, s.before, s.after)
		c.longest = max(c.longest, spoiled[i])
		if slots := 2 * max(s.before, s.after); spoiled[i] > (slots+coarse-1)/coarse*coarse {
			t.Errorf("%s, %v: %d s are unknown or too low at the seam from %d to %d s at %d; read at%s",
				seen.file, seen.direction, spoiled[i], s.before, s.after, s.at.Unix(), c.around(seen.of, s))
		}
	}
}

// around tells when a device's counters were read about a seam, in seconds from it.
func (c *seamCount) around(id int64, s seam) (text string) {
	for _, v := range c.visits {
		for _, at := range v.reads {
			if from := at.Sub(s.at).Seconds(); v.device == id && from > -float64(4*s.before) && from < float64(4*s.after) {
				text += fmt.Sprintf(" %+.1f", from)
			}
		}
	}
	return text
}

// nearest is the seam that a row belongs to: its first slot begins within the
// slot that was under way and the phase of the new interval.
func nearest(seams []seam, at int64) (int, bool) {
	for i, s := range seams {
		if from := s.at.Unix() - 2*int64(s.before); at >= from && at <= s.at.Unix()+int64(3*max(s.before, s.after)) {
			return i, true
		}
	}
	return 0, false
}
