package consumer

import (
	"context"
	"errors"
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
	"pollux/secret"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
	"pollux/tasks"
)

var (
	_ Clock        = (*cluster.Clock)(nil)
	_ Journal      = (*journal.Journal)(nil)
	_ DeviceLeases = (*cluster.DeviceLeases)(nil)
	_ Store        = (*store.Store)(nil)
	_ Session      = (*snmp.Session)(nil)
)

// fakeClock is the local clock, moved by an offset.
type fakeClock struct {
	offset atomic.Int64
	skewed atomic.Bool
}

func (c *fakeClock) Now() time.Time               { return c.At(time.Now()) }
func (c *fakeClock) At(local time.Time) time.Time { return local.Add(time.Duration(c.offset.Load())) }
func (c *fakeClock) Skewed() bool                 { return c.skewed.Load() }

// fakeStore holds devices; err makes it fail, hang makes it wait for the end of the context.
type fakeStore struct {
	mu      sync.Mutex
	devices map[int64]device.Device
	saved   []device.Poll
	err     error
	hang    bool
	asked   int
}

func (s *fakeStore) PollTarget(ctx context.Context, id int64) (device.Device, []device.Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.hang {
		<-ctx.Done()
		return device.Device{}, nil, ctx.Err()
	}
	if s.err != nil {
		return device.Device{}, nil, s.err
	}
	d, known := s.devices[id]
	if !known {
		return d, nil, store.ErrNotFound
	}
	return d, []device.Port{{ID: 1, DeviceID: id}}, nil
}

func (s *fakeStore) SavePoll(_ context.Context, p device.Poll) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.saved = append(s.saved, p)
	}
	return s.err
}

// fakeJournal accepts entries, unless results say otherwise.
type fakeJournal struct {
	mu      sync.Mutex
	last    map[int64]journal.Last
	entries []journal.Entry
	results []journal.Result // of the next appends
	errs    []error          // of the next appends
	away    bool
}

func (j *fakeJournal) Append(_ context.Context, e journal.Entry) (journal.Result, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return "", errors.New("Redis is away")
	}
	if len(j.errs) > 0 {
		err := j.errs[0]
		j.errs = j.errs[1:]
		if err != nil {
			return "", err
		}
	}
	if len(j.results) > 0 {
		result := j.results[0]
		j.results = j.results[1:]
		return result, nil
	}
	j.entries = append(j.entries, e)
	j.last[e.DeviceID] = journal.Last{Slot: e.Slot, Outcome: e.Outcome, SampleAt: newestSample(e)}
	return journal.Accepted, nil
}

func (j *fakeJournal) Last(_ context.Context, ids []int64) ([]journal.Last, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return nil, errors.New("Redis is away")
	}
	lasts := make([]journal.Last, len(ids))
	for i, id := range ids {
		lasts[i] = j.last[id]
	}
	return lasts, nil
}

func (j *fakeJournal) appended() []journal.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// fakeLeases hands out every lease unless busy; meanwhile runs while a busy one is waited for.
type fakeLeases struct {
	mu        sync.Mutex
	busy      bool
	err       error
	meanwhile func()
	ttl       time.Duration
	until     time.Time
	held      int
}

func (l *fakeLeases) Acquire(_ context.Context, _ int64, ttl time.Duration, until time.Time) (func(), bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ttl, l.until = ttl, until
	if l.meanwhile != nil {
		l.meanwhile()
	}
	if l.busy || l.err != nil {
		return func() {}, false, l.err
	}
	l.held++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held--
	}, true, nil
}

// fakeSession answers the first request with no value, which counts as up, and
// has an empty port table. It counts how many sessions are in a request.
type fakeSession struct {
	probe func(ctx context.Context) error // nil answers at once
	get   func(ctx context.Context) error
	stats *sessionStats
}

type sessionStats struct {
	mu           sync.Mutex
	polls        map[int64]int // by device
	running, top int
	closed       int
}

func (s fakeSession) Probe(ctx context.Context, oid snmp.OID, _ int, _ time.Duration) (snmp.Variable, error) {
	v := snmp.Variable{OID: oid, At: time.Now()}
	if s.probe == nil {
		return v, nil
	}
	return v, s.probe(ctx)
}

func (s fakeSession) Get(ctx context.Context, _ ...snmp.OID) ([]snmp.Variable, error) {
	if s.get == nil {
		return nil, nil
	}
	return nil, s.get(ctx)
}

func (s fakeSession) Table(ctx context.Context, _ snmp.TableRequest, _ func(snmp.Cell)) error {
	return ctx.Err()
}

func (s fakeSession) Close() error {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	s.stats.running--
	s.stats.closed++
	return nil
}

// rig is a consumer with fakes around it.
type rig struct {
	*Consumer
	clock    *fakeClock
	store    *fakeStore
	journal  *fakeJournal
	leases   *fakeLeases
	stats    *sessionStats
	session  atomic.Pointer[fakeSession]
	dialErr  atomic.Pointer[error]
	groups   atomic.Pointer[[]int64]
	values   atomic.Pointer[settings.Values]
	registry *prometheus.Registry
}

// newRig makes a consumer of group 0 that knows device 1 to 50, at an interval of interval seconds.
func newRig(t *testing.T, interval int, client redis.UniversalClient) *rig {
	t.Helper()
	r := &rig{
		clock: &fakeClock{}, store: &fakeStore{devices: map[int64]device.Device{}}, leases: &fakeLeases{},
		journal: &fakeJournal{last: map[int64]journal.Last{}}, registry: prometheus.NewRegistry(),
		stats: &sessionStats{polls: map[int64]int{}},
	}
	for id := range int64(50) {
		r.store.devices[id+1] = device.Device{
			ID: id + 1, Hostname: "sw", Address: "127.0.0.1", Port: uint16(id + 1), Interval: interval, Status: device.StatusUp, Retries: -1, RRDDir: "sw",
			Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
		}
	}
	r.session.Store(&fakeSession{stats: r.stats})
	r.groups.Store(&[]int64{0})
	r.set(settings.KeyPollerWorkers, "10")
	c, err := New(Config{NodeID: "node1", Groups: func() []int64 { return *r.groups.Load() }}, Deps{
		Store: r.store, Journal: r.journal, Leases: r.leases, Clock: r.clock, Redis: client, Dial: r.dial,
		Settings: func() settings.Values { return *r.values.Load() }, Registerer: r.registry,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Consumer = c
	t.Cleanup(c.interrupt)
	return r
}

func (r *rig) set(key, value string) {
	values := settings.NewValues(map[string]string{key: value})
	r.values.Store(&values)
}

func (r *rig) dial(_ context.Context, target snmp.Target) (Session, error) {
	if err := r.dialErr.Load(); err != nil {
		return nil, *err
	}
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	r.stats.polls[int64(target.Port)]++
	r.stats.running++
	r.stats.top = max(r.stats.top, r.stats.running)
	return *r.session.Load(), nil
}

// polls is how often a device was asked.
func (r *rig) polls(id int64) int {
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	return r.stats.polls[id]
}

// turn is the current slot of a device with an interval.
func (r *rig) turn(id int64, interval int) *turn {
	now := r.clock.Now().Unix()
	return &turn{Poll: tasks.Poll{DeviceID: id, Slot: now, Interval: interval}}
}

// handle carries out one task as asynq would, without asynq.
func (r *rig) handle(t *turn) error { return r.settle(t, r.carryOut(t)) }

// metric returns the value of a counter or gauge, the number of observations of a histogram, -1 for none.
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
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

// outcomes are the counted outcomes of group 0 that are not zero.
func (r *rig) outcomes(t *testing.T) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for _, outcome := range outcomes {
		if n := r.metric(t, "pollux_polls_total", "group=0", "result="+string(outcome)); n > 0 {
			found[string(outcome)] = n
		}
	}
	return found
}

// connect is a client of a real Redis.
func connect(t *testing.T, server *polluxtest.Server) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: server.Address, ContextTimeoutEnabled: true, ReadTimeout: time.Second, WriteTimeout: time.Second, DialTimeout: time.Second, MaxRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// enqueue puts a turn into the queue of a group.
func enqueue(t *testing.T, client redis.UniversalClient, group int64, p tasks.Poll) {
	t.Helper()
	task, err := p.Task(group)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asynq.NewClientFromRedisClient(client).Enqueue(task); err != nil {
		t.Fatal(err)
	}
}

// start runs the consumer until the test ends or stop is called.
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
		case <-time.After(45 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}
