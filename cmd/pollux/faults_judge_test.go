//go:build faults

package main_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pollux/device"
)

const (
	settleLimit = 3 * time.Minute // until nothing is stuck and memory has returned
	maxShown    = 12              // complaints of one judge that are printed
)

// outcome is what a fault cost.
type outcome struct {
	missed, judged, worst, inRow int
	short                        int // polls that were cut short by the end of their slot
	repeated                     []string
	again                        map[slot][]string // tasks that came after their slot was finished
	visits                       []visit
	logged                       history
	gap                          time.Duration
	end                          time.Time
}

// finish ends a run: it waits until the cluster is well again after the last
// disturbance, collects what all parts wrote down, and judges it. It logs the
// figures with what the test adds to them.
func (w *world) finish(figures string, wanted ...any) outcome {
	w.t.Helper()
	w.settle()
	end := time.Now()
	o := outcome{end: end}
	o.logged = w.checkJournal(journalEntries(w.t, w.client), w.late...)
	counted := int(w.sum("pollux_slots_missed_total")) - w.counted
	w.report(w.secrets(w.client, w.all, w.leader(), w.redis.Dir))
	w.stopAll()
	for _, f := range w.fleets() {
		o.visits = append(o.visits, f.visits()...)
	}
	if !w.died.IsZero() {
		// Who was frozen and goes on answers at once what was asked long ago.
		o.visits = slices.DeleteFunc(o.visits, func(v visit) bool { return slices.Contains(w.second.ids, v.device) && v.to.After(w.died) })
	}
	ended, again := w.endings()
	o.again = again

	h := slotHistory{all: w.judged(end.Add(-4 * time.Second)), polled: o.logged.all, ended: ended, counted: counted}
	h.unsure = w.unsure(o.logged.all, end)
	if wrong := h.judge(); len(wrong) > 0 {
		w.report(wrong)
		w.explain(h)
	}
	if w.long() {
		w.checkBegun(o.logged.all, end)
	}
	w.report(judgeVisits(o.visits, w.pardoned...))
	missed := h.missed()
	o.missed, o.judged, o.gap = len(missed), len(h.all), longestGap(o.logged.all)
	for s := range o.logged.short {
		if s.begin >= w.calmAt.Unix() {
			o.short++
		}
	}
	o.inRow, o.worst = worstRun(missed, int64(w.interval))
	o.repeated = repeated(completed(o.visits, w.kills), w.pardoned...)
	w.t.Logf("figures: longest gap of a device %v; %d of %d slots missed, at most %d in a row and %d of a device; %d polled twice; %d tasks came again; %d cut short; a task was in work for at most %v (%s); %s",
		o.gap, o.missed, o.judged, o.inRow, o.worst, len(o.repeated), len(o.again), o.short, w.watch.longest.Round(time.Second), w.watch.which, fmt.Sprintf(figures, wanted...))
	if len(o.repeated) > 0 {
		w.t.Errorf("I2: %d slots were polled twice: %v", len(o.repeated), some(o.repeated))
	}
	return o
}

// judged are the slots from the calm on: of the second fleet only those before it died.
func (w *world) judged(end time.Time) []slot {
	all := w.slots(w.calmAt, end)
	switch {
	case w.second == nil:
		return all
	case w.died.IsZero():
		return append(all, w.second.slots(w.calmAt, end)...)
	default:
		return append(all, w.second.slots(w.calmAt, w.died)...)
	}
}

// checkBegun fails the test unless each slot that began a while before the end was polled: long ones are not over then.
func (w *world) checkBegun(polled map[slot]int, end time.Time) {
	w.t.Helper()
	for _, id := range w.ids {
		if s := (slot{id, device.SlotAt(id, w.interval, end.Add(-30*time.Second).Unix())}); polled[s] != 1 {
			w.t.Errorf("slot %v is %d times in the log", s, polled[s])
		}
	}
}

// report fails the test with what a judge found.
func (w *world) report(wrong []string) {
	w.t.Helper()
	report(w.t, wrong)
}

// report fails a test with what a judge found.
func report(t testing.TB, wrong []string) {
	t.Helper()
	for _, line := range wrong[:min(len(wrong), maxShown)] {
		t.Error(line)
	}
	if len(wrong) > maxShown {
		t.Errorf("and %d more of the kind", len(wrong)-maxShown)
	}
}

// explain logs what helps to find out why slots were judged to be wrong.
func (w *world) explain(h slotHistory) {
	w.t.Helper()
	for _, p := range w.all {
		if n := w.watch.last(p).sum("pollux_slots_missed_total"); n > 0 {
			w.t.Logf("%s counted %.0f missed slots", p.name, n)
		}
	}
	w.t.Logf("devices were added from %d to %d, all was calm at %d with %d missed slots counted", w.adding.Unix(), w.added.Unix(), w.calmAt.Unix(), w.counted)
	for _, s := range w.fleet.slots(w.adding, time.Now()) {
		if number := slices.Index(w.ids, s.device); h.polled[s] == 0 && s.begin > w.fleet.added[number].Unix() {
			w.t.Logf("missed: %v, %d s after the calm; said of it: %q; unsure: %t", s, s.begin-w.calmAt.Unix(), h.ended[s], h.unsure[s])
		}
	}
}

// unsure are the missing slots that the leaders may have counted or not: those at
// the edges of the judged stretch, and those judged when the figures of a leader were not seen.
func (w *world) unsure(polled map[slot]int, end time.Time) map[slot]bool {
	unsure, edge := map[slot]bool{}, 4*time.Second // a slot is judged 2 s after its end, within a second
	spans := append([]span{{w.calmAt.Add(-edge), w.calmAt.Add(edge)}, {end.Add(-edge), end.Add(edge)}}, w.unseen...)
	step := time.Duration(w.interval) * time.Second
	var all []slot
	for _, f := range w.fleets() {
		all = append(all, f.slots(w.calmAt.Add(-2*step), end.Add(step))...)
	}
	for _, s := range all {
		judged := time.Unix(s.begin, 0).Add(step)
		dead := w.second != nil && !w.died.IsZero() && slices.Contains(w.second.ids, s.device) && judged.After(w.died)
		early := time.Unix(s.begin, 0).Before(w.calmAt) && judged.After(w.calmAt) // begun before all was calm
		if polled[s] == 0 && (early || dead || slices.ContainsFunc(spans, func(u span) bool {
			return judged.After(u.from.Add(-edge)) && judged.Before(u.to.Add(edge))
		})) {
			unsure[s] = true
		}
	}
	return unsure
}

// settle waits until no task is stuck and each process that lived through all
// of it holds what it held before.
func (w *world) settle() {
	w.t.Helper()
	var wrong []string
	well := func() bool {
		wrong = w.judgeQueues()
		for _, p := range w.all {
			if calm, lived := w.calm[p]; lived && p.alive() {
				w.watch.look(p)
				wrong = append(wrong, levelsOf(w.watch.last(p)).judge(p.name, calm)...)
			}
		}
		return len(wrong) == 0
	}
	deadline := time.Now().Add(settleLimit)
	for tick := time.NewTicker(time.Second); !well() && time.Now().Before(deadline); {
		<-tick.C
	}
	w.report(wrong)
}

// judgeQueues is I6 for all queues.
func (w *world) judgeQueues() (wrong []string) { return judgeQueues(w.t.Context(), w.client) }

// stopAll ends all nodes as an operator does, consumers last, and the simulation.
func (w *world) stopAll() {
	w.t.Helper()
	w.drain(append(w.running("p"), w.running("c")...)...)
	for _, f := range w.fleets() {
		if f.process.alive() {
			f.stop()
		}
	}
}

// checkRecorded fails the test unless RRDCached got everything that is in the
// log: each polled slot has a rate, and the rates of the whole run are right.
func (w *world) checkRecorded(o outcome) {
	w.t.Helper()
	if behind, known := lag(w.t, w.client); !known || behind > 5*time.Second {
		w.t.Errorf("the recorder left entries %v old (has there been one: %t)", behind, known)
	}
	step := int64(w.interval)
	ports, to := w.pick(w.store, w.rrd.Base, 60), o.end.Unix()/step*step-2*step
	a := w.compare(ports, w.fetch(w.rrd.Address, ports, w.added.Unix()-3*step, to), w.reads(), o.logged, to)
	w.t.Logf("rates: %v", a)
	if a.unknown > 0 || a.run > 0.01 || a.slots == 0 {
		w.t.Errorf("RRDCached lacks something: %v", a)
	}
	for _, device := range []string{"sim-0000", "sim-0007"} {
		files, err := filepath.Glob(filepath.Join(w.rrd.Base, device, "*.rrd"))
		if err != nil || len(files) != w.ports+1+ownFiles {
			w.t.Errorf("%s has %d files, %v", device, len(files), err)
		}
	}
}

// ownFiles of a device: icmp-perf, four of availability, poller-perf of the poll and of icmp, core and ports.
const ownFiles = 9
