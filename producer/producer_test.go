package producer

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
)

func thirty(group int64, interval int) []device.Scheduled {
	devices := make([]device.Scheduled, 30)
	for i := range devices {
		devices[i] = device.Scheduled{ID: int64(i + 1), Group: group, Interval: interval}
	}
	return devices
}

func TestCurrentSlotsAreOfferedAtOnceAndChangesSoon(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 3600)...)
	stop := r.start(t)
	polluxtest.Eventually(t, time.Minute, "30 tasks wait", func() bool { return len(r.pending(t, 0)) == 30 })
	now := time.Now().Unix()
	for _, p := range r.pending(t, 0) {
		if p.Slot != device.SlotAt(p.DeviceID, 3600, now) && p.Slot != device.SlotAt(p.DeviceID, 3600, now-10) {
			t.Errorf("%+v is not the current slot", p)
		}
	}
	if r.metric(t, "pollux_leader") != 1 || r.metric(t, "pollux_group_devices", "group=0") != 30 || !r.Leading() {
		t.Error("the leader does not show that it leads")
	}
	if missed := r.metric(t, "pollux_slots_missed_total", "group=0"); missed != 0 {
		t.Errorf("slots_missed_total is %v, want 0 from the start", missed)
	}
	r.store.mu.Lock()
	r.store.devices = append(r.store.devices, device.Scheduled{ID: 31, Group: 7, Interval: 3600})
	r.store.mu.Unlock()
	polluxtest.Eventually(t, time.Minute, "the new device's slot waits", func() bool { return len(r.pending(t, 7)) == 1 })
	if n := r.metric(t, "pollux_offers_total", "group=0", "result=conflict"); n > 15 {
		t.Errorf("a change of one device offers the others again: %v conflicts", n)
	}
	stop()
	if r.metric(t, "pollux_leader") != 0 || r.metric(t, "pollux_group_devices", "group=0") != -1 || r.janitor.running.Load() != 0 {
		t.Error("a stopped leader goes on")
	}
	if r.client.Exists(t.Context(), cluster.LeaderKey).Val() != 0 {
		t.Error("the lease is not given back")
	}
	for i, days := range []time.Duration{30, 400, 30, 365} { // events, outages, history of nodes, what vanished
		if len(r.store.purged) < 4 || time.Since(r.store.purged[i]).Round(24*time.Hour) != days*24*time.Hour {
			t.Errorf("what was before %v was purged", r.store.purged)
		}
	}
}

// TestTwoLeadersOfferEachSlotOnce lets two terms race, as after a freeze of the first leader.
func TestTwoLeadersOfferEachSlotOnce(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	a, b := newRig(t, server, "a", thirty(0, 10)...), newRig(t, server, "b", thirty(0, 10)...)
	first := a.leads(t)
	a.client.Del(t.Context(), cluster.LeaderKey)
	second := b.leads(t)
	begin := a.clock.Now().Unix()
	var racing sync.WaitGroup
	for _, leader := range []*term{first, second} {
		racing.Go(func() {
			for second := range int64(11) {
				leader.tick(t.Context(), begin+second)
			}
		})
	}
	racing.Wait()
	waiting := a.pending(t, 0)
	offered := a.metric(t, "pollux_offers_total", "result=offered") + b.metric(t, "pollux_offers_total", "result=offered")
	conflicts := a.metric(t, "pollux_offers_total", "result=conflict") + b.metric(t, "pollux_offers_total", "result=conflict")
	if len(waiting) != 60 || offered != 60 {
		t.Errorf("%d tasks wait, %v were offered, want two slots of 30 devices", len(waiting), offered)
	}
	if conflicts < offered {
		t.Errorf("%v conflicts for %v offers by two leaders", conflicts, offered)
	}
	for id, p := range waiting {
		if id != p.ID() {
			t.Errorf("task %s holds %+v", id, p)
		}
	}
}

func TestAnotherProducerTakesOver(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	a, b := newRig(t, server, "a", thirty(0, 3600)...), newRig(t, server, "b", thirty(0, 3600)...)
	stop := a.start(t)
	polluxtest.Eventually(t, time.Minute, "a leads", a.Leading)
	b.start(t)
	polluxtest.Eventually(t, time.Minute, "b holds the schedule", func() bool { return b.schedule.Load() != nil })
	if b.Leading() {
		t.Fatal("two producers lead")
	}
	stop()
	polluxtest.Eventually(t, time.Minute, "b leads", b.Leading)
	b.clock.skewed.Store(true)
	polluxtest.Eventually(t, time.Minute, "a skewed producer resigns", func() bool { return !b.Leading() })
}

func TestScheduleSurvivesTheDatabase(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	term := r.leads(t)
	r.store.broken = true
	if err := r.refresh(t.Context()); err == nil {
		t.Fatal("a broken store is read")
	}
	term.tick(t.Context(), r.clock.Now().Unix())
	if n := len(r.pending(t, 0)); n != 30 {
		t.Errorf("%d tasks wait", n)
	}
}

// TestHangingDatabaseIsAskedAgainSoon: a reading that hangs to its limit must not hold up the schedule much longer.
func TestHangingDatabaseIsAskedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &hangingStore{}
		p := &Producer{deps: Deps{Store: stuck, Clock: &fakeClock{}}, log: slog.New(slog.DiscardHandler), elected: make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		p.keepSchedule(ctx)
		if len(stuck.asked) < 2 {
			t.Fatalf("asked %d times in 10 minutes", len(stuck.asked))
		}
		for i, at := range stuck.asked[1:] {
			if gap := at.Sub(stuck.asked[i]); gap != readLimit+longestRest {
				t.Errorf("asked again after %v, want %v", gap, readLimit+longestRest)
			}
		}
	})
}

func TestNothingIsOfferedWithoutTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	term := r.leads(t)
	if err := r.deps.Lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	term.tick(t.Context(), r.clock.Now().Unix())
	if n := len(r.pending(t, 0)); n != 0 {
		t.Errorf("%d tasks wait", n)
	}
}

func TestOutageOfRedisIsMadeUpFor(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	r := newRig(t, server, "p1", thirty(0, 3600)...)
	term := r.leads(t)
	now := r.clock.Now().Unix()
	server.Kill()
	term.tick(t.Context(), now)
	server.Start()
	polluxtest.Eventually(t, time.Minute, "30 tasks wait after the outage", func() bool {
		now++
		term.tick(t.Context(), now)
		return len(r.pending(t, 0)) == 30
	})
}

func TestRestartOfRedisOffersAgain(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	r := newRig(t, server, "p1", thirty(0, 3600)...)
	term := r.leads(t)
	now := r.clock.Now().Unix()
	term.lookAtIdentity(t.Context())
	term.tick(t.Context(), now)
	server.Kill()
	server.Start()
	polluxtest.Eventually(t, time.Minute, "Redis is empty", func() bool {
		return r.client.FlushDB(t.Context()).Err() == nil // a failover may lose what was acknowledged
	})
	if held, err := r.deps.Lease.TryAcquire(t.Context()); held || err != nil {
		t.Fatalf("lease: %v, %v", held, err)
	}
	if held, err := r.deps.Lease.TryAcquire(t.Context()); !held || err != nil {
		t.Fatalf("lease: %v, %v", held, err)
	}
	term.lookAtIdentity(t.Context())
	term.tick(t.Context(), now+1)
	if n := len(r.pending(t, 0)); n != 0 {
		t.Errorf("%d tasks wait before the pause is over", n)
	}
	term.tick(t.Context(), r.clock.Now().Unix()+4)
	if n := len(r.pending(t, 0)); n != 30 {
		t.Errorf("%d tasks wait, want 30", n)
	}
}
