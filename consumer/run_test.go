package consumer

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/tasks"
)

// patience is how long a test waits for what comes at once on an idle machine.
const patience = time.Minute

// queue reads a queue; one that does not exist is empty.
func queue(t *testing.T, client redis.UniversalClient, name string) *asynq.QueueInfo {
	t.Helper()
	info, err := asynq.NewInspectorFromRedisClient(client).GetQueueInfo(name)
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			return &asynq.QueueInfo{}
		}
		t.Fatal(err)
	}
	return info
}

func TestGroupsAreSwappedAndDefaultIsNeverServed(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.groups.Store(&[]int64{})
	if _, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask(tasks.TypePoll, []byte("{}")), asynq.Queue("default")); err != nil {
		t.Fatal(err)
	}
	now := r.clock.Now().Unix()
	for id := range int64(5) {
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
		enqueue(t, client, 3, tasks.Poll{DeviceID: id + 11, Slot: now, Interval: 60})
		d := r.store.devices[id+11]
		d.Group = 3
		r.store.devices[id+11] = d
	}
	r.start(t)
	polluxtest.Eventually(t, patience, "a plan without groups", func() bool { return r.metric(t, "pollux_workers") == 10 })
	r.groups.Store(&[]int64{0, 0, -7})
	polluxtest.Eventually(t, patience, "group 0 is polled", func() bool { return r.outcomes(t)["up"] == 5 })
	if n := queue(t, client, "poller:3").Pending; n != 5 {
		t.Errorf("%d tasks wait in the queue of a foreign group, want 5", n)
	}
	r.groups.Store(&[]int64{3})
	polluxtest.Eventually(t, patience, "group 3 is polled", func() bool { return r.metric(t, "pollux_polls_total", "group=3", "result=up") == 5 })
	polluxtest.Eventually(t, patience, "one server is left", func() bool {
		servers, err := asynq.NewInspectorFromRedisClient(client).Servers()
		return err == nil && len(servers) == 1 && len(servers[0].Queues) == 1
	})
	enqueue(t, client, 0, tasks.Poll{DeviceID: 6, Slot: now, Interval: 60})
	r.groups.Store(&[]int64{})
	polluxtest.Eventually(t, patience, "no server is left", func() bool {
		servers, err := asynq.NewInspectorFromRedisClient(client).Servers()
		return err == nil && len(servers) == 0
	})
	if queue(t, client, "default").Pending != 1 || queue(t, client, "poller:0").Pending != 1 || r.polls(6) != 0 {
		t.Error("a node without groups takes tasks")
	}
}

func TestRepeatsArePolledOnce(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	p := tasks.Poll{DeviceID: 1, Slot: r.clock.Now().Unix(), Interval: 60}
	enqueue(t, client, 0, p)
	r.start(t)
	polluxtest.Eventually(t, patience, "the slot is polled", func() bool { return queue(t, client, "poller:0").Completed == 1 })
	// What asynq does when it lost the acknowledgement, and what a group change does: the same task again.
	if err := asynq.NewInspectorFromRedisClient(client).DeleteTask("poller:0", p.ID()); err != nil {
		t.Fatal(err)
	}
	enqueue(t, client, 0, p)
	polluxtest.Eventually(t, patience, "the repeat is counted", func() bool { return r.metric(t, "pollux_task_repeats_total", "reason=finished") == 1 })
	if r.polls(1) != 1 || r.outcomes(t)["up"] != 1 || len(r.journal.appended()) != 1 {
		t.Errorf("device 1 was polled %d times, outcomes %v", r.polls(1), r.outcomes(t))
	}
}

func TestWorkersAreBoundedAndResized(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.set(settings.KeyPollerWorkers, "3")
	release := make(chan struct{})
	r.session.Store(&fakeSession{stats: r.stats, get: func(ctx context.Context) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	}})
	now := r.clock.Now().Unix()
	for id := range int64(20) {
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
	}
	r.start(t)
	running := func() int {
		r.stats.mu.Lock()
		defer r.stats.mu.Unlock()
		return r.stats.running
	}
	polluxtest.Eventually(t, patience, "3 polls run", func() bool { return running() == 3 })
	r.set(settings.KeyPollerWorkers, "7")
	polluxtest.Eventually(t, patience, "7 polls run", func() bool { return running() == 7 })
	close(release)
	polluxtest.Eventually(t, patience, "all are polled", func() bool { return r.outcomes(t)["up"] == 20 })
	if r.stats.top != 7 || r.metric(t, "pollux_workers", "kind=poller") != 7 {
		t.Errorf("%d polls ran at once with 7 workers", r.stats.top)
	}
}

func TestDrainFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.set(settings.KeyPollerWorkers, "2")
	release := make(chan struct{})
	r.session.Store(&fakeSession{stats: r.stats, get: func(context.Context) error { <-release; return nil }})
	now := r.clock.Now().Unix()
	for id := range int64(6) {
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
	}
	stop := r.start(t)
	polluxtest.Eventually(t, patience, "2 polls run", func() bool { return r.metric(t, "pollux_polls_in_flight", "group=0") == 2 })
	go func() {
		<-r.draining.Done()
		close(release)
	}()
	stop()
	if got := r.outcomes(t); len(got) != 1 || got["up"] != 2 {
		t.Errorf("outcomes %v, want 2 up", got)
	}
	info := queue(t, client, "poller:0")
	// One may have been taken in the moment in which the drain began: it goes back for another try.
	if info.Pending+info.Retry != 4 || info.Active != 0 || info.Completed != 2 || info.Archived != 0 {
		t.Errorf("the queue after the drain: %+v", info)
	}
	other := newRig(t, 60, client)
	other.start(t)
	polluxtest.Eventually(t, patience, "another node polls the rest", func() bool { return other.outcomes(t)["up"] == 4 })
}

func TestSkewedClockStopsConsuming(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.clock.skewed.Store(true)
	now := r.clock.Now().Unix()
	enqueue(t, client, 0, tasks.Poll{DeviceID: 1, Slot: now, Interval: 60})
	r.start(t)
	polluxtest.Eventually(t, patience, "a plan", func() bool { return r.metric(t, "pollux_workers") == 10 })
	if n := queue(t, client, "poller:0").Pending; n != 1 {
		t.Errorf("%d tasks wait", n)
	}
	r.clock.skewed.Store(false)
	polluxtest.Eventually(t, patience, "it is polled", func() bool { return r.outcomes(t)["up"] == 1 })
	r.clock.skewed.Store(true)
	polluxtest.Eventually(t, patience, "no server is left", func() bool {
		servers, err := asynq.NewInspectorFromRedisClient(client).Servers()
		return err == nil && len(servers) == 0
	})
}

// TestDownDevicesHoldFewWorkers: one probe at a time of five workers; the tasks
// of the others go back, and neither a slot nor a healthy device pays for it.
func TestDownDevicesHoldFewWorkers(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.set(settings.KeyPollerWorkers, "5")
	var probing, most atomic.Int64
	r.session.Store(&fakeSession{stats: r.stats, probe: func(context.Context) error {
		most.Store(max(most.Load(), probing.Add(1)))
		defer probing.Add(-1)
		<-time.After(200 * time.Millisecond)
		return nil
	}})
	now := r.clock.Now().Unix()
	for id := range int64(4) {
		d := r.store.devices[id+1]
		d.Status = device.StatusDown
		r.store.devices[id+1] = d
		enqueue(t, client, 0, tasks.Poll{DeviceID: id + 1, Slot: now, Interval: 60})
	}
	r.start(t)
	polluxtest.Eventually(t, patience, "all are polled", func() bool { return r.outcomes(t)["up"] == 4 })
	if most.Load() != 1 {
		t.Errorf("%d devices that are down were asked at once", most.Load())
	}
	polluxtest.Eventually(t, patience, "all tasks are done", func() bool { return queue(t, client, "poller:0").Completed == 4 })
	if info := queue(t, client, "poller:0"); info.Failed != 0 || info.Archived != 0 {
		t.Errorf("handing back counts as a failure: %+v", info)
	}
}

func TestPanicsArchiveTheTaskOnly(t *testing.T) {
	t.Parallel()
	client := connect(t, polluxtest.Redis(t))
	r := newRig(t, 60, client)
	r.session.Store(&fakeSession{stats: r.stats, probe: func(context.Context) error { panic("oops") }})
	enqueue(t, client, 0, tasks.Poll{DeviceID: 1, Slot: r.clock.Now().Unix(), Interval: 60})
	r.start(t)
	polluxtest.Eventually(t, patience, "the task is archived", func() bool { return queue(t, client, "poller:0").Archived == 1 })
	if got := r.outcomes(t); got["skipped"] != 1 || r.polls(1) != 1 {
		t.Errorf("outcomes %v, polled %d times", got, r.polls(1))
	}
}
