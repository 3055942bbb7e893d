package producer

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/tasks"
)

// The devices of a group without a node were moved: what waited there goes when its slot is over, and so does the alarm.
func TestTasksLeftInAGroupWithoutDevicesGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 10})
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}, {ID: 4, Name: "Zurich"}}
	leader := r.leads(t)
	r.journal.last[1] = journal.Last{Slot: leader.began + 10_000, Outcome: device.OutcomeUp}
	r.serve(t, "c1", 0, 4)
	now := r.clock.Now().Unix()
	client := asynq.NewClientFromRedisClient(r.client)
	add := func(task *asynq.Task, err error, options ...asynq.Option) {
		t.Helper()
		if err == nil {
			_, err = client.Enqueue(task, options...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for id := range int64(3) {
		task, err := tasks.Poll{DeviceID: 10 + id, Slot: now - 5, Interval: 60}.Task(3)
		add(task, err, asynq.ProcessIn(time.Duration(id)*time.Hour)) // pending, and scheduled
		task, err = tasks.Poll{DeviceID: 20 + id, Slot: now - 5, Interval: 60}.Task(4)
		add(task, err)
	}
	task, err := tasks.Discover{DeviceID: 10, Slot: now - 5, Interval: 86_400}.Task(3)
	add(task, err)
	left := func() (n int) {
		t.Helper()
		for _, name := range []string{"poller:3", "discovery:3"} {
			q, err := r.queues.inspector.GetQueueInfo(name)
			if err != nil {
				t.Fatal(err)
			}
			n += q.Pending + q.Scheduled + q.Retry
		}
		return n
	}
	r.look(t, leader)
	r.look(t, leader)
	r.store.wantTold(t, "before the end of the slots", "warning queue discovery:3 holds 1 task and no live node serves it", "warning queue poller:3 holds 3 tasks and no live node serves it")
	if n := left(); n != 4 {
		t.Errorf("%d tasks are left before the end of their slots", n)
	}
	r.clock.offset.Store(int64(time.Minute))
	r.look(t, leader)
	if n := left(); n != 1 {
		t.Errorf("%d tasks are left after the slots of the polls", n)
	}
	r.clock.offset.Store(int64((tasks.MaxDiscovery + 1) * time.Second))
	for range 3 {
		r.look(t, leader)
	}
	if n := left(); n != 0 {
		t.Errorf("%d tasks are left", n)
	}
	r.store.wantTold(t, "at last", "ok over after", "ok over after")
	if q, err := r.queues.inspector.GetQueueInfo("poller:4"); err != nil || q.Pending != 3 {
		t.Errorf("a queue with a node: %+v, %v", q, err)
	}
}
