//go:build faults

package main_test

import (
	"cmp"
	"fmt"
	"time"
)

// What a cluster whose Redis failed must come back to: I1, I7 and the place of I8.

// noteCalm notes what the processes hold and the leaders have counted before the fault.
func (x *redisFault) noteCalm() {
	x.t.Helper()
	x.leaders, x.calm = newTotal(x.producers...), map[*process]levels{}
	for _, p := range x.all() {
		x.calm[p] = levelsOf(p.scrape())
	}
	x.calmAt, x.counted = time.Now(), x.leaders.sum("pollux_slots_missed_total")
}

// settle waits until each process holds what it held before the fault (I7).
func (x *redisFault) settle() {
	x.t.Helper()
	var wrong []string
	well := func() bool {
		wrong = nil
		for _, p := range x.all() {
			wrong = append(wrong, levelsOf(p.scrape()).judge(p.name, x.calm[p])...)
		}
		return len(wrong) == 0
	}
	deadline := time.Now().Add(settleLimit)
	for tick := time.NewTicker(time.Second); !well() && time.Now().Before(deadline); {
		<-tick.C
	}
	report(x.t, wrong)
}

// checkMissed fails the test unless each slot from the calm to the end is in the
// log once or was counted as missed, and none that is there, or twice, is said to have ended without a poll (I1).
func (x *redisFault) checkMissed(logged map[slot]int, end time.Time, counted int) {
	x.t.Helper()
	const edge = 4 * time.Second // a slot is judged 2 s after its end, within a second
	h := slotHistory{all: x.fleet.slots(x.calmAt, end.Add(-edge)), polled: logged, counted: counted, unsure: map[slot]bool{}}
	if !x.parted { // with two masters each side may end a slot
		h.ended, _ = endingsOn(x.t, x.all()...)
	}
	for _, s := range x.fleet.slots(x.calmAt.Add(-2*redisInterval*time.Second), end.Add(redisInterval*time.Second)) {
		begin := time.Unix(s.begin, 0)
		judged := begin.Add(redisInterval * time.Second)
		early := begin.Before(x.calmAt) && judged.After(x.calmAt.Add(-edge)) // begun before all was calm
		if logged[s] == 0 && (early || judged.After(end.Add(-edge)) && judged.Before(end.Add(edge))) {
			h.unsure[s] = true
		}
	}
	x.t.Logf("figures: the leaders counted %d missed slots, the log lacks %d, %d more at the edges", counted, len(h.missed()), len(h.unsure))
	report(x.t, h.judge())
}

// leading waits for the producer that leads.
func (x *redisFault) leading() (leader *process) {
	x.t.Helper()
	until(x.t, startLimit, "one producer leads", func() bool {
		for _, p := range x.producers {
			if leads(p) {
				leader = p
			}
		}
		return leader != nil
	})
	return leader
}

// folders are those in which the servers of Redis keep their data, as the servers
// see them: one may have a file system of its own.
func (x *redisFault) folders() (all []string) {
	for _, s := range x.servers {
		all = append(all, fmt.Sprintf("/proc/%d/root%s", s.PID(), cmp.Or(s.Data, s.Dir)))
	}
	return all
}
