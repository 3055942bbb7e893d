package producer

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/tasks"
)

// look lets a term look once, as it does every 15 s, and its events be written.
func (r *rig) look(t *testing.T, leader *term) {
	t.Helper()
	leader.nextLook = time.Time{}
	looks, queuesKnown := r.queues.observe(t.Context())
	nodes, nodesKnown := leader.relistNodes(t.Context())
	if !queuesKnown || !nodesKnown {
		t.Fatal("queues or nodes cannot be read")
	}
	leader.cover(t.Context(), r.schedule.Load(), nodes, looks)
	leader.removeGone(t.Context(), r.schedule.Load(), looks)
	leader.removeVoid(r.schedule.Load(), leader.serviceOf(t.Context(), nodes), looks)
	leader.saveReport(t.Context())
	if err := r.chronicle.write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// serve registers a consumer of some groups, and returns what ends it.
func (r *rig) serve(t *testing.T, id string, groups ...int64) (end func()) {
	t.Helper()
	registry, err := cluster.NewRegistry(r.client, cluster.NodeInfo{
		Role: cluster.RoleConsumer, NodeID: id, Host: "h", PID: 1, Groups: func() []int64 { return groups },
	}, r.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- registry.Run(ctx) }()
	end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(end)
	return end
}

// wantTold compares the beginnings of the events since the last call, and forgets them.
func (s *fakeStore) wantTold(t *testing.T, when string, want ...string) {
	t.Helper()
	told := s.told()
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
	ok := len(told) == len(want)
	for i := range min(len(told), len(want)) {
		ok = ok && strings.HasPrefix(told[i], want[i])
	}
	if !ok {
		t.Errorf("%s: told %q, want %q", when, told, want)
	}
}

func TestCoverageIsToldOnceByAllLeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 300}, device.Scheduled{ID: 2, Group: 3, Interval: 10})
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}}
	leader := r.leads(t)
	now := leader.began
	r.journal.last[1] = journal.Last{Slot: now, Outcome: device.OutcomeUp}
	r.journal.last[2] = journal.Last{Slot: now - 1000, Outcome: device.OutcomeDown}
	r.serve(t, "c1", 0)
	r.look(t, leader)
	r.store.wantTold(t, "the first look")
	for _, c := range []struct {
		labels []string
		want   float64
	}{
		{[]string{"group=0", "intervals=1.2"}, 0}, {[]string{"group=3", "intervals=1.2"}, 1}, {[]string{"group=3", "intervals=3"}, 1}, {[]string{"group=0", "intervals=3"}, 0},
	} {
		if n := r.metric(t, "pollux_devices_overdue", c.labels...); n != c.want {
			t.Errorf("devices_overdue%v is %v, want %v", c.labels, n, c.want)
		}
	}
	r.look(t, leader)
	r.store.wantTold(t, "the second look", "warning device 2: not polled for 16m4", "notice 1 device of poller group 3 (Berlin) was not polled for 1.2 of its intervals", "error 1 device of poller group 3 (Berlin) is not polled: no live node serves the group")
	for _, kind := range []string{"unserved", "late"} {
		if n := r.metric(t, "pollux_coverage_alarms", "kind="+kind); n != 1 {
			t.Errorf("coverage_alarms of kind %s is %v", kind, n)
		}
	}
	r.look(t, leader)
	r.store.wantTold(t, "the third look")

	leader = newTerm(r.Producer) // another leader
	r.look(t, leader)
	r.look(t, leader)
	r.store.wantTold(t, "another leader")

	end := r.serve(t, "c3", 3)
	r.journal.last[2] = journal.Last{Slot: now, Outcome: device.OutcomeDown}
	r.look(t, leader)
	r.store.wantTold(t, "served for one look")
	r.look(t, leader)
	r.store.wantTold(t, "served", "ok device 2: polled again", "ok over after", "ok over after")
	if n := r.metric(t, "pollux_coverage_alarms", "kind=unserved"); n != 0 {
		t.Errorf("coverage_alarms is %v", n)
	}
	end()
	r.look(t, leader)
	r.store.wantTold(t, "unserved for one look")
	r.metrics.resign()
	if n := r.metric(t, "pollux_devices_overdue", "group=3"); n != -1 {
		t.Error("a producer that does not lead shows overdue devices")
	}
}

func TestPausedAndOrphanedQueuesAreTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 10})
	leader := r.leads(t)
	r.journal.last[1] = journal.Last{Slot: leader.began + 1000, Outcome: device.OutcomeUp}
	r.serve(t, "c1", 0)
	r.enqueue(t, 7, 100, 2)
	desk := r.desk()
	if _, err := desk.Pause(t.Context(), "poller:0", "me"); err != nil {
		t.Fatal(err)
	}
	r.look(t, leader)
	r.look(t, leader)
	r.store.wantTold(t, "at first", "notice queue poller:0 paused", "warning queue poller:7 holds 2 tasks of a poller group that does not exist")
	if n := r.metric(t, "pollux_queue_paused", "queue=poller:0"); n != 1 {
		t.Errorf("queue_paused is %v", n)
	}
	r.clock.offset.Store(int64(25 * time.Second))
	r.look(t, leader)
	r.look(t, leader)
	r.store.wantTold(t, "after two intervals", "warning queue poller:0 is paused since ")
	if _, err := desk.Resume(t.Context(), "poller:0", "me"); err != nil {
		t.Fatal(err)
	}
	r.look(t, leader)
	r.look(t, leader)
	r.store.wantTold(t, "resumed", "notice queue poller:0 resumed", "ok over after")
}

// TestABrokenRedisRaisesNoAlarm: half a view is no ground for an alarm, nor what a new leader cannot know.
func TestABrokenRedisRaisesNoAlarm(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	leader := r.leads(t)
	r.serve(t, "c1", 0)
	for range 3 { // devices of which nothing is known, in the first seconds of a leader
		r.look(t, leader)
	}
	r.client.Set(t.Context(), "asynq:{poller:5}:active", "no list", 0)
	r.client.SAdd(t.Context(), "asynq:queues", "poller:5")
	r.client.Set(t.Context(), reportKey, "no report", 0)
	if looks, known := r.queues.observe(t.Context()); !known || slices.ContainsFunc(looks, func(q queueLook) bool { return q.Queue == "poller:5" }) {
		t.Error("one broken queue hides the others")
	}
	leader = newTerm(r.Producer)
	r.look(t, leader)
	r.journal.err = context.DeadlineExceeded
	for range 3 {
		r.look(t, leader)
	}
	r.store.wantTold(t, "nothing is known to be wrong")
}

func TestTheLeaderSaysSinceWhenItLeads(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	leader := r.leads(t)
	if holder, since, err := leaderSince(t.Context(), r.client); err != nil || holder != r.deps.Lease.Token() || !since.IsZero() {
		t.Errorf("before it says so: %s, %v, %v", holder, since, err)
	}
	leader.noteTerm(t.Context())
	if _, since, err := leaderSince(t.Context(), r.client); err != nil || since.Unix() != leader.began {
		t.Errorf("since %v, %v", since, err)
	}
	r.client.Set(t.Context(), cluster.LeaderKey, "p2/h:1/x", 0)
	if holder, since, err := leaderSince(t.Context(), r.client); err != nil || holder != "p2/h:1/x" || !since.IsZero() {
		t.Errorf("another leader: %s, %v, %v", holder, since, err)
	}
}

// enqueue puts tasks of devices from first on into the queue of a group.
func (r *rig) enqueue(t *testing.T, group, first int64, n int64) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(r.client)
	for id := first; id < first+n; id++ {
		task, err := tasks.Poll{DeviceID: id, Slot: epoch, Interval: 3600}.Task(group)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Enqueue(task); err != nil {
			t.Fatal(err)
		}
	}
}

// keysOf are the keys in Redis that belong to a queue.
func (r *rig) keysOf(t *testing.T, queue string) []string {
	t.Helper()
	keys, err := r.client.Keys(t.Context(), "asynq:{"+queue+"}*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestQueuesOfRemovedGroupsGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}}
	leader := r.leads(t)
	r.enqueue(t, 3, 1, 5)
	leader.tick(t.Context(), r.clock.Now().Unix())
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	// One task was finished, one failed, one is in the hands of a node that dies; and the queue is paused.
	handled := make(chan string, 2)
	server := asynq.NewServerFromRedisClient(r.client, asynq.Config{
		Concurrency: 1, Queues: map[string]int{"poller:3": 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond,
	})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		p, err := tasks.ParsePoll(task.Payload())
		if err == nil && p.DeviceID == 2 {
			err = asynq.SkipRetry
		}
		handled <- task.Type()
		if p.DeviceID == 2 {
			_ = inspector.PauseQueue("poller:3")
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
	<-handled
	<-handled
	polluxtest.Eventually(t, time.Minute, "one task is archived", func() bool {
		info, err := inspector.GetQueueInfo("poller:3")
		return err == nil && info.Archived == 1 && info.Completed == 1 && info.Pending == 3
	})
	server.Shutdown()
	ctx, ending := t.Context(), time.Now().Add(20*time.Second)
	id := r.client.RPopLPush(ctx, "asynq:{poller:3}:pending", "asynq:{poller:3}:active").Val()
	r.client.HSet(ctx, "asynq:{poller:3}:t:"+id, "state", "active")
	r.client.ZAdd(ctx, "asynq:{poller:3}:lease", redisZ(ending, id))

	r.look(t, leader)
	r.clock.offset.Store(int64(time.Hour))
	r.look(t, leader)
	if len(r.keysOf(t, "poller:3")) < 8 {
		t.Fatal("the queue of a group that exists is removed")
	}
	r.store.groups = nil
	if err := r.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	r.store.wantTold(t, "before the group is removed", "warning queue poller:3 holds 1 task and no live node serves it")
	r.look(t, leader)
	leader = newTerm(r.Producer)                                                                                             // a new leader goes on where the last one stopped
	if err := leader.enqueue(ctx, Offer{Poll: tasks.Poll{DeviceID: 6, Slot: epoch, Interval: 3600}, Group: 3}); err != nil { // its client knows the queue
		t.Fatal(err)
	}
	r.clock.offset.Store(int64(time.Hour + 9*time.Minute))
	r.look(t, leader)
	if len(r.keysOf(t, "poller:3")) < 8 {
		t.Fatal("the queue is removed before its time")
	}
	r.client.ZAdd(ctx, "asynq:{poller:3}:lease", redisZ(r.clock.Now().Add(time.Hour), id))
	r.clock.offset.Store(int64(time.Hour + 11*time.Minute))
	r.look(t, leader)
	if len(r.keysOf(t, "poller:3")) < 8 {
		t.Fatal("a queue with an active task is removed")
	}
	r.client.ZAdd(ctx, "asynq:{poller:3}:lease", redisZ(r.clock.Now().Add(-2*time.Minute), id))
	r.look(t, leader)
	for _, key := range r.keysOf(t, "poller:3") {
		if !strings.Contains(key, ":processed") && !strings.Contains(key, ":failed") { // counters of asynq's own
			t.Errorf("left in Redis: %s", key)
		}
	}
	if names, err := inspector.Queues(); err != nil || slices.Contains(names, "poller:3") {
		t.Errorf("queues are %v, %v", names, err)
	}
	if told := r.store.told(); !slices.Contains(told, "info queue poller:3 of a removed poller group was removed with 3 tasks") {
		t.Errorf("told: %q", told)
	}
	// The next group of that number begins anew, and its queue is known to asynq again.
	r.store.groups, r.store.devices = []device.Group{{ID: 3}}, []device.Scheduled{{ID: 9, Group: 3, Interval: 10}}
	if err := r.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	leader.tick(ctx, r.clock.Now().Unix())
	if len(r.pending(t, 3)) != 1 {
		t.Errorf("the slot of the new group is not offered: %v", r.pending(t, 3))
	}
	if names, err := inspector.Queues(); err != nil || !slices.Contains(names, "poller:3") {
		t.Errorf("asynq does not know the queue again: %v, %v", names, err)
	}
}

// TestAnUnreadableListOfGroupsRemovesNothing: an inventory without group 0 is not to be believed.
func TestAnUnreadableListOfGroupsRemovesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	leader := r.leads(t)
	r.enqueue(t, 3, 1, 1)
	r.groups.Store(&map[int64]string{})
	r.look(t, leader)
	r.clock.offset.Store(int64(time.Hour))
	r.look(t, leader)
	if len(r.pending(t, 3)) != 1 {
		t.Error("the queue is removed")
	}
}
