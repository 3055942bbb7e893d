package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

var (
	_ Clock   = (*cluster.Clock)(nil)
	_ Journal = (*journal.Journal)(nil)
	_ Janitor = (*cluster.Janitor)(nil)
	_ Store   = (*store.Store)(nil)
	_ Purger  = (*store.Store)(nil)
	_ Nodes   = (*store.Store)(nil)

	_ Removals = (*store.Store)(nil)
	_ Tombs    = (*journal.Journal)(nil)

	_ Eventlog = (*store.Store)(nil)
)

// fakeClock is the local clock, moved by an offset.
type fakeClock struct {
	offset atomic.Int64
	skewed atomic.Bool
}

func (c *fakeClock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *fakeClock) Skewed() bool   { return c.skewed.Load() }

// fakeStore holds the schedule; broken makes it fail.
type fakeStore struct {
	mu      sync.Mutex
	devices []device.Scheduled
	groups  []device.Group // besides 0
	nodes   []device.Node
	events  []device.Event
	broken  bool
	read    int
	purged  []time.Time
}

func (s *fakeStore) Groups(context.Context) ([]device.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]device.Group{{ID: 0, Name: "General"}}, s.groups...), nil
}

func (s *fakeStore) AddEvent(_ context.Context, e device.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("the database is away")
	}
	s.events = append(s.events, e)
	return nil
}

func (s *fakeStore) Nodes(context.Context) ([]device.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes, nil
}

// told are the messages of the events, those of devices with their id.
func (s *fakeStore) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var told []string
	for _, e := range s.events {
		if e.DeviceID > 0 {
			e.Message = fmt.Sprintf("device %d: %s", e.DeviceID, e.Message)
		}
		told = append(told, string(e.Severity)+" "+e.Message)
	}
	return told
}

func (s *fakeStore) Schedule(context.Context) ([]device.Scheduled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read++
	if s.broken {
		return nil, errors.New("the database is away")
	}
	return slices.Clone(s.devices), nil
}

func (s *fakeStore) PurgeEvents(_ context.Context, before time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purged = append(s.purged, before)
	return 1, nil
}

func (s *fakeStore) PurgeOutages(ctx context.Context, before time.Time) (int64, error) {
	return s.PurgeEvents(ctx, before)
}

func (s *fakeStore) PurgeNodeHistory(ctx context.Context, before time.Time) (int64, error) {
	return s.PurgeEvents(ctx, before)
}

func (s *fakeStore) PurgeVanished(ctx context.Context, before time.Time) (int64, error) {
	return s.PurgeEvents(ctx, before)
}

// hangingStore answers nothing until it is given up, and notes when it was asked.
type hangingStore struct{ asked []time.Time }

func (s *hangingStore) Schedule(ctx context.Context) ([]device.Scheduled, error) {
	s.asked = append(s.asked, time.Now())
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *hangingStore) Groups(ctx context.Context) ([]device.Group, error) { return nil, ctx.Err() }
func (s *hangingStore) Nodes(ctx context.Context) ([]device.Node, error)   { return nil, ctx.Err() }

// fakeJournal knows last finished slots.
type fakeJournal struct {
	mu   sync.Mutex
	last map[int64]journal.Last
	err  error
}

func (j *fakeJournal) Last(_ context.Context, ids []int64) ([]journal.Last, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lasts := make([]journal.Last, len(ids))
	for i, id := range ids {
		lasts[i] = j.last[id]
	}
	return lasts, j.err
}

// fakeJanitor notes that it runs.
type fakeJanitor struct{ running atomic.Int64 }

func (j *fakeJanitor) Run(ctx context.Context) error {
	j.running.Add(1)
	defer j.running.Add(-1)
	<-ctx.Done()
	return nil
}

// rig is a producer with fakes around it and a real Redis.
type rig struct {
	*Producer
	clock    *fakeClock
	store    *fakeStore
	journal  *fakeJournal
	janitor  *fakeJanitor
	client   redis.UniversalClient
	registry *prometheus.Registry
}

func newRig(t *testing.T, server *polluxtest.Server, holder string, devices ...device.Scheduled) *rig {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: server.Address, ContextTimeoutEnabled: true, ReadTimeout: time.Second, WriteTimeout: time.Second, DialTimeout: time.Second, MaxRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	return newRigOn(t, client, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})), holder, devices...)
}

func newRigOn(t *testing.T, client redis.UniversalClient, log *slog.Logger, holder string, devices ...device.Scheduled) *rig {
	t.Helper()
	r := &rig{
		clock: &fakeClock{}, store: &fakeStore{devices: devices}, journal: &fakeJournal{last: map[int64]journal.Last{}},
		janitor: &fakeJanitor{}, client: client, registry: prometheus.NewRegistry(),
	}
	p, err := New(Config{NodeID: holder}, Deps{
		Store: r.store, Purger: r.store, Events: r.store, Journal: r.journal, Clock: r.clock, Janitor: r.janitor, Redis: client, Registerer: r.registry,
		Lease:    cluster.NewLease(client, cluster.LeaderKey, holder, LeaderTTL),
		Settings: func() settings.Values { return settings.Values{} },
		Log:      log,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Producer = p
	return r
}

// start runs the producer until the test ends or stop is called.
func (r *rig) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// leads makes the rig a leader whose schedule is read and whose lease is held, without running it.
func (r *rig) leads(t *testing.T) *term {
	t.Helper()
	if err := r.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held, err := r.deps.Lease.TryAcquire(t.Context()); !held || err != nil {
		t.Fatalf("lease: %v, %v", held, err)
	}
	return newTerm(r.Producer)
}

// pending lists the tasks that wait in the queue of a group, by their ids.
func (r *rig) pending(t *testing.T, group int64) map[string]tasks.Poll {
	t.Helper()
	found := map[string]tasks.Poll{}
	infos, err := asynq.NewInspectorFromRedisClient(r.client).ListPendingTasks(tasks.Queue(tasks.KindPoller, group), asynq.PageSize(10_000))
	if err != nil {
		return found // the queue is not there yet, or Redis is away
	}
	for _, info := range infos {
		p, err := tasks.ParsePoll(info.Payload)
		if err != nil {
			t.Fatal(err)
		}
		found[info.ID] = p
	}
	return found
}

// metric returns the value of a counter or gauge; labels as "name=value".
func (r *rig) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			have := map[string]bool{}
			for _, pair := range m.GetLabel() {
				have[pair.GetName()+"="+pair.GetValue()] = true
			}
			if slices.ContainsFunc(labels, func(l string) bool { return !have[l] }) {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return -1
}

func (s *fakeStore) Events(_ context.Context, f store.EventFilter) ([]device.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []device.Event
	for _, e := range slices.Backward(s.events) {
		if e.DeviceID == f.DeviceID && (f.Type == "" || e.Type == f.Type) && len(found) < f.Limit {
			found = append(found, e)
		}
	}
	return found, nil
}
