package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pollux/device"
	"pollux/journal"
)

// TestLateProbeDecidesNothing: too little of the slot is left to call a device down.
func TestLateProbeDecidesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		u := r.turn(1, 10)
		u.Slot -= 9
		r.session.Store(&fakeSession{stats: r.stats, probe: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		if err := r.handle(u); err != nil {
			t.Fatal(err)
		}
		if n := r.metric(t, "pollux_polls_skipped_total", "reason=late"); n != 1 || len(r.journal.appended()) != 0 {
			t.Errorf("%v turns were late, %d entries", n, len(r.journal.appended()))
		}
	})
}

// TestProbesGiveWayToAnswers: the first answer of a device that was down frees
// its probe, so that the rest of its poll keeps none.
func TestProbesGiveWayToAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, nil)
		change(r, func(d *device.Device) { d.Status = device.StatusDown })
		var probing, reading atomic.Int64
		r.session.Store(&fakeSession{stats: r.stats,
			probe: func(context.Context) error { probing.Store(int64(r.probes.holders)); return nil },
			get:   func(context.Context) error { reading.Store(int64(r.probes.holders)); return nil },
		})
		if err := r.handle(r.turn(1, 60)); err != nil {
			t.Fatal(err)
		}
		if probing.Load() != 1 || reading.Load() != 0 {
			t.Errorf("%d probes while it is asked, %d while it is read", probing.Load(), reading.Load())
		}
	})
}

// TestDownDeviceWithoutProbeCostsLittle: a site that is down hands its tasks
// back every other second; none of that may ask for leases and ports.
func TestDownDeviceWithoutProbeCostsLittle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	u := r.turn(1, 60)
	r.journal.last[1] = journal.Last{Slot: u.Slot - 60, Outcome: device.OutcomeDown}
	for range 2 { // as many as 10 workers allow
		if !r.probes.tryEnter() {
			t.Fatal("no probe is free")
		}
	}
	if err := r.handle(u); !errors.Is(err, errProbesBusy) {
		t.Errorf("asynq gets %v", err)
	}
	if r.leases.asked != 0 || r.store.asked != 0 {
		t.Errorf("it asked %d times for the lease, %d times for the target", r.leases.asked, r.store.asked)
	}
	r.probes.leave()
	if err := r.handle(u); err != nil || r.leases.asked != 1 || r.outcomes(t)["up"] != 1 {
		t.Errorf("with a free probe: %v, %d leases, %v", err, r.leases.asked, r.outcomes(t))
	}
}
