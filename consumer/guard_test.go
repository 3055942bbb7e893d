package consumer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/poller"
)

// masters is the Redis behind the journal, with a name that changes at a failover.
type masters struct {
	mu   sync.Mutex
	id   string
	away bool
}

func (m *masters) ask(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return "", errors.New("Redis is away")
	}
	return m.id, nil
}

func (m *masters) set(id string, away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.away = id, away
}

// guardedRig is a rig whose journal's Redis has a name.
func guardedRig(t *testing.T) (*rig, *masters) {
	t.Helper()
	r, m := newRig(t, 60, nil), &masters{id: "a"}
	r.deps.JournalID = m.ask
	return r, m
}

// measured is a report with one sample.
func measured(at time.Time) poller.Report {
	return poller.Report{
		Poll:         device.Poll{Outcome: device.OutcomeUp},
		Measurements: []measurement.Measurement{{Kind: measurement.KindUptime, Time: at, Values: []measurement.Value{measurement.Gauge(1)}}},
	}
}

// appendSample appends a poll of the device's current slot with a sample of now.
func (r *rig) appendSample(t *testing.T, id int64) {
	t.Helper()
	if err := r.append(r.turn(id, 60), r.store.devices[id], measured(r.clock.Now())); err != nil {
		t.Errorf("device %d: %v", id, err)
	}
}

// lose makes the journal forget the last entry of a device.
func (j *fakeJournal) lose(id int64, last journal.Last) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last[id] = last
}

// TestLostEntriesAreAppendedAgain: another Redis answers for the journal, and lacks some of the last entries.
func TestLostEntriesAreAppendedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis := guardedRig(t)
		r.lookAtJournal(t.Context())
		r.appendSample(t, 1) // long before the outage
		time.Sleep(lossWindow + time.Second)
		for id := range int64(3) {
			r.appendSample(t, id+2)
		}
		r.lookAtJournal(t.Context())
		redis.set("a", true)
		time.Sleep(time.Minute) // an outage does not count
		r.lookAtJournal(t.Context())
		if id, _ := r.sight.last(); id != "a" || len(r.recent.all()) != 3 {
			t.Fatalf("during the outage: %q, %d entries", id, len(r.recent.all()))
		}
		redis.set("b", false)
		r.journal.lose(2, journal.Last{})
		r.journal.lose(3, journal.Last{})
		r.journal.errs = []error{nil, errors.New("again away")}
		r.lookAtJournal(t.Context())
		if id, _ := r.sight.last(); id != "a" {
			t.Error("half of the entries were enough")
		}
		before := len(r.journal.appended())
		r.lookAtJournal(t.Context())
		if id, _ := r.sight.last(); id != "b" || len(r.journal.appended()) != before+1 {
			t.Errorf("%q, %d entries more, want 1", id, len(r.journal.appended())-before)
		}
		if again, stale := r.reappended(t); again != 2 || stale != 0 {
			t.Errorf("%v are counted as appended again, %v as overtaken", again, stale)
		}
	})
}

// TestAnEntryWhoseAnswerWasLostIsAppendedAgain: it was accepted, and its retry was
// refused as stale; the Redis that takes over may lack it as any other.
func TestAnEntryWhoseAnswerWasLostIsAppendedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis, stop := guarded(t)
		defer stop()
		r.journal.mu.Lock()
		r.journal.lost = 1
		r.journal.mu.Unlock()
		r.appendSample(t, 1)
		r.failover(redis, "b")
		r.journal.lose(1, journal.Last{})
		time.Sleep(2 * identityEvery)
		if again, overtaken := r.reappended(t); again != 1 || overtaken != 0 {
			t.Errorf("%v are counted as appended again, %v as overtaken, want 1 and 0", again, overtaken)
		}
	})
}

// reappended are the counted results of appending again.
func (r *rig) reappended(t *testing.T) (again, overtaken float64) {
	t.Helper()
	return r.metric(t, "pollux_journal_reappended_total", "result=accepted"), r.metric(t, "pollux_journal_reappended_total", "result=stale")
}

// TestOvertakenEntriesAreCountedApart: what is refused is there, or lost for good.
func TestOvertakenEntriesAreCountedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis := guardedRig(t)
		r.lookAtJournal(t.Context())
		for id := range int64(3) {
			r.appendSample(t, id+1)
		}
		time.Sleep(2 * time.Second)
		r.appendSample(t, 2) // device 2 has two recent entries, and keeps both
		time.Sleep(time.Second)
		r.lookAtJournal(t.Context())
		time.Sleep(time.Second)
		redis.set("b", false)
		// Device 3's entry is lost, and this node, or another one, was faster with a newer one.
		r.journal.lose(3, journal.Last{})
		entry := entryOf(r.turn(3, 60), r.store.devices[3], measured(r.clock.Now()))
		if result, err := r.deps.Journal.AppendOn(t.Context(), "", entry); result != journal.Accepted || err != nil {
			t.Fatal(result, err)
		}
		r.recent.add(entry)
		r.lookAtJournal(t.Context())
		if again, overtaken := r.reappended(t); again != 0 || overtaken != 1 {
			t.Errorf("%v are counted as appended again, %v as overtaken, want 0 and 1", again, overtaken)
		}
	})
}

// TestNewerEntriesWaitForLostOnes: an append that a failover interrupted must
// not get in before the device's last entry, which the new master lacks, is there again.
func TestNewerEntriesWaitForLostOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis := guardedRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		var guard sync.WaitGroup
		defer guard.Wait()
		defer cancel()
		guard.Go(func() { r.guardJournal(ctx) })
		synctest.Wait()
		r.appendSample(t, 1)
		time.Sleep(1500 * time.Millisecond) // between two looks
		redis.set("b", false)
		r.journal.lose(1, journal.Last{})
		r.journal.errs = []error{errors.New("the connection broke")}
		began := time.Now()
		r.appendSample(t, 1)
		entries := r.journal.appended()
		if len(entries) != 3 || !newestSample(entries[1]).Equal(newestSample(entries[0])) {
			t.Fatalf("the journal got %d entries, want the first one again before the second", len(entries))
		}
		if took := time.Since(began); took < settleTime || took > settleTime+2*identityEvery {
			t.Errorf("the second one waited for %v", took)
		}
		if again, overtaken := r.reappended(t); again != 1 || overtaken != 0 {
			t.Errorf("%v are counted as appended again, %v as overtaken", again, overtaken)
		}
		began = time.Now()
		time.Sleep(sampleGap)
		r.appendSample(t, 1)
		if took := time.Since(began); took != sampleGap {
			t.Errorf("with all in order an append waited for %v", took-sampleGap)
		}
	})
}

// TestWaitForTheGuardEndsBeforeTheSlot: measurements are not given up for the order.
func TestWaitForTheGuardEndsBeforeTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis := guardedRig(t)
		r.lookAtJournal(t.Context())
		redis.set("a", true) // the guard is not answered, while appends are
		time.Sleep(time.Second)
		u := r.turn(1, 60)
		r.journal.errs = []error{errors.New("the connection broke")}
		if err := r.append(u, r.store.devices[1], measured(r.clock.Now())); err != nil {
			t.Fatal(err)
		}
		if left := u.remaining(r.clock.Now()); left != waitMargin {
			t.Errorf("it was appended %v before the slot's end, want %v", left, waitMargin)
		}
	})
}

// TestGuardWatchesUntilTheDrainIsOver: polls that drain append too, and wait for the guard.
func TestGuardWatchesUntilTheDrainIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis := guardedRig(t)
		r.groups.Store(&[]int64{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Second)
		r.handling.Add(1) // a poll that is about to append
		cancel()
		redis.set("b", false)
		r.journal.errs = []error{errors.New("the connection broke")}
		time.Sleep(time.Second)
		r.appendSample(t, 1)
		r.handling.Add(-1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if id, _ := r.sight.last(); id != "b" {
			t.Errorf("the guard's last look was at %q", id)
		}
	})
}

// failover replaces the journal's Redis, without a broken connection that a waiting append would notice.
func (r *rig) failover(redis *masters, id string) {
	redis.set(id, false)
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	r.journal.server = id
}

// guarded is a rig whose guard runs and has looked once.
func guarded(t *testing.T) (r *rig, redis *masters, stop func()) {
	t.Helper()
	r, redis = guardedRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	var guard sync.WaitGroup
	guard.Go(func() { r.guardJournal(ctx) })
	synctest.Wait()
	r.failover(redis, "a")
	return r, redis, func() { cancel(); guard.Wait() }
}

// TestAnotherRedisIsMetBetweenTwoLooks: the very first append to a new master
// is refused, and waits until the entries that it lacks are there again.
func TestAnotherRedisIsMetBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis, stop := guarded(t)
		defer stop()
		r.appendSample(t, 1)
		time.Sleep(sampleGap)
		r.failover(redis, "b")
		r.journal.lose(1, journal.Last{})
		began := time.Now()
		r.appendSample(t, 1)
		if entries := r.journal.appended(); len(entries) != 3 || !newestSample(entries[1]).Equal(newestSample(entries[0])) {
			t.Fatalf("the journal got %d entries, want the first one again before the second", len(entries))
		}
		if took := time.Since(began); took < settleTime || took > settleTime+identityEvery/4 {
			t.Errorf("the second one waited for %v: the guard was not called", took)
		}
		if again, overtaken := r.reappended(t); again != 1 || overtaken != 0 {
			t.Errorf("%v are counted as appended again, %v as overtaken", again, overtaken)
		}
	})
}

// TestSlotsWhoseEntriesWereLostAreNotPolledAgain: a new master that lacks the
// last entries has the tasks of their slots again, and offers them at once.
func TestSlotsWhoseEntriesWereLostAreNotPolledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis, stop := guarded(t)
		defer stop()
		u := r.turn(1, 60)
		if err := r.append(u, r.store.devices[1], measured(r.clock.Now())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.failover(redis, "b")
		r.journal.lose(1, journal.Last{})
		if err := r.carryOut(&turn{Poll: u.Poll}); !errors.Is(err, errFinished) {
			t.Errorf("the slot's task ended with %v", err)
		}
		if n := r.polls(1); n != 0 {
			t.Errorf("the device was asked %d times", n)
		}
	})
}

// TestATaskWaitsForTheGuardNotLongerThanItsSlot: a slot is rather polled twice than not at all.
func TestATaskWaitsForTheGuardNotLongerThanItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, redis, stop := guarded(t)
		defer stop()
		u := r.turn(1, 60)
		r.failover(redis, "b")
		redis.set("b", true) // the guard is not answered, while the journal is
		if err := r.carryOut(u); err != nil {
			t.Errorf("the task ended with %v", err)
		}
		if left := u.remaining(r.clock.Now()); left > waitMargin || r.polls(1) != 1 {
			t.Errorf("the device was asked %d times, %v before the slot's end", r.polls(1), left)
		}
	})
}
