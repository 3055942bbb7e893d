package producer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
)

func redisZ(at time.Time, member string) redis.Z {
	return redis.Z{Score: float64(at.Unix()), Member: member}
}

// desk opens a desk on what the rig works with.
func (r *rig) desk() *Desk {
	return NewDesk(DeskDeps{Store: r.store, Events: r.store, Journal: r.journal, Redis: r.client, Distributed: true})
}

func names(queues []QueueState) []string {
	var all []string
	for _, q := range queues {
		all = append(all, q.Name)
	}
	return all
}

func TestQueuesForPeople(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", append(thirty(0, 10), device.Scheduled{ID: 99, Group: 3, Interval: 10})...)
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}, {ID: 10, Name: "Rome"}}
	r.serve(t, "c1", 0)
	r.enqueue(t, 0, 1, 60)
	r.enqueue(t, 8, 1, 1)
	r.client.SAdd(t.Context(), "asynq:queues", "mail", "discovery:3") // one of another program, one of a later one
	queues, err := r.desk().Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"discovery:3", "poller:0", "poller:3", "poller:8", "poller:10"}; !slices.Equal(names(queues), want) {
		t.Fatalf("queues are %v, want %v", names(queues), want)
	}
	for i, want := range []struct {
		group   string
		pending int
		devices int
		nodes   []string
		note    string
	}{
		{"Berlin", 0, 1, nil, "no node serves it"}, {"General", 60, 30, []string{"c1"}, "full"}, {"Berlin", 0, 1, nil, "no node serves it"}, {"", 1, 0, nil, "no such group"}, {"Rome", 0, 0, nil, ""},
	} {
		q := queues[i]
		if q.GroupName != want.group || q.Pending != want.pending || q.Devices != want.devices || !slices.Equal(q.Nodes, want.nodes) ||
			!strings.HasPrefix(q.Note, want.note) || (want.note == "") != (q.Note == "") || q.Paused {
			t.Errorf("%s: %+v, want %+v", q.Name, q, want)
		}
	}
	groups, err := r.desk().Coverage(t.Context())
	if err != nil || len(groups) != 3 {
		t.Fatal(groups, err)
	}
	if g := groups[0]; g.Group.Name != "General" || g.Devices != 30 || g.Pending != 60 || !slices.Equal(g.Nodes, []string{"c1"}) {
		t.Errorf("group 0: %+v", g)
	}
}

func TestCoverageForPeople(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 10}, device.Scheduled{ID: 2, Interval: 10}, device.Scheduled{ID: 3, Interval: 10},
		device.Scheduled{ID: 4, Group: 7, Interval: 10, Created: time.Now().Unix() - 3})
	now := time.Now().Unix()
	r.serve(t, "c1", 0)
	r.journal.last[1] = journal.Last{Slot: now, Outcome: device.OutcomeUp}
	r.journal.last[2] = journal.Last{Slot: now - 25, Outcome: device.OutcomeDown}
	r.journal.last[3] = journal.Last{Slot: now - 250, Outcome: device.OutcomeAuth}
	groups, err := r.desk().Coverage(t.Context())
	if err != nil || len(groups) != 2 {
		t.Fatal(groups, err)
	}
	if g := groups[0]; g.Late != 2 || g.Overdue != 1 || g.Note != "1 device overdue" {
		t.Errorf("group 0: %+v", g)
	}
	if g := groups[1]; g.Group.ID != 7 || g.Devices != 1 || g.Late != 0 || !strings.HasPrefix(g.Note, "no such group") {
		t.Errorf("a group that does not exist: %+v", g)
	}
	late, err := r.desk().Late(t.Context())
	if err != nil || len(late) != 2 || late[0].DeviceID != 2 || late[1].DeviceID != 3 || late[1].Intervals() < 25 {
		t.Errorf("late are %+v, %v", late, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}}
	desk, ctx := r.desk(), t.Context()
	one := func(switched []Switched, err error) bool {
		t.Helper()
		if err != nil || len(switched) != 1 {
			t.Fatal(switched, err)
		}
		return switched[0].Changed
	}
	if !one(desk.Pause(ctx, "poller:3", "alice")) || one(desk.Pause(ctx, "poller:3", "bob")) {
		t.Error("a queue that never had a task is paused once")
	}
	queues, err := desk.Queues(ctx)
	if err != nil || !queues[1].Paused || time.Since(queues[1].PausedSince) > time.Minute {
		t.Errorf("queues are %+v, %v", queues, err)
	}
	if found, err := asynq.NewInspectorFromRedisClient(r.client).Queues(); err != nil || !slices.Contains(found, "poller:3") {
		t.Errorf("asynq's own pages do not show the queue: %v, %v", found, err)
	}
	if !one(desk.Resume(ctx, "poller:3", "bob")) || one(desk.Resume(ctx, "poller:3", "bob")) {
		t.Error("it is resumed once")
	}
	if all, err := desk.Pause(ctx, "", "alice"); err != nil || len(all) != 2 || !all[0].Changed || !all[1].Changed {
		t.Errorf("all: %v, %v", all, err)
	}
	if len(r.store.events) != 4 || r.store.events[0].Actor != "alice" || r.store.events[1].Actor != "bob" || r.store.events[1].Message != "queue poller:3 resumed" {
		t.Errorf("events: %+v", r.store.events)
	}
	for _, name := range []string{"poller:9", "default", "poller:3 ", "*"} {
		if _, err := desk.Pause(ctx, name, "alice"); !errors.Is(err, ErrNoQueue) || !strings.Contains(err.Error(), "poller:0, poller:3") {
			t.Errorf("pause %q: %v", name, err)
		}
	}
	if n := r.client.Exists(ctx, pausedKey("poller:9"), pausedKey("default")).Val(); n != 0 {
		t.Error("a queue that does not exist is paused")
	}
	r.store.broken = true
	if _, err := desk.Resume(ctx, "poller:0", "alice"); err == nil || !strings.Contains(err.Error(), "is resumed, but the eventlog") {
		t.Errorf("without the database: %v", err)
	}
}

// TestAPausedQueueCannotFillRedis offers many slots to a queue that nobody takes tasks of.
func TestAPausedQueueCannotFillRedis(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	if _, err := r.desk().Pause(t.Context(), "poller:0", "me"); err != nil {
		t.Fatal(err)
	}
	leader := r.leads(t)
	now := r.clock.Now().Unix()
	for second := range int64(600) {
		if second%60 == 0 {
			if _, err := r.deps.Lease.TryAcquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.queues.observe(t.Context())
		}
		leader.tick(t.Context(), now+second)
	}
	most := fullFactor*30 + leader.config.Workers
	if n := len(r.pending(t, 0)); n < fullFactor*30 || n > most {
		t.Errorf("%d tasks wait after 60 slots of 30 devices, want %d to %d", n, fullFactor*30, most)
	}
	if size := r.client.DBSize(t.Context()).Val(); size > int64(most)+20 {
		t.Errorf("%d keys in Redis", size)
	}
}
