package consumer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/tasks"
)

// Windows that end at a multiple of their length add up to the total.
func TestWorkOfSuccessiveWindowsAddsUp(t *testing.T) {
	t.Parallel()
	work := tally{kind: kindPoller}
	begun := time.Unix(1_795_340_000, 0).Truncate(workWindow).Add(137 * time.Second)
	work.begin(begun)
	sum := device.Work{}
	end := begun.Truncate(workWindow).Add(workWindow)
	for i := range 3000 { // 50 minutes and more
		now := begun.Add(time.Duration(i)*time.Second + 500*time.Millisecond)
		for !now.Before(end) {
			w := work.work(end)
			if first := end.Sub(begun) < workWindow; first && w.Window != end.Sub(begun) || !first && w.Window != workWindow {
				t.Errorf("the window that ends %v after the start has %v", end.Sub(begun), w.Window)
			}
			sum.Done, sum.Errors, sum.Busy, sum.LatenessMax = sum.Done+w.Done, sum.Errors+w.Errors, sum.Busy+w.Busy, max(sum.LatenessMax, w.LatenessMax)
			end = end.Add(workWindow)
		}
		work.poll(now, time.Duration(i)*time.Millisecond)
		work.busy(now, 40*time.Millisecond)
		if i%10 == 0 {
			work.fail(now)
		}
	}
	finished := int64(end.Add(-workWindow).Sub(begun) / time.Second)
	if sum.Done != finished || sum.Busy != time.Duration(finished)*40*time.Millisecond || sum.LatenessMax != time.Duration(finished-1)*time.Millisecond {
		t.Errorf("the windows have %+v, want %d polls", sum, finished)
	}
	now := begun.Add(3000 * time.Second)
	w := work.work(now)
	if w.DoneTotal != 3000 || w.ErrorsTotal != 300 || w.BusyTotal != 120*time.Second || w.Kind != "poller" {
		t.Errorf("since the start: %+v", w)
	}
	if w.Window <= workWindow-bucketLength || w.Window > workWindow || w.Done != int64(w.Window/time.Second) {
		t.Errorf("%d polls in the last %v", w.Done, w.Window)
	}
	if want := time.Duration(3000-1)*time.Millisecond - time.Duration(w.Done-1)*time.Millisecond/2; w.LatenessMean != want {
		t.Errorf("the mean lateness is %v, want %v", w.LatenessMean, want)
	}
	if later := work.work(now.Add(time.Hour)); later.Done != 0 || later.LatenessMax != 0 || later.DoneTotal != 3000 {
		t.Errorf("an hour later: %+v", later)
	}
}

// What a device answers is work done; what this node could not finish is an error; what it hands back is neither.
func TestWorkTellsDoneFromErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare      func(r *rig, u *turn)
		done, failed int64
	}{
		"up":          {func(*rig, *turn) {}, 1, 0},
		"no answer":   {func(r *rig, _ *turn) { err := errors.New("no route"); r.dialErr.Store(&err) }, 1, 0},
		"expired":     {func(_ *rig, u *turn) { u.Slot -= 100 }, 0, 1},
		"busy":        {func(r *rig, _ *turn) { r.leases.busy = true }, 0, 1},
		"refused":     {func(r *rig, _ *turn) { r.journal.errs = []error{journal.ErrEntry} }, 0, 1},
		"removed":     {func(r *rig, _ *turn) { delete(r.store.devices, 1) }, 0, 0},
		"finished":    {func(r *rig, u *turn) { r.journal.last[1] = journal.Last{Slot: u.Slot, Outcome: device.OutcomeUp} }, 0, 0},
		"handed back": {func(r *rig, _ *turn) { r.drain() }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 10, nil)
				u := r.turn(1, 10)
				c.prepare(r, u)
				_ = r.handle(u) // what asynq gets is another test's
				w := r.Work(r.clock.Now().Add(time.Nanosecond))[0]
				if w.Done != c.done || w.Errors != c.failed || w.DoneTotal != c.done || w.ErrorsTotal != c.failed || w.Workers != 10 {
					t.Errorf("work %+v", w)
				}
				if w.Busy > w.Capacity {
					t.Errorf("%v of %v were worked", w.Busy, w.Capacity)
				}
			})
		})
	}
}

// A node that is to serve nothing finishes what it has, and says when it has nothing any more.
func TestNodeWithoutGroupsBecomesIdle(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	var own atomic.Int64
	own.Store(2)
	r.config.Workers = func() int { return int(own.Load()) }
	release := make(chan struct{})
	r.session.Store(&fakeSession{stats: r.stats, get: func(context.Context) error { <-release; return nil }})
	now := r.clock.Now().Unix()
	for id := range int64(6) {
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
	}
	if !r.Idle() {
		t.Error("it is not idle before it runs")
	}
	r.start(t)
	polluxtest.Eventually(t, patience, "2 polls run", func() bool { return r.metric(t, "pollux_polls_in_flight", "group=0") == 2 })
	if r.Idle() || !slices.Equal(r.Served(), []int64{0}) {
		t.Errorf("it is idle %t, and serves %v", r.Idle(), r.Served())
	}
	r.groups.Store(&[]int64{})
	polluxtest.Eventually(t, patience, "it serves nothing", func() bool { return len(r.Served()) == 0 })
	if r.Idle() || r.Stopping() {
		t.Errorf("with polls in hand it is idle %t, stopping %t", r.Idle(), r.Stopping())
	}
	close(release)
	polluxtest.Eventually(t, patience, "it is idle", r.Idle)
	if info := queue(t, client, "poller:0"); info.Pending != 4 || info.Active != 0 || info.Completed != 2 || r.outcomes(t)["up"] != 2 {
		t.Errorf("the queue has %+v, outcomes %v", info, r.outcomes(t))
	}
	own.Store(0)
	r.groups.Store(&[]int64{0})
	polluxtest.Eventually(t, patience, "it polls the rest", func() bool { return r.outcomes(t)["up"] == 6 })
	if r.Work(r.clock.Now())[0].Workers != 10 {
		t.Errorf("without workers of its own it has %d", r.Work(r.clock.Now())[0].Workers)
	}
	polluxtest.Eventually(t, patience, "the work is counted", func() bool { return r.Work(r.clock.Now())[0].DoneTotal == 6 })
}

// The most that could have been worked is workers times time, whatever the number of workers is now.
func TestWorkCountsWorkersThatThereWere(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1_795_340_000, 0).Truncate(workWindow)
	work := tally{kind: kindPoller}
	work.begin(begun)
	work.resize(begun, 100)
	end := begun.Add(workWindow)
	work.busy(end.Add(-40*time.Second), 212*time.Second)
	work.resize(end.Add(-30*time.Second), 1)
	w := work.work(end)
	if want := 270*100*time.Second + 30*time.Second; w.Capacity != want || w.Workers != 1 || w.MeanWorkers() != 91 {
		t.Errorf("%v of %v, %d workers, %d on average; want %v", w.Busy, w.Capacity, w.Workers, w.MeanWorkers(), want)
	}
	if w = work.work(begun.Add(100 * time.Second)); w.Capacity != 100*100*time.Second || w.MeanWorkers() != 100 {
		t.Errorf("a window that ended before: %v of capacity", w.Capacity)
	}
	if w = work.work(end.Add(workWindow)); w.Capacity != workWindow || w.MeanWorkers() != 1 {
		t.Errorf("the window after: %v of capacity", w.Capacity)
	}
	// What the workers that went still did is no more than what there was.
	work.busy(end.Add(workWindow-time.Second), 2*workWindow)
	if w = work.work(end.Add(workWindow)); w.Capacity != w.Busy || w.Busy != 2*workWindow {
		t.Errorf("%v of %v were worked", w.Busy, w.Capacity)
	}
	for i := range 10_000 { // a number for every two seconds
		work.resize(end.Add(time.Duration(2*i)*time.Second), 2+i%2)
	}
	if n, most := len(work.strength), int(maxBuckets*bucketLength/(2*time.Second))+2; n > most {
		t.Errorf("%d changes are kept, at most %d are needed", n, most)
	}
	last := end.Add(19_998 * time.Second)
	if w = work.work(last); w.Capacity.Seconds() < 2.4*w.Window.Seconds() || w.Capacity.Seconds() > 2.6*w.Window.Seconds() {
		t.Errorf("with 2 and 3 in turn: %v in %v", w.Capacity, w.Window)
	}
}
