package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/ping"
	"pollux/secret"
	"pollux/snmp"
)

// TestEveryTurnEndsInOneOutcome covers each check of a turn, and that none of its later steps is taken.
func TestEveryTurnEndsInOneOutcome(t *testing.T) {
	t.Parallel()
	timeout := func(context.Context) error { return snmp.ErrTimeout }
	cases := map[string]struct {
		prepare  func(*rig, *turn)
		outcome  string // counted; "" for none
		skip     string
		repeat   string
		err      error // what asynq gets
		polled   int
		appended int
	}{
		"up":      {func(*rig, *turn) {}, "up", "", "", nil, 1, 1},
		"down":    {func(r *rig, _ *turn) { r.session.Store(&fakeSession{probe: timeout, stats: r.stats}) }, "down", "", "", nil, 1, 1},
		"partial": {func(r *rig, _ *turn) { r.session.Store(&fakeSession{get: timeout, stats: r.stats}) }, "partial", "", "", nil, 1, 1},
		"over":    {func(_ *rig, u *turn) { u.Slot -= int64(u.Interval) }, "expired", "", "", nil, 0, 0},
		"over and finished": {func(r *rig, u *turn) {
			u.Slot -= int64(u.Interval)
			r.journal.last[1] = journal.Last{Slot: u.Slot, Outcome: device.OutcomeUp}
		}, "", "", "finished", nil, 0, 0},
		"over and finished, as the slot after it is": {func(r *rig, u *turn) {
			u.Slot -= 2 * int64(u.Interval)
			r.journal.last[1] = journal.Last{Slot: u.Slot + int64(u.Interval), Before: slots(u.Slot), Outcome: device.OutcomeUp}
		}, "", "", "finished", nil, 0, 0},
		"over for long and finished": {func(r *rig, u *turn) {
			u.Slot, u.again = u.Slot-80, true
			r.journal.last[1] = eight(u.Slot+70, 10)
		}, "", "", "finished", nil, 0, 0},
		"over for long and not finished, as later ones are": {func(r *rig, u *turn) {
			u.Slot, u.again = u.Slot-85, true
			r.journal.last[1] = eight(u.Slot+65, 10)
		}, "expired", "", "", nil, 0, 0},
		"over for too long to be told": {func(r *rig, u *turn) {
			u.Slot, u.again = u.Slot-90, true
			r.journal.last[1] = eight(u.Slot+80, 10)
		}, "", "", "late", nil, 0, 0},
		"over for too long, the first time": {func(r *rig, u *turn) {
			u.Slot -= 90
			r.journal.last[1] = eight(u.Slot+80, 10)
		}, "expired", "", "", nil, 0, 0},
		"over when it comes again, and its first run may still append": {func(_ *rig, u *turn) { u.Slot, u.again = u.Slot-13, true }, "", "", "late", nil, 0, 0},
		"over when it comes again":                                     {func(_ *rig, u *turn) { u.Slot, u.again = u.Slot-14, true }, "expired", "", "", nil, 0, 0},
		"over when it comes again, and the journal is away": {func(r *rig, u *turn) {
			u.Slot, u.again = u.Slot-14, true
			r.journal.away = true
		}, "", "", "late", nil, 0, 0},
		"over when it comes again, and the journal may lack the last entries": {func(r *rig, u *turn) {
			u.Slot, u.again = u.Slot-14, true
			r.sight.change()
		}, "", "", "late", nil, 0, 0},
		"comes again in time":         {func(_ *rig, u *turn) { u.again = true }, "up", "", "", nil, 1, 1},
		"finished":                    {func(r *rig, u *turn) { r.journal.last[1] = journal.Last{Slot: u.Slot, Outcome: device.OutcomeDown} }, "", "", "finished", nil, 0, 0},
		"a later slot is finished":    {func(r *rig, u *turn) { r.journal.last[1] = journal.Last{Slot: u.Slot + 10} }, "skipped", "stale", "", nil, 0, 0},
		"an earlier slot is finished": {func(r *rig, u *turn) { r.journal.last[1] = journal.Last{Slot: u.Slot - 10} }, "up", "", "", nil, 1, 1},
		"busy":                        {func(r *rig, _ *turn) { r.leases.busy = true }, "skipped", "busy", "", nil, 0, 0},
		"busy until the slot is over": {func(r *rig, u *turn) {
			r.leases.busy = true
			r.leases.meanwhile = func() { r.clock.offset.Add(int64(time.Duration(u.Interval) * time.Second)) }
		}, "expired", "", "", nil, 0, 0},
		"finished by the one who held the lease": {func(r *rig, u *turn) {
			r.leases.meanwhile = func() {
				r.journal.last[1] = journal.Last{Slot: u.Slot, Outcome: device.OutcomeUp}
			}
		}, "", "", "finished", nil, 0, 0},
		"no answer about the lease": {func(r *rig, _ *turn) { r.leases.err = errors.New("Redis is away") }, "up", "", "", nil, 1, 1},
		"removed":                   {func(r *rig, _ *turn) { delete(r.store.devices, 1) }, "skipped", "removed", "", nil, 0, 0},
		"disabled":                  {func(r *rig, _ *turn) { change(r, func(d *device.Device) { d.Disabled = true }) }, "skipped", "disabled", "", nil, 0, 0},
		"moved":                     {func(r *rig, _ *turn) { change(r, func(d *device.Device) { d.Group = 5 }) }, "skipped", "moved", "", nil, 0, 0},
		"no database, no copy":      {func(r *rig, _ *turn) { r.store.err = errors.New("away") }, "", "", "", errNoTarget, 0, 0},
		"no database, no copy, too late for another node": {func(r *rig, u *turn) {
			r.store.err = errors.New("away")
			r.clock.offset.Add(int64(time.Duration(u.Interval)*time.Second) - int64(3*time.Second))
		}, "skipped", "database", "", nil, 0, 0},
		"credentials that do not open": {func(r *rig, _ *turn) { r.store.err = fmt.Errorf("open: %w", secret.ErrOpen) }, "", "", "", errNoKey, 0, 0},
		"credentials that do not open, too late for another node": {func(r *rig, u *turn) {
			r.store.err = secret.ErrOpen
			r.clock.offset.Add(int64(time.Duration(u.Interval)*time.Second) - int64(3*time.Second))
		}, "skipped", "credentials", "", nil, 0, 0},
		"host unknown": {func(r *rig, _ *turn) { r.dialErr.Store(new(errors.New("no such host"))) }, "down", "", "", nil, 0, 1},
		"bad credentials": {func(r *rig, _ *turn) {
			change(r, func(d *device.Device) { d.Credentials = snmp.Credentials{Version: snmp.V3} })
		}, "auth", "", "", nil, 0, 1},
		"stale, finished by another":                     {func(r *rig, u *turn) { r.stale(u, u.Slot, 0) }, "", "", "overtaken", nil, 1, 0},
		"stale, finished by another, as a later slot is": {func(r *rig, u *turn) { r.stale(u, u.Slot+10, u.Slot) }, "", "", "overtaken", nil, 1, 0},
		"stale, overtaken by a later slot":               {func(r *rig, u *turn) { r.stale(u, u.Slot+10, 0) }, "skipped", "stale", "", nil, 1, 0},
		"future":                                         {func(r *rig, _ *turn) { r.journal.results = []journal.Result{journal.Future} }, "skipped", "future", "", nil, 1, 0},
		"refused":                                        {func(r *rig, _ *turn) { r.journal.errs = []error{journal.ErrEntry} }, "skipped", "refused", "", nil, 1, 0},
		"append tried again":                             {func(r *rig, _ *turn) { r.journal.errs = []error{errors.New("away"), errors.New("away")} }, "up", "", "", nil, 1, 1},
		"up by ICMP":                                     {pingOnly, "up", "", "", nil, 0, 1},
		"down by ICMP": {func(r *rig, u *turn) {
			pingOnly(r, u)
			r.pinger.err = ping.ErrSilent
		}, "down", "", "", nil, 0, 1},
		"by ICMP, which this node may not send": {func(r *rig, u *turn) {
			pingOnly(r, u)
			r.pinger.mode = ping.Off
		}, "", "", "", errNoICMP, 0, 0},
		"by ICMP, which this node may not send, too late for another node": {func(r *rig, u *turn) {
			pingOnly(r, u)
			r.pinger.mode = ping.Off
			r.clock.offset.Add(int64(time.Duration(u.Interval)*time.Second) - int64(3*time.Second))
		}, "skipped", "icmp", "", nil, 0, 0},
		"panic":          {func(r *rig, _ *turn) { r.leases.meanwhile = func() { panic("oops") } }, "skipped", "panic", "", asynq.SkipRetry, 0, 0},
		"the node stops": {func(r *rig, _ *turn) { r.drain() }, "", "", "", errHandBack, 0, 0},
		"no worker for one that is down": {func(r *rig, _ *turn) {
			change(r, func(d *device.Device) { d.Status = device.StatusDown })
			r.probes.resize(0)
		}, "", "", "", errProbesBusy, 0, 0},
		"no worker for one that the journal knows as down": {func(r *rig, u *turn) {
			r.journal.last[1] = journal.Last{Slot: u.Slot - 10, Outcome: device.OutcomeDown}
			r.probes.resize(0)
		}, "", "", "", errProbesBusy, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 10, nil)
				u := r.turn(1, 10)
				c.prepare(r, u)
				if err := r.handle(u); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("asynq gets %v, want %v", err, c.err)
				}
				want := map[string]float64{}
				if c.outcome != "" {
					want[c.outcome] = 1
				}
				if got := r.outcomes(t); !maps.Equal(got, want) {
					t.Errorf("outcomes %v, want %v", got, want)
				}
				for _, reason := range skipReasons {
					if n := r.metric(t, "pollux_polls_skipped_total", "reason="+reason); (n == 1) != (reason == c.skip) {
						t.Errorf("%v skipped as %s", n, reason)
					}
				}
				for _, reason := range []string{repeatFinished, repeatOvertaken, repeatLate} {
					if n := r.metric(t, "pollux_task_repeats_total", "reason="+reason); (n == 1) != (reason == c.repeat) {
						t.Errorf("%v repeats as %s", n, reason)
					}
				}
				if n := r.polls(1); n != c.polled {
					t.Errorf("the device was asked %d times, want %d", n, c.polled)
				}
				if n := len(r.journal.appended()); n != c.appended {
					t.Errorf("%d entries, want %d", n, c.appended)
				}
				if r.leases.held != 0 || r.workers.holders != 0 || r.probes.holders != 0 || r.stats.closed != c.polled {
					t.Errorf("left behind: %d leases, %d workers, %d probes, %d sessions of %d closed", r.leases.held, r.workers.holders, r.probes.holders, r.stats.closed, c.polled)
				}
			})
		})
	}
}

// slots are slots that were finished before the last one.
func slots(before ...int64) (all [journal.Remembered - 1]int64) {
	copy(all[:], before)
	return all
}

// eight are the last finished slots of a device that finished others before them.
func eight(last, interval int64) journal.Last {
	l := journal.Last{Slot: last, Outcome: device.OutcomeUp, Forgotten: true}
	for i := range l.Before {
		l.Before[i] = last - interval*int64(i+1)
	}
	return l
}

func change(r *rig, how func(*device.Device)) {
	d := r.store.devices[1]
	how(&d)
	r.store.devices[1] = d
}

// stale lets the journal refuse the next append, since a slot is finished in the meantime.
func (r *rig) stale(u *turn, slot, before int64) {
	r.session.Store(&fakeSession{stats: r.stats, get: func(context.Context) error {
		r.journal.mu.Lock()
		defer r.journal.mu.Unlock()
		r.journal.last[u.DeviceID] = journal.Last{Slot: slot, Before: slots(before), Outcome: device.OutcomeUp, SampleAt: time.Now().Add(time.Millisecond)} // another one's than ours
		return nil
	}})
	r.journal.results = []journal.Result{journal.Stale}
}

// TestSamplesKeepTheirDistance: the journal would refuse a sample within a second of the last one.
func TestSamplesKeepTheirDistance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		u := r.turn(1, 10)
		last := time.Now()
		r.journal.last[1] = journal.Last{Slot: u.Slot - 10, Outcome: device.OutcomeUp, SampleAt: last}
		var asked time.Time
		r.session.Store(&fakeSession{stats: r.stats, probe: func(context.Context) error { asked = time.Now(); return nil }})
		if err := r.handle(u); err != nil {
			t.Fatal(err)
		}
		if gap := asked.Sub(last); gap != sampleGap {
			t.Errorf("the device was asked %v after its last sample", gap)
		}
	})
}

// TestOwnEntryIsNoRepeat covers an append whose answer was lost: the next try finds its own entry.
func TestOwnEntryIsNoRepeat(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	u := r.turn(1, 10)
	at := time.Now()
	entry := journal.Entry{DeviceID: 1, Slot: u.Slot, Outcome: device.OutcomeUp, Measurements: []measurement.Measurement{{Time: at.Add(-time.Second)}, {Time: at}}}
	r.journal.last[1] = journal.Last{Slot: u.Slot, Outcome: device.OutcomeUp, SampleAt: time.UnixMilli(at.UnixMilli())}
	if err := r.verdict(u, entry, journal.Stale); err != nil {
		t.Errorf("its own entry: %v", err)
	}
	entry.Measurements[1].Time = at.Add(5 * time.Millisecond)
	if err := r.verdict(u, entry, journal.Stale); !errors.Is(err, errOvertaken) {
		t.Errorf("the entry of another: %v", err)
	}
}

func TestWhatIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		r.clock.offset.Store(int64(-time.Hour)) // the local clock is an hour ahead of Redis
		u := r.turn(1, 10)
		u.Slot -= 2
		if err := r.handle(u); err != nil {
			t.Fatal(err)
		}
		entry := r.journal.appended()[0]
		if entry.DeviceID != 1 || entry.Slot != u.Slot || entry.Dir != "sw" || entry.Step != 10 || entry.Heartbeat != 600 {
			t.Errorf("the entry is %+v", entry)
		}
		saved := r.store.saved[0]
		if saved.Node != "node1" || saved.Slot != u.Slot || !saved.At.Equal(r.clock.Now()) {
			t.Errorf("saved is %+v", saved)
		}
		if r.leases.ttl != 2500*time.Millisecond || time.Until(r.leases.until) != 8*time.Second {
			t.Errorf("the lease is asked for %v, until in %v", r.leases.ttl, time.Until(r.leases.until))
		}
		for name, want := range map[string]float64{
			"pollux_poll_lateness_seconds": 1, "pollux_polls_in_flight": 0, "pollux_workers": 10, "pollux_poll_saves_total": 0, "pollux_poll_targets_total": 0,
		} {
			if got := r.metric(t, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if r.metric(t, "pollux_poll_saves_total", "result=ok") != 1 || r.metric(t, "pollux_poll_duration_seconds", "module=core") != 1 {
			t.Error("the save or the core module is not counted")
		}
	})
}

// TestJournalAwayUntilTheSlotsEnd is the one failure that is an error.
func TestJournalAwayUntilTheSlotsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		u := r.turn(1, 10)
		u.Slot -= 9
		r.journal.away = true
		began := time.Now()
		err := r.handle(u)
		if err == nil || !isFailure(err) || errors.Is(err, asynq.SkipRetry) {
			t.Errorf("asynq gets %v", err)
		}
		if took := time.Since(began); took != writeGrace {
			t.Errorf("it was tried for %v, want %v", took, writeGrace)
		}
		if got := r.outcomes(t); len(got) != 0 {
			t.Errorf("outcomes %v", got)
		}
	})
}

// TestReadIsBoundedAndWritesAreNot: a device that never ends its answers is cut off at
// the poll's deadline, and what was read is written.
func TestReadIsBoundedAndWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		u := r.turn(1, 10)
		u.Slot -= 8
		r.session.Store(&fakeSession{stats: r.stats, get: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		began := time.Now()
		if err := r.handle(u); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v of the 2 s that its slot had left", took)
		}
		if entries := r.journal.appended(); len(entries) != 1 || entries[0].Outcome != device.OutcomePartial {
			t.Errorf("entries %+v", entries)
		}
	})
}

// pingOnly makes device 1 one that is asked by ICMP only, and has no credentials.
func pingOnly(r *rig, _ *turn) {
	change(r, func(d *device.Device) { d.PingOnly, d.Credentials = true, snmp.Credentials{} })
}
