package main_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pollux/simulator"
)

// accuracy is how well the files of some ports agree with the closed form.
type accuracy struct {
	slots   int     // compared, each direction for itself
	whole   int     // that could be: read themselves, and the one after them too
	unknown int     // without a rate
	close   int     // within 0.5 %
	worst   float64 // relative error of a slot
	run     float64 // worst relative error of a port's rate over the whole run
	gaps    int     // slots beside a missed one
	moved   float64 // seconds' worth that the worst of them lacks or has too much
	late    int     // slots that are right by the moments for which the poller took the answers
	waited  float64 // seconds' worth that the worst of them lacks or has too much
}

func (a accuracy) String() string {
	return fmt.Sprintf("%d slots, %d unknown, %.2f %% within 0.5 %%, worst %.3f %%, worst over the run %.4f %%; %d slots beside a missed one, worst by %.2f s; %d beside an answer that waited, worst by %.2f s",
		a.slots, a.unknown, 100*float64(a.close)/float64(max(a.slots-a.gaps, 1)), 100*a.worst, 100*a.run, a.gaps, a.moved, a.late, a.waited)
}

// taken are the samples of a port that came into the log, in order.
func (f *fleet) taken(p sampledPort, direction simulator.Column, logged history) (all []answered) {
	for s, ports := range logged.ports {
		sample, there := ports[p.id]
		if s.device != f.ids[p.device] || !there {
			continue
		}
		count := sample.in
		if direction == simulator.OutOctets {
			count = sample.out
		}
		all = append(all, answered{at: float64(sample.ms) / 1000, count: count})
	}
	slices.SortFunc(all, func(a, b answered) int { return cmp.Compare(a.at, b.at) })
	return all
}

// rateTaken is what the samples of a port say of a stretch of time; NaN outside of them.
func rateTaken(all []answered, from, to int64) float64 {
	begin, end := float64(from), float64(to)
	if len(all) < 2 || begin < all[0].at || end > all[len(all)-1].at {
		return math.NaN()
	}
	return (counted(all, end) - counted(all, begin)) / (end - begin)
}

// compared is one slot of a port: the rate in its file, the true one, and that
// of the samples in the log, for the moments for which the poller took them.
type compared struct {
	got, want, taken float64
	gap              bool // beside a missed slot
}

// waited says whether a row is wrong because an answer lay on a busy machine for
// up to two seconds before the poller read it: the poller takes its moment for
// half of the way, and the file has exactly what it took.
func (c compared) waited(step float64) bool {
	off := math.Abs(c.got - c.want)
	return !c.gap && off > closeWithin*c.want && off*step <= c.want && math.Abs(c.got-c.taken) <= closeWithin*c.taken
}

// shortestRun is how many slots make a run: in fewer, the error of the first and the last read is too large a part.
const shortestRun = 6

// take adds the slots of one port and direction.
func (a *accuracy) take(rows []compared, step float64) {
	// A pair of slots beside a miss is right as a whole; half a pair at an end of the run is left out.
	for len(rows) > 0 && rows[0].gap {
		rows = rows[1:]
	}
	for len(rows) > 0 && rows[len(rows)-1].gap {
		rows = rows[:len(rows)-1]
	}
	var measured, expected float64
	for _, r := range rows {
		a.slots++
		if math.IsNaN(r.got) {
			a.unknown++
			continue
		}
		measured, expected = measured+r.got, expected+r.want
		if r.waited(step) {
			a.late, a.waited = a.late+1, max(a.waited, math.Abs(r.got-r.want)/r.want*step)
			expected += r.taken - r.want
			continue
		}
		relative := math.Abs(r.got-r.want) / r.want
		switch {
		case r.gap:
			a.gaps++
			a.moved = max(a.moved, relative*step)
		case relative <= closeWithin:
			a.close++
			fallthrough
		default:
			a.worst = max(a.worst, relative)
		}
	}
	if expected > 0 && len(rows) >= shortestRun {
		a.run = max(a.run, math.Abs(measured-expected)/expected)
	}
}

// rate is what the counter of a port says of a stretch of time.
func rate(model simulator.Model, p sampledPort, direction simulator.Column, from, to int64) float64 {
	begin := model.Counter(p.device, p.port, direction, time.Unix(from, 0))
	end := model.Counter(p.device, p.port, direction, time.Unix(to, 0))
	return float64(end-begin) / float64(to-from)
}

// The share of slots that must be within 0.5 %: a simulated latency is no more
// exact than the timers of a busy machine.
const (
	strict  = 0.99
	delayed = 0.90
)

// movedMost is how many seconds' worth RRDtool may move between two slots beside a
// missed one: a whole second, and by what a busy machine has the poller err about the moments of their samples.
const movedMost = 1.1

// checkAccuracy fails the test unless the rates are right: within 0.5 % in a
// share of the slots, within 2 % in all but those beside an answer that waited (5 % where processes are disturbed on a busy
// machine: of 20 s that is an answer that lay there for 1 s), within 0.2 % over the run.
func checkAccuracy(t testing.TB, a accuracy, share float64, atLeast int) {
	t.Helper()
	t.Logf("rates: %v", a)
	if a.slots < atLeast {
		t.Errorf("only %d slots could be compared, want %d", a.slots, atLeast)
	}
	if a.unknown > 0 {
		t.Errorf("%d slots have no rate", a.unknown)
	}
	worst := 0.02
	if share < strict {
		worst = 0.05
	}
	if float64(a.close) < share*float64(a.slots-a.unknown-a.gaps) || a.worst > worst || a.run > 0.002 || a.moved > movedMost {
		t.Errorf("the rates are not those of the devices: %v", a)
	}
}
