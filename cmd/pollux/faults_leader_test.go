//go:build faults

package main_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

// takeoverLimit is how long nothing may be offered after a leader has died.
const takeoverLimit = 15 * time.Second

// offers are how many slots a producer put into queues, or found there.
func offers(p *process) float64 {
	m := p.scrape()
	return m.sum("pollux_offers_total", `result="offered"`) + m.sum("pollux_offers_total", `result="conflict"`)
}

// TestFaultKillLeader kills the leading producer just before, at and just after
// seconds at which it offers. Another one offers within 15 s, and no slot is polled twice.
func TestFaultKillLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.PostgreSQL, setup{producers: 3, consumers: 2})
	var worst time.Duration
	moments := []time.Duration{-200, -50, -5, 2, 5, 20, 80, 200} // ms from a full second
	if testing.Short() {
		moments = []time.Duration{-5, 20}
	}
	for _, ms := range moments {
		leader := w.leader()
		heirs := slices.DeleteFunc(w.running("p"), func(p *process) bool { return p == leader })
		before := map[*process]float64{}
		for _, p := range heirs {
			before[p] = offers(p)
		}
		second := time.Now().Truncate(time.Second).Add(2 * time.Second)
		<-time.After(time.Until(second.Add(ms * time.Millisecond)))
		killed := w.kill(leader)
		until(t, time.Minute, "another producer offers", func() bool {
			return slices.ContainsFunc(heirs, func(p *process) bool { return offers(p) > before[p] })
		})
		took := time.Since(killed)
		worst = max(worst, took)
		t.Logf("killed %+d ms from a second: offered again after %v", ms, took.Round(time.Millisecond))
		w.disturbed(killed, killed.Add(took))
		w.start("producer", leader.name[:2])
	}
	w.healed("all devices are polled in a whole slot", time.Now(), 1)
	o := w.finish("%d kills of the leader: offered again after at most %v", len(moments), worst.Round(time.Millisecond))
	if worst > takeoverLimit {
		t.Errorf("after a kill nothing was offered for %v", worst)
	}
	if o.inRow > 1 {
		t.Errorf("a device missed %d slots in a row", o.inRow)
	}
}

// TestFaultFreezeLeader freezes the leader for a minute. When it goes on there
// is another one, and what it still wants to offer is there already.
func TestFaultFreezeLeader(t *testing.T) {
	t.Parallel()
	const frozen = time.Minute
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 2, consumers: 2})
	leader := w.leader()
	heir := w.running("p")[0]
	if heir == leader {
		heir = w.running("p")[1]
	}
	before := offers(heir)
	leader.signal(syscall.SIGSTOP)
	stopped := time.Now()
	until(t, time.Minute, "the other producer offers", func() bool { return offers(heir) > before })
	takeover := time.Since(stopped)
	w.disturbed(stopped, time.Now())
	pass(t, "the leader was frozen for long enough", stopped.Add(frozen))
	ended := w.sum("pollux_polls_total")
	leader.signal(syscall.SIGCONT)
	thawed := time.Now()
	until(t, time.Minute, "one producer leads", func() bool { return leads(heir) && !leads(leader) })
	w.healed("all devices are polled in a whole slot", thawed, 1)
	stale := leader.scrape().sum("pollux_offers_total", `result="offered"`)
	o := w.finish("the other producer offered %v after the freeze; %.0f polls during it, the frozen one had offered %.0f", takeover.Round(time.Millisecond), ended, stale)
	if takeover > takeoverLimit {
		t.Errorf("the other producer took %v to offer", takeover)
	}
	// A task for each slot: whatever ran twice would have come again, or would be a slot that nobody has.
	if len(o.again) > 0 {
		t.Errorf("%d slots had a second task: %v", len(o.again), some(sortedSlots(o.again)))
	}
	if o.inRow > 1 {
		t.Errorf("a device missed %d slots in a row", o.inRow)
	}
}
