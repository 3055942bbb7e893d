package consumer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/poller"
	"pollux/poller/definitions"
	"pollux/polluxtest"
	"pollux/store"
	"pollux/tasks"
)

// fakeDiscoveries keeps discoveries; err makes it fail.
type fakeDiscoveries struct {
	mu   sync.Mutex
	kept []device.Discovery
	err  error
}

func (f *fakeDiscoveries) SaveDiscovery(_ context.Context, d device.Discovery) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.kept = append(f.kept, d)
	}
	return f.err
}

func (f *fakeDiscoveries) all() []device.Discovery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}

var (
	_ Discoveries = (*store.Store)(nil)
	_ Discoveries = (*fakeDiscoveries)(nil)
)

func discovering(t *testing.T, r *rig) *fakeDiscoveries {
	t.Helper()
	set, problems, err := definitions.Load("")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	kept := &fakeDiscoveries{}
	r.deps.Discovering, r.deps.Definitions = &Discovering{Store: kept}, set
	return kept
}

// What is a port must not depend on who asks.
func TestPollsKnowTheDefinitions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	if target := r.apply(poller.Target{}); target.Definitions != nil {
		t.Error("definitions of a node that discovers nothing")
	}
	discovering(t, r)
	if target := r.apply(poller.Target{}); target.Definitions != r.deps.Definitions {
		t.Error("a poll does not know the definitions of the node")
	}
}

func TestHowADiscoveryEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	kept := discovering(t, r)
	now := r.clock.Now().Unix()
	task := func(id int64) tasks.Discover { return tasks.Discover{DeviceID: id, Slot: now, Interval: 21600} }
	r.store.devices[2] = device.Device{ID: 2, Disabled: true}
	r.store.devices[3] = device.Device{ID: 3, Group: 9}
	r.store.devices[4] = device.Device{ID: 4, PingOnly: true}
	over := task(1)
	over.Slot -= 21600
	for _, c := range []struct {
		task tasks.Discover
		want string
	}{
		{task(1), "up"}, {over, discoverySkipped}, {task(2), discoverySkipped}, {task(3), discoverySkipped}, {task(4), discoverySkipped}, {task(999), discoverySkipped},
	} {
		if got, err := r.discover(c.task, 0); got != c.want || err != nil {
			t.Errorf("%+v: %q, %v; want %q", c.task, got, err, c.want)
		}
	}
	if all := kept.all(); len(all) != 1 || all[0].DeviceID != 1 || all[0].Slot != now || all[0].Node != "node1" || all[0].Facts == nil || all[0].At.IsZero() {
		t.Errorf("kept %+v", all)
	}
	// What a device is and has stays when it does not answer.
	away := errors.New("no route")
	r.dialErr.Store(&away)
	if got, err := r.discover(task(1), 0); got != "down" || err != nil || len(kept.all()) != 1 {
		t.Errorf("a device that is away: %q, %v, kept %d", got, err, len(kept.all()))
	}
	r.dialErr.Store(nil)
	kept.err = errors.New("the database is away")
	if got, err := r.discover(task(1), 0); got != discoveryFailed || err != nil {
		t.Errorf("a database that is away: %q, %v", got, err)
	}
	r.drain()
	var back *handBackError
	if _, err := r.discover(task(1), 0); !errors.As(err, &back) {
		t.Errorf("while draining: %v", err)
	}
}

func TestADiscoveryTaskIsNotTrusted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	kept := discovering(t, r)
	for _, task := range []*asynq.Task{
		asynq.NewTask(tasks.TypeDiscover, []byte(`{"device_id":1}`)),
		asynq.NewTask(tasks.TypeDiscover, []byte(`{"device_id":1,"slot":1795340000,"interval":300}`)), // from no queue of ours
		asynq.NewTask(tasks.TypePoll, []byte(`{"device_id":1,"slot":1795340000,"interval":300}`)),
	} {
		if err := r.HandleDiscover(t.Context(), task); !errors.Is(err, asynq.SkipRetry) {
			t.Errorf("%s: %v", task.Payload(), err)
		}
	}
	if len(kept.all()) != 0 {
		t.Error("one was carried out")
	}
}

// A task that waits in Redis reaches the device, and a node that leaves a group takes no more.
func TestDiscoveriesAreTakenFromTheirQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, connect(t, polluxtest.Redis(t)))
	kept := discovering(t, r)
	client := asynq.NewClientFromRedisClient(r.deps.Redis)
	task, err := tasks.Discover{DeviceID: 7, Slot: r.clock.Now().Unix(), Interval: 21600}.Task(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Enqueue(task); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	deadline := time.After(30 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); len(kept.all()) == 0; {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("the discovery was not carried out")
		}
	}
	if d := kept.all()[0]; d.DeviceID != 7 || d.Outcome != device.OutcomeUp {
		t.Errorf("kept %+v", d)
	}
	var w device.Work
	polluxtest.Eventually(t, patience, "its work is counted", func() bool {
		w = r.Work(r.clock.Now().Add(time.Second))[1]
		return w.DoneTotal == 1
	})
	if w.Kind != "discovery" || w.Done != 1 || w.Errors != 0 || w.Busy <= 0 || w.Workers != r.discoverers() || w.Capacity < w.Busy || w.LatenessMax != 0 {
		t.Errorf("the work is %+v", w)
	}
	r.countDiscovery(discoveryFailed)
	r.countDiscovery(discoverySkipped)
	r.countDiscovery("down")
	if w = r.Work(r.clock.Now().Add(time.Second))[1]; w.Done != 2 || w.Errors != 1 {
		t.Errorf("with one that failed, one that had nothing to do and one of a device that is down: %+v", w)
	}
	if polled := r.Work(r.clock.Now().Add(time.Second))[0]; polled.Kind != "poller" || polled.Done+polled.Errors != 0 {
		t.Errorf("the work of polls is %+v", polled)
	}
}
