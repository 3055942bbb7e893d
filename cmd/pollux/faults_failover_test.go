//go:build faults

package main_test

import (
	"testing"
	"time"

	"pollux/polluxtest"
)

// The names of these files part the tests with Sentinels, which begin in the
// reverse order of the files: three such sets at once starve each other, and a Sentinel that is
// starved for two seconds does nothing for half a minute.

// TestFaultSentinelLag kills a master whose replicas lack its last two seconds.
// What was acknowledged in them is in no Redis any more, and comes back from
// the consumers, which keep their last entries.
func TestFaultSentinelLag(t *testing.T) {
	t.Parallel()
	const behind = 2 * time.Second
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	x := beforeTheFault(t, polluxtest.PostgreSQL(t), watched.Config(), watched.Nodes...)
	old := watched.Master()
	old.Must("CONFIG", "SET", "min-replicas-to-write", "0") // else it would refuse what nobody else gets
	for _, replica := range watched.Nodes {
		if replica != old {
			replica.Pause()
		}
	}
	old.Must("CLIENT", "KILL", "TYPE", "replica")
	cut := time.Now()
	pass(t, "the replicas lack two seconds", cut.Add(behind))
	faulted := time.Now()
	old.Kill()
	for _, replica := range watched.Nodes {
		replica.Resume()
	}
	x.failover(watched, old, faulted)
	pass(t, "the master was away for long enough", faulted.Add(25*time.Second))
	old.Start()
	watched.Complete(2 * time.Minute)
	x.polledAgain(3)
	x.after(faulted, resumed, 1)
	if again := x.consumers.sum("pollux_journal_reappended_total", `result="accepted"`); again == 0 {
		t.Error("nothing was appended again: the fault did not bite")
	}
}
