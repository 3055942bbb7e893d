//go:build faults

package main_test

import (
	"sync"
	"testing"
	"time"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/store"
)

// savedPolls are the slots of polls that the inventory has: a consumer saves a poll there when the journal has acknowledged it.
type savedPolls struct {
	mu   sync.Mutex
	seen map[slot]bool
}

// watchSaved reads them until the test ends, often enough to see each.
func (w *dataWorld) watchSaved() *savedPolls {
	saved := &savedPolls{seen: map[slot]bool{}}
	w.watch.every(func() {
		all, err := w.store.Devices(w.t.Context(), store.Filter{Limit: 10_000})
		if err != nil {
			return // the next look sees the same polls, or the test ends
		}
		saved.mu.Lock()
		defer saved.mu.Unlock()
		for _, d := range all {
			if d.PolledSlot > 0 && (d.LastOutcome == device.OutcomeUp || d.LastOutcome == device.OutcomePartial) {
				saved.seen[slot{d.ID, d.PolledSlot}] = true
			}
		}
	})
	return saved
}

// acknowledged fails the test when a poll that the journal acknowledged was never seen
// there, by the slots that the inventory has and by the number that the consumers counted. No consumer may have been killed.
func (w *dataWorld) acknowledged(saved *savedPolls) (polls, again float64) {
	w.t.Helper()
	logged := map[slot]bool{}
	for _, e := range w.tail.entries() {
		logged[e.slot] = true
	}
	saved.mu.Lock()
	var lost []slot
	for s := range saved.seen {
		if !logged[s] {
			lost = append(lost, s)
		}
	}
	w.t.Logf("figures: %d acknowledged polls known by their slots", len(saved.seen))
	if len(lost) > 0 || len(saved.seen) == 0 {
		w.t.Errorf("%d of %d acknowledged polls are not in the log: %v", len(lost), len(saved.seen), some(lost))
	}
	saved.mu.Unlock()
	for _, result := range []string{"up", "partial"} {
		polls += w.sum("pollux_polls_total", `result="`+result+`"`)
	}
	again = w.sum("pollux_journal_reappended_total", `result="accepted"`)
	overtaken := w.sum("pollux_journal_reappended_total", `result="stale"`)
	if polls > float64(len(logged)) {
		w.t.Errorf("%.0f polls were acknowledged, the log held %d", polls, len(logged))
	}
	if overtaken > 0 {
		w.t.Errorf("%.0f polls that a Redis lost were overtaken by later ones", overtaken)
	}
	return polls, again
}

// TestDataRedisKilled kills Redis eight times under load. It comes back with its
// append-only file, every other time after ten seconds. What was acknowledged is in the files at the end.
func TestDataRedisKilled(t *testing.T) {
	t.Parallel()
	const (
		kills = 8
		rest  = 45 * time.Second
		away  = 10 * time.Second
	)
	w := newDataWorld(t, polluxtest.PostgreSQL, dataSetup{})
	saved := w.watchSaved()
	var hit []span
	for n := range kills {
		// When many slots begin: in a calm moment there would be nothing to lose.
		before := len(w.tail.entries())
		until(t, time.Minute, "an append", func() bool { return len(w.tail.entries()) > before })
		killed := time.Now()
		w.redis.Kill()
		if n%2 == 1 {
			pass(t, "Redis is back", killed.Add(away))
		}
		w.redis.Start()
		back := time.Now()
		hit = append(hit, span{killed, back.Add(reofferedIn)})
		w.disturbed(killed, back)
		pass(t, "the next kill", back.Add(rest))
	}
	w.healed("all devices are polled in a whole slot", time.Now(), 1)
	v := w.judge("%d kills of Redis", kills)
	polls, again := w.acknowledged(saved)
	t.Logf("figures: %.0f polls acknowledged, %.0f appended again", polls, again)
	w.outside(v, hit...)
}

// TestDataSentinelFailover kills a master whose replicas lack its last two
// seconds. What was acknowledged in them comes back from the consumers, and reaches the files.
func TestDataSentinelFailover(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{login: watched.Config()})
	saved := w.watchSaved()
	// A file whose first step is not over is unknown up to the end of the step in which its next sample comes.
	w.healed("all devices are polled twice", time.Now(), 2)
	old := watched.Master()
	old.Must("CONFIG", "SET", "min-replicas-to-write", "0") // else it would refuse what nobody else gets
	for _, replica := range watched.Nodes {
		if replica != old {
			replica.Pause()
		}
	}
	old.Must("CLIENT", "KILL", "TYPE", "replica")
	before := len(w.tail.entries())
	until(t, time.Minute, "appends that no replica has", func() bool { return len(w.tail.entries()) >= before+5 })
	faulted := time.Now()
	old.Kill()
	for _, replica := range watched.Nodes {
		replica.Resume()
	}
	watched.Successor(old, time.Minute)
	took := time.Since(faulted)
	w.disturbed(faulted, faulted.Add(took))
	pass(t, "the master was away for long enough", faulted.Add(25*time.Second))
	old.Start()
	watched.Complete(2 * time.Minute)
	w.healed("all devices are polled in a whole slot", time.Now(), 2)
	v := w.judge("the master of three killed, whose replicas lacked the last appends; another one after %v", took.Round(100*time.Millisecond))
	polls, again := w.acknowledged(saved)
	t.Logf("figures: %.0f polls acknowledged, %.0f appended again", polls, again)
	if again == 0 {
		t.Error("nothing was appended again: the fault did not bite")
	}
	w.outside(v, span{faulted, faulted.Add(took + 10*time.Second)})
}
