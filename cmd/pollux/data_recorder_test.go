//go:build faults

package main_test

import (
	"testing"
	"time"

	"pollux/polluxtest"
)

// TestDataRecorderKilled kills the consumer whose recorder works, six times. The
// other one takes over where it was.
func TestDataRecorderKilled(t *testing.T) {
	t.Parallel()
	const (
		kills    = 6
		takeover = 20 * time.Second
		rest     = 30 * time.Second
	)
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{})
	var worst time.Duration
	var hit []span
	for range kills {
		var victim *process
		until(t, time.Minute, "a consumer records", func() bool { victim = w.recorderOf(0); return victim != nil })
		heir := w.nodes[map[string]string{"c1": "c2", "c2": "c1"}[victim.name[:2]]]
		recorded := func() float64 { return heir.scrape().sum("pollux_rrd_updates_total", `result="accepted"`) }
		before := recorded()
		killed := w.kill(victim)
		until(t, time.Minute, "the other consumer records", func() bool { return recorded() > before && w.recorderOf(0) == heir })
		took := time.Since(killed)
		worst = max(worst, took)
		t.Logf("%s was killed, %s recorded after %v", victim.name, heir.name, took.Round(100*time.Millisecond))
		if took > takeover {
			t.Errorf("the other consumer recorded %v after the kill", took)
		}
		w.start("consumer", victim.name[:2])
		hit = append(hit, span{killed, killed})
		pass(t, "the next kill", time.Now().Add(rest))
	}
	w.healed("all devices are polled in a whole slot", time.Now(), 1)
	v := w.judge("%d kills of the consumer that recorded; the other one recorded after at most %v", kills, worst.Round(100*time.Millisecond))
	w.outside(v, hit...)
}
