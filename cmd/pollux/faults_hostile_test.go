//go:build faults

package main_test

import (
	"testing"
	"time"

	"pollux/device"
	"pollux/simulator"
)

const (
	healthyDevices = 300
	hostileDevices = 50
	deadDevices    = 150      // with the slow ones and the healthy ones: 30 % of 500
	memoryMore     = 64 << 20 // bytes that hostile devices may cost
	deadWorker     = 8 * time.Second
	leastComplete  = 0.99
)

// TestDataHostileDevices polls healthy devices alone, then beside hostile ones
// of every script, then while a third of all devices is dead and a tenth takes
// 1.9 s for each answer, and at last while the sick ones lose 30 % of the
// requests. The healthy ones must not notice any of it.
func TestDataHostileDevices(t *testing.T) {
	t.Parallel()
	w := newWard(t, healthyDevices)
	alone := w.spell("all devices are well")

	sick := w.admit("sick", hostileDevices)
	w.become(sick, simulator.All)
	hostile := w.spell("fifty devices are hostile")
	w.checkPorts(sick)
	w.tell(sick)

	dead := w.admit("dead", deadDevices)
	w.become(dead, simulator.BlackHole)
	w.become(sick, simulator.Slow)
	longest := w.firstDown(dead)
	failing := w.spell("many devices are dead or slow")
	longest = max(longest, w.longest(dead))
	slow := w.longest(sick)
	w.checkPorts(dead)

	w.become(dead, simulator.Lossy)
	w.become(sick, simulator.Lossy)
	lossy := w.spell("devices lose requests")
	w.checkPorts(dead)
	w.checkPorts(sick)
	w.checkComplete(lossy)

	if got := w.consumer.scrape().sum("pollux_polls_skipped_total", `reason="panic"`); got > 0 {
		t.Errorf("%.0f polls panicked", got)
	}
	w.drain(w.producer, w.consumer)
	w.healthy.stop()
	reads := w.healthy.reads()
	w.checkHealthy(reads, alone, map[string]span{"hostile devices": hostile, "dead and slow devices": failing, "lossy devices": lossy})
	late, _ := w.late(reads, failing)
	if late > wardInterval*time.Second/10 {
		t.Errorf("healthy devices were polled %v late (p95) beside dead and slow ones", late)
	}
	t.Logf("figures: a dead device took a worker for at most %v, a slow one for %v of %d s",
		longest.Round(time.Millisecond), slow.Round(time.Millisecond), wardInterval)
	if longest > deadWorker || slow > wardInterval*time.Second*8/10+time.Second {
		t.Errorf("a dead device took a worker for %v, a slow one for %v", longest, slow)
	}
	before, with := w.memory.most(alone), w.memory.most(hostile)
	t.Logf("figures: the consumer held at most %.1f MB without the hostile devices, %.1f MB with them, %.1f MB with the dead and slow ones",
		before/1e6, with/1e6, w.memory.most(failing)/1e6)
	if before == 0 || with > before+memoryMore {
		t.Errorf("the consumer held %.1f MB without the hostile devices and %.1f MB with them", before/1e6, with/1e6)
	}
}

// firstDown waits until all devices of a fleet are down, and returns the longest
// of those polls: later ones wait less for a device that is known to be down.
func (w *ward) firstDown(f *fleet) (longest time.Duration) {
	w.t.Helper()
	untilEvery(w.t, 3*time.Second, 5*wardInterval*time.Second, "all devices of "+f.name+" are down", func() bool {
		down := 0
		for _, id := range f.ids {
			d, err := w.store.Device(w.t.Context(), id)
			if err != nil {
				w.t.Fatal(err)
			}
			if d.Status == device.StatusDown {
				longest = max(longest, d.PollDuration)
				down++
			}
		}
		return down == len(f.ids)
	})
	return longest
}

// checkHealthy fails the test unless each healthy device was polled in each slot of each
// spell, and as early as in the one where they were alone: by a tenth or 100 ms, whichever is more, at the 95th percentile.
func (w *ward) checkHealthy(reads [][]time.Time, alone span, spells map[string]span) {
	w.t.Helper()
	polls := w.healthy.polls(reads)
	calm, _ := w.late(reads, alone)
	spells["nobody"] = alone
	for beside, spell := range spells {
		late, count := w.late(reads, spell)
		w.t.Logf("figures: beside %s healthy devices were polled %d times, %v after the begin of their slots (p95)", beside, count, late.Round(time.Millisecond))
		if late > calm+max(calm/10, 100*time.Millisecond) {
			w.t.Errorf("beside %s healthy devices were polled %v late (p95), alone %v", beside, late, calm)
		}
		if missed, _ := w.healthy.missing(polls, spell.from, spell.to); len(missed) > 0 {
			w.t.Errorf("beside %s %d slots of healthy devices were missed: %v", beside, len(missed), some(missed))
		}
	}
}

// checkComplete fails the test unless nearly all sick devices were read completely in each cycle of a spell.
func (w *ward) checkComplete(during span) {
	w.t.Helper()
	up := map[slot]bool{}
	for _, e := range journalEntries(w.t, w.client()) {
		if e.outcome == outcomeUp {
			up[e.slot] = true
		}
	}
	complete, all := map[int64]int{}, map[int64]int{}
	for _, f := range w.sick {
		for _, s := range f.slots(during.from, during.to) {
			cycle := (s.begin - during.from.Unix()) / wardInterval
			all[cycle]++
			if up[s] {
				complete[cycle]++
			}
		}
	}
	for cycle, devices := range all {
		if devices < hostileDevices {
			continue // the edge of the spell
		}
		w.t.Logf("figures: with 30 %% loss %d of %d devices were complete in cycle %d", complete[cycle], devices, cycle)
		if float64(complete[cycle]) < leastComplete*float64(devices) {
			w.t.Errorf("with 30 %% loss %d of %d devices were complete in cycle %d", complete[cycle], devices, cycle)
		}
	}
}
