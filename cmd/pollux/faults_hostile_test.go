//go:build faults

package main_test

import (
	"cmp"
	"fmt"
	"math"
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
	coresMore      = 0.25     // cores that hostile devices may cost the consumer
	deadWorker     = 8 * time.Second
	leastComplete  = 0.99
	besideHostile  = "hostile devices" // the spell for which the promise is made
)

// TestDataHostileDevices polls healthy devices alone, then beside hostile ones
// of every script, then while a third of all devices is dead and a tenth takes
// 1.9 s for each answer, and at last while the sick ones lose 30 % of the
// requests. The healthy ones must not notice any of it. A second cluster, all of whose devices
// are well, tells how the machine that both share went meanwhile.
func TestDataHostileDevices(t *testing.T) {
	t.Parallel()
	w, control := newWard(t, healthyDevices), newWard(t, healthyDevices)
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
	for _, ended := range []*ward{w, control} {
		ended.drain(ended.producer, ended.consumer)
		ended.healthy.stop()
	}
	reads := w.healthy.reads()
	w.checkHealthy(reads, control, alone, map[string]span{besideHostile: hostile, "dead and slow devices": failing, "lossy devices": lossy})
	late, _ := w.late(reads, failing)
	if late > wardInterval*time.Second/10 {
		t.Errorf("healthy devices were polled %v late (p95) beside dead and slow ones", late)
	}
	t.Logf("figures: a dead device took a worker for at most %v, a slow one for %v of %d s",
		longest.Round(time.Millisecond), slow.Round(time.Millisecond), wardInterval)
	if longest > deadWorker || slow > wardInterval*time.Second*8/10+time.Second {
		t.Errorf("a dead device took a worker for %v, a slow one for %v", longest, slow)
	}
	w.checkCosts(alone, hostile, failing, lossy)
}

// checkCosts fails the test when sick devices cost the consumer too much memory, or too much of the cores: the
// other cluster would be held up as much by that, and hide it.
func (w *ward) checkCosts(alone, hostile, failing, lossy span) {
	w.t.Helper()
	before, with := w.memory.most(alone), w.memory.most(hostile)
	w.t.Logf("figures: the consumer held at most %.1f MB without the hostile devices, %.1f MB with them, %.1f MB with the dead and slow ones",
		before/1e6, with/1e6, w.memory.most(failing)/1e6)
	if before == 0 || with > before+memoryMore {
		w.t.Errorf("the consumer held %.1f MB without the hostile devices and %.1f MB with them", before/1e6, with/1e6)
	}
	w.t.Logf("figures: the consumer used %.2f cores without the hostile devices, %.2f with them, %.2f with the dead and slow ones, %.2f with the lossy ones",
		w.cores[alone], w.cores[hostile], w.cores[failing], w.cores[lossy])
	if most := max(w.cores[hostile], w.cores[failing], w.cores[lossy]); w.cores[alone] == 0 || most > w.cores[alone]+coresMore {
		w.t.Errorf("the consumer used %.2f cores without sick devices, and up to %.2f with them", w.cores[alone], most)
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
// spell, and beside hostile devices as early as in the one where they were alone: by a tenth or 100 ms, whichever is
// more, at the 95th percentile of the same cluster. That is the promise, so nothing is taken off for the machine, although other
// tests share its cores, begin and end meanwhile: the figures of the other cluster only tell whether a failure is of the machine's making.
//
// Beside dead, slow and lossy devices, of which no more is promised than a tenth of the interval (checked by the caller), polls
// may be later by as much as those of the other cluster were, too.
func (w *ward) checkHealthy(reads [][]time.Time, control *ward, alone span, spells map[string]span) {
	w.t.Helper()
	polls, others := w.healthy.polls(reads), control.healthy.reads()
	calm, _ := w.late(reads, alone)
	othersCalm, _ := control.late(others, alone)
	spells["nobody"] = alone
	for beside, spell := range spells {
		late, count := w.late(reads, spell)
		othersLate, _ := control.late(others, spell)
		w.t.Logf("figures: beside %s healthy devices were polled %d times, %v after the begin of their slots (p95), %v without sick ones; those of the other cluster %v then, and %v before",
			beside, count, late.Round(time.Millisecond), calm.Round(time.Millisecond), othersLate.Round(time.Millisecond), othersCalm.Round(time.Millisecond))
		limit := calm + max(calm/10, 100*time.Millisecond)
		if beside != besideHostile {
			limit += max(0, othersLate-othersCalm)
		}
		if late > limit {
			w.t.Errorf("beside %s healthy devices were polled %v late (p95), alone %v; those of the other cluster %v and %v", beside, late, calm, othersLate, othersCalm)
		}
		if missed, _ := w.healthy.missing(polls, spell.from, spell.to); len(missed) > 0 {
			w.t.Errorf("beside %s %d slots of healthy devices were missed: %v", beside, len(missed), some(missed))
		}
	}
}

// checkComplete fails the test unless nearly all sick devices were read completely in each of the cycles of a spell.
// Which requests are lost is chance: of 200 devices of which 99 % are complete in the long run some more than two are not in one
// cycle in three. So the cycles together must reach the share, and each for itself may fall short of it by
// three standard deviations, which one in two hundred does then (of 200 devices six may be incomplete, 3 %).
func (w *ward) checkComplete(during span) {
	w.t.Helper()
	up, ended := map[slot]bool{}, map[slot]string{}
	for _, e := range journalEntries(w.t, w.client()) {
		ended[e.slot] = fmt.Sprintf("outcome %d", e.outcome)
		if e.outcome == outcomeUp {
			up[e.slot] = true
		}
	}
	complete, all, incomplete := map[int64]int{}, map[int64]int{}, map[string]int{}
	for _, f := range w.sick {
		for _, s := range f.slots(during.from, during.to) {
			cycle := (s.begin - during.from.Unix()) / wardInterval
			all[cycle]++
			if up[s] {
				complete[cycle]++
				continue
			}
			incomplete[cmp.Or(ended[s], "no entry")+" of "+f.name]++
		}
	}
	w.t.Logf("figures: the polls that were not complete: %v", incomplete)
	cycles, read, polled, worst := 0, 0, 0, 1.0
	for cycle, devices := range all {
		if devices < hostileDevices {
			continue // the edge of the spell
		}
		w.t.Logf("figures: with 30 %% loss %d of %d devices were complete in cycle %d", complete[cycle], devices, cycle)
		cycles, read, polled = cycles+1, read+complete[cycle], polled+devices
		worst = min(worst, float64(complete[cycle])/float64(devices))
		lacking, chance := float64(devices-complete[cycle]), (1-leastComplete)*float64(devices)
		if lacking > chance+3*math.Sqrt(chance*leastComplete) {
			w.t.Errorf("with 30 %% loss only %d of %d devices were complete in cycle %d", complete[cycle], devices, cycle)
		}
	}
	w.t.Logf("figures: with 30 %% loss %d of %d polls of %d cycles were complete, %.1f %% in the worst cycle", read, polled, cycles, 100*worst)
	if cycles < spellSlots || float64(read) < leastComplete*float64(polled) {
		w.t.Errorf("with 30 %% loss %d of %d polls of %d cycles were complete", read, polled, cycles)
	}
}
