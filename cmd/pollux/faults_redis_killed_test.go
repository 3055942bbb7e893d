//go:build faults

package main_test

import (
	"slices"
	"testing"
	"time"

	"pollux/polluxtest"
)

const (
	redisKills  = 10
	redisLoads  = 4 * time.Second  // how long every other start takes to read the append-only file
	redisRests  = 25 * time.Second // between two kills: a slot and a quarter
	reofferedIn = 10 * time.Second // until all current slots are offered again
)

// TestFaultRedisKilled kills Redis ten times under load. It comes back with its
// append-only file, which lacks the last second or two; every other time it is
// busy loading that for a while. What was in the queues is offered again within
// its slot, and what the journal lost is appended again.
func TestFaultRedisKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 2, consumers: 2})
	var outages []span
	flying := 0.0
	for n := range redisKills {
		flying += w.underWay(w.nodes["c1"], 2)
		killed := time.Now()
		w.redis.Kill()
		if n%2 == 0 {
			w.redis.Start()
		} else {
			finish := w.redis.StartLoading()
			pass(t, "Redis has loaded for long enough", killed.Add(redisLoads))
			finish()
		}
		back := time.Now()
		outages = append(outages, span{killed, back.Add(reofferedIn)})
		w.disturbed(killed, back)
		pass(t, "the next kill", back.Add(redisRests))
	}
	recovered := w.healed("all devices are polled in a whole slot", time.Now(), 1)
	o := w.finish("%d kills of Redis with %.0f polls under way; well again after %v", redisKills, flying, recovered.Round(time.Second))
	// A task that was handed to a consumer by the reply which the kill cut off is in work of nobody.
	handed := 0
	for _, s := range (slotHistory{all: w.judged(o.end), polled: o.logged.all}).missed() {
		begin, end := time.Unix(s.begin, 0), time.Unix(s.begin+int64(w.interval), 0)
		switch {
		case slices.ContainsFunc(outages, func(u span) bool { return end.After(u.from) && end.Before(u.to) }):
		case slices.ContainsFunc(outages, func(u span) bool { return u.from.After(begin) && u.from.Before(end) }):
			handed++
		default:
			t.Errorf("slot %v was missed without a kill", s)
		}
	}
	if handed > redisKills {
		t.Errorf("%d slots were missed although Redis was there for their last %v", handed, reofferedIn)
	}
	w.checkRecorded(o)
}
