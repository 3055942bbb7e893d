//go:build faults

package main_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pollux/polluxtest"
)

// checkCost fails the test when a device missed more slots than kills hit it:
// each missed slot needs a kill of its own that came while it lasted.
func (w *world) checkCost(o outcome, killed []time.Time) {
	w.t.Helper()
	next := map[int64]int{} // the first kill that has cost a device nothing yet
	missed := slotHistory{all: w.judged(o.end), polled: o.logged.all}.missed()
	slices.SortFunc(missed, func(a, b slot) int { return int(a.begin - b.begin) })
	for _, s := range missed {
		i := next[s.device]
		for i < len(killed) && killed[i].Before(time.Unix(s.begin, 0)) {
			i++
		}
		if i == len(killed) || killed[i].After(time.Unix(s.begin+int64(w.interval), 0)) {
			w.t.Errorf("slot %v was missed without a kill of its own", s)
			continue
		}
		next[s.device] = i + 1
	}
}

// TestFaultKillConsumers kills one of three consumers in the middle of polls,
// twenty times, and starts it again 10 s later. A kill costs a device at most
// the slot that it hit, and the tasks that died come to their end within 125 s.
func TestFaultKillConsumers(t *testing.T) {
	t.Parallel()
	const every, rest, reruns = 9 * time.Second, 10 * time.Second, 125 * time.Second
	kills := 20
	if testing.Short() {
		kills = 3
	}
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 2, consumers: 3})
	random := rand.New(rand.NewPCG(3, 5))
	var killed []time.Time
	flying := 0.0
	type rise struct {
		name string
		at   time.Time
	}
	var down []rise
	for len(killed) < kills || len(down) > 0 {
		if len(down) > 0 && time.Now().After(down[0].at) {
			w.start("consumer", down[0].name)
			down = down[1:]
		}
		if alive := w.running("c"); len(killed) < kills && len(alive) > 1 && (len(killed) == 0 || time.Since(killed[len(killed)-1]) > every) {
			victim := alive[random.IntN(len(alive))]
			flying += w.underWay(victim, 2)
			at := w.kill(victim)
			killed = append(killed, at)
			down = append(down, rise{victim.name[:2], at.Add(rest)})
		}
		<-time.After(lookEvery)
	}
	end := time.Now()
	recovered := w.healed("all devices are polled in a whole slot", end, 1)
	untilEvery(t, time.Second, reruns, "no task is stuck", func() bool { return len(w.judgeQueues()) == 0 })
	o := w.finish("%d kills of a consumer with %.0f polls under way; well again after %v", len(killed), flying, recovered.Round(time.Second))

	w.checkCost(o, killed)
	if float64(o.missed) > 1.5*flying+float64(kills) {
		t.Errorf("%d slots were missed by %d kills with %.0f polls under way", o.missed, kills, flying)
	}
	if w.watch.longest > reruns {
		t.Errorf("task %s was in work for %v after a kill", w.watch.which, w.watch.longest)
	}
}
