package consumer

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/snmp"
	"pollux/tasks"
)

// lanesOf applies changes without servers.
func lanesOf(changes []laneChange) (lanes []*lane, swapped int) {
	for _, change := range changes {
		switch {
		case change.was != nil && slices.Equal(change.was.groups, change.groups):
			lanes = append(lanes, change.was)
			continue
		case len(change.groups) > 0:
			lanes = append(lanes, &lane{groups: change.groups})
		}
		swapped++
	}
	return lanes, swapped
}

func TestGroupsStayInTheirLanes(t *testing.T) {
	t.Parallel()
	groups := func(lanes []*lane) (all [][]int64) {
		for _, l := range lanes {
			all = append(all, l.groups)
		}
		return all
	}
	lanes, swapped := lanesOf(laneChanges(nil, []int64{0, 3, 7}))
	if got := groups(lanes); !reflect.DeepEqual(got, [][]int64{{0}, {3}, {7}}) || swapped != 3 {
		t.Errorf("lanes %v, %d swapped", got, swapped)
	}
	lanes, swapped = lanesOf(laneChanges(lanes, []int64{0, 4, 7}))
	if got := groups(lanes); !reflect.DeepEqual(got, [][]int64{{0}, {7}, {4}}) || swapped != 2 {
		t.Errorf("after 3 went and 4 came: %v, %d swapped", got, swapped)
	}
	if lanes, swapped = lanesOf(laneChanges(lanes, nil)); len(lanes) != 0 || swapped != 3 {
		t.Errorf("without groups: %v, %d swapped", groups(lanes), swapped)
	}
	many := make([]int64, 100)
	for i := range many {
		many[i] = int64(i)
	}
	lanes, _ = lanesOf(laneChanges(nil, many))
	served := map[int64]int{}
	for _, l := range lanes {
		if !slices.IsSorted(l.groups) || len(l.groups) > 7 {
			t.Errorf("lane %v", l.groups)
		}
		for _, group := range l.groups {
			served[group]++
		}
	}
	if len(lanes) != maxLanes || len(served) != 100 {
		t.Errorf("%d lanes serve %d of 100 groups", len(lanes), len(served))
	}
	if _, swapped = lanesOf(laneChanges(lanes, many[1:])); swapped != 1 {
		t.Errorf("one group less swapped %d lanes", swapped)
	}
}

func TestSlowGroupLeavesWorkersToOthers(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.groups.Store(&[]int64{0, 3})
	var slow atomic.Int64
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	dial := r.deps.Dial
	r.deps.Dial = func(ctx context.Context, target snmp.Target) (Session, error) {
		session, err := dial(ctx, target)
		if target.Port > 20 || err != nil {
			return session, err
		}
		return &fakeSession{stats: r.stats, get: func(ctx context.Context) error {
			slow.Add(1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}}, nil
	}
	now := r.clock.Now().Unix()
	for id := range int64(20) { // twice as many slow ones as there are workers
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
	}
	r.start(t)
	polluxtest.Eventually(t, patience, "the slow group holds its share", func() bool { return slow.Load() == 7 })
	for id := range int64(20) {
		d := r.store.devices[id+21]
		d.Group = 3
		r.store.mu.Lock()
		r.store.devices[id+21] = d
		r.store.mu.Unlock()
		enqueue(t, client, 3, tasks.Poll{DeviceID: id + 21, Slot: now, Interval: 60})
	}
	polluxtest.Eventually(t, patience, "the other group is polled beside it", func() bool {
		return r.metric(t, "pollux_polls_total", "group=3", "result=up") == 20
	})
	if n := slow.Load(); n != 7 {
		t.Errorf("the slow group holds %d of 10 workers, its share is 75 %%", n)
	}
	// The rest waits in Redis, where another node can take it.
	if info := queue(t, client, "poller:0"); info.Pending != 13 || info.Active != 7 {
		t.Errorf("the slow group has %d pending and %d active tasks", info.Pending, info.Active)
	}
	r.groups.Store(&[]int64{0})
	polluxtest.Eventually(t, patience, "alone it gets all workers", func() bool { return slow.Load() == 10 })
}

// Two slow groups of three hold all workers but those that are kept for the third.
func TestSlowGroupsLeaveWorkersToThird(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.groups.Store(&[]int64{0, 3, 5})
	var slow atomic.Int64
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	dial := r.deps.Dial
	r.deps.Dial = func(ctx context.Context, target snmp.Target) (Session, error) {
		session, err := dial(ctx, target)
		if target.Port > 40 || err != nil {
			return session, err
		}
		return &fakeSession{stats: r.stats, get: func(ctx context.Context) error {
			slow.Add(1)
			defer slow.Add(-1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}}, nil
	}
	now := r.clock.Now().Unix()
	offer := func(group, from, to int64) {
		for id := from; id <= to; id++ {
			r.store.mu.Lock()
			d := r.store.devices[id]
			d.Group = group
			r.store.devices[id] = d
			r.store.mu.Unlock()
			enqueue(t, client, group, tasks.Poll{DeviceID: id, Slot: now, Interval: 60})
		}
	}
	offer(0, 1, 20)
	offer(3, 21, 40)
	r.start(t)
	polluxtest.Eventually(t, patience, "the slow groups hold what they may", func() bool { return slow.Load() == 9 })
	offer(5, 41, 50)
	polluxtest.Eventually(t, patience, "the third group is polled beside them", func() bool {
		return r.metric(t, "pollux_polls_total", "group=5", "result=up") == 10
	})
	if n := slow.Load(); n != 9 {
		t.Errorf("the slow groups hold %d of 10 workers", n)
	}
}

func TestTaskWithoutWorkerGoesBack(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.groups.Store(&[]int64{0, 3})
	for range 10 {
		if !r.workers.tryEnterFor(9) {
			t.Fatal("no worker is free")
		}
	}
	p := tasks.Poll{DeviceID: 1, Slot: r.clock.Now().Unix(), Interval: 60}
	enqueue(t, client, 0, p)
	r.start(t)
	polluxtest.Eventually(t, patience, "the task went back", func() bool { return r.metric(t, "pollux_task_handbacks_total", "reason=worker") >= 1 })
	r.workers.leaveFor(9)
	polluxtest.Eventually(t, patience, "it is polled when a worker is free", func() bool { return r.outcomes(t)["up"] == 1 })
	info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo("poller:0", p.ID())
	if err != nil || info.Retried != 0 {
		t.Errorf("the task used up retries: %+v, %v", info, err)
	}
}

func TestSharedAgentIsSpared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	change(r, func(d *device.Device) { d.Address = "Chassis" })
	r.deps.Resolve = func(context.Context, string, string) (netip.Addr, error) {
		return netip.MustParseAddr("192.0.2.1"), nil
	}
	shared := map[string]bool{"chassis:1": true, "192.0.2.1:1": true}
	r.shared.agents.Store(&shared)
	r.agents.places = 1
	r.set(settings.KeyAddressInFlight, "1")
	entered := 0
	r.session.Store(&fakeSession{stats: r.stats, probe: func(context.Context) error { entered = r.agents.inside; return nil }})
	if err := r.handle(r.turn(1, 60)); err != nil || entered != 1 || r.agents.inside != 0 {
		t.Errorf("%v, %d places while it is asked, %d afterwards", err, entered, r.agents.inside)
	}
	r.agents.places = 0
	r.journal.last = map[int64]journal.Last{}
	if err := r.handle(r.turn(1, 60)); !errors.Is(err, errAgentBusy) || r.polls(1) != 1 || r.probes.holders+r.workers.holders != 0 {
		t.Errorf("without a place asynq gets %v, %d polls", err, r.polls(1))
	}
	if delay := retryDelay(0, errAgentBusy, nil); delay < time.Second/2 || delay > 2*time.Second {
		t.Errorf("it comes again after %v", delay)
	}
	shared = map[string]bool{}
	if err := r.handle(r.turn(1, 60)); err != nil || r.polls(1) != 2 || len(r.agents.asked) != 2 {
		t.Errorf("an agent of its own: %v, %d polls, asked for %v", err, r.polls(1), r.agents.asked)
	}
}

// A name and the address that it stands for are one agent, once the name was resolved; two ports of one address are two.
func TestAgentIsSharedByNameAndAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	change(r, func(d *device.Device) { d.Address = "Chassis" })
	twin := r.store.devices[2]
	twin.Address, twin.Port = "192.0.2.1", 1
	r.store.devices[2] = twin
	r.deps.Resolve = func(context.Context, string, string) (netip.Addr, error) {
		return netip.MustParseAddr("::ffff:192.0.2.1"), nil
	}
	r.agents.places = 1
	poll := func(id int64, want ...string) {
		t.Helper()
		r.journal.last, r.agents.asked = map[int64]journal.Last{}, nil
		if err := r.handle(r.turn(id, 60)); err != nil || !slices.Equal(r.agents.asked, want) {
			t.Errorf("device %d: %v, asked for %q, want %q", id, err, r.agents.asked, want)
		}
	}
	poll(1) // nothing is known of the name yet
	poll(2, "192.0.2.1:1")
	poll(1, "192.0.2.1:1")
	poll(3)
	r.shared.agents.Store(&map[string]bool{"chassis:1": true}) // another device with the name: still one agent
	poll(1, "192.0.2.1:1")
	r.shared.agents.Store(&map[string]bool{})
	change(r, func(d *device.Device) { d.Port = 1163 })
	poll(1)
	poll(2)
	r.shared.forget(time.Now().Add(time.Second))
	if len(r.shared.seen)+len(r.shared.uses) != 0 {
		t.Errorf("still known: %v, %v", r.shared.seen, r.shared.uses)
	}
}
