package consumer

import (
	"context"
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
	"pollux/ping"
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
	_ Agents       = (*cluster.Agents)(nil)
	_ Store        = (*store.Store)(nil)
	_ Session      = (*snmp.Session)(nil)
	_ Pinger       = (*ping.Pinger)(nil)
)

// rig is a consumer with fakes around it.
type rig struct {
	*Consumer
	clock    *fakeClock
	store    *fakeStore
	journal  *fakeJournal
	leases   *fakeLeases
	agents   *fakeAgents
	pinger   *fakePinger
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
		clock: &fakeClock{}, store: &fakeStore{devices: map[int64]device.Device{}}, leases: &fakeLeases{}, agents: &fakeAgents{}, pinger: &fakePinger{mode: ping.Raw},
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
		Store: r.store, Journal: r.journal, Leases: r.leases, Agents: r.agents, Clock: r.clock, Redis: client, Dial: r.dial, Pinger: r.pinger,
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
		case <-time.After(2 * time.Minute):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}
