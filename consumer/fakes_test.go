package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/ping"
	"pollux/snmp"
	"pollux/store"
)

// fakeClock is the local clock, moved by an offset.
type fakeClock struct {
	offset atomic.Int64
	skewed atomic.Bool
}

func (c *fakeClock) Now() time.Time { return c.At(time.Now()) }

func (c *fakeClock) At(local time.Time) time.Time { return local.Add(time.Duration(c.offset.Load())) }

func (c *fakeClock) Skewed() bool { return c.skewed.Load() }

// fakeStore holds devices; err makes it fail, hang makes it wait for the end of the context.
type fakeStore struct {
	mu      sync.Mutex
	devices map[int64]device.Device
	saved   []device.Poll
	err     error
	hang    bool
	asked   int
	agents  []string // that are shared

	components []device.Component // of every device

	outages      []device.Outage // of every device
	outagesAsked int
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

func (s *fakeStore) Components(context.Context, int64) ([]device.Component, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.components, s.err
}

func (s *fakeStore) Outages(context.Context, int64) ([]device.Outage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outagesAsked++
	return s.outages, s.err
}

func (s *fakeStore) SavePoll(_ context.Context, p device.Poll) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.saved = append(s.saved, p)
	}
	return s.err
}

func (s *fakeStore) SharedAgents(context.Context) ([]string, error) { return s.agents, s.err }

// fakeAgents has so many places.
type fakeAgents struct {
	mu     sync.Mutex
	places int
	inside int
	asked  []string
}

func (a *fakeAgents) Enter(_ context.Context, agent string, limit int, _, _ time.Duration) (func(), bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, agent)
	if a.inside >= min(limit, a.places) {
		return func() {}, false, nil
	}
	a.inside++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.inside--
	}, true, nil
}

// fakeJournal accepts entries that are newer than the last one of their device, unless results say otherwise.
type fakeJournal struct {
	mu      sync.Mutex
	last    map[int64]journal.Last
	entries []journal.Entry
	results []journal.Result // of the next appends
	errs    []error          // of the next appends
	away    bool
	lost    int    // entries of the next ones that are accepted, and the answer is lost
	again   int    // entries that were appended although their slot may be finished
	server  string // who answers; "" for whoever is asked for
}

func (j *fakeJournal) AppendOn(ctx context.Context, server string, e journal.Entry) (journal.Result, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return "", errors.New("Redis is away")
	}
	if server != "" && j.server != "" && server != j.server {
		return "", journal.ErrServer
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
	last := j.last[e.DeviceID]
	if newest := newestSample(e); last.State(e.Slot) != journal.SlotUnfinished || e.Slot < last.Slot || !newest.IsZero() && newest.Before(last.SampleAt.Add(time.Second)) {
		return journal.Stale, nil
	}
	j.entries = append(j.entries, e)
	j.last[e.DeviceID] = journal.Last{Slot: e.Slot, Outcome: e.Outcome, SampleAt: newestSample(e)}
	if j.lost > 0 {
		j.lost--
		return "", errors.New("the connection broke")
	}
	return journal.Accepted, nil
}

func (j *fakeJournal) AppendAgain(ctx context.Context, e journal.Entry) (journal.Result, error) {
	j.mu.Lock()
	j.again++
	j.mu.Unlock()
	return j.AppendOn(ctx, "", e)
}

func (j *fakeJournal) LastOn(_ context.Context, server string, ids []int64) ([]journal.Last, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return nil, errors.New("Redis is away")
	}
	if server != "" && j.server != "" && server != j.server {
		return nil, journal.ErrServer
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
	asked     int
}

func (l *fakeLeases) Acquire(_ context.Context, _ int64, ttl time.Duration, until time.Time) (func(), bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ttl, l.until = ttl, until
	l.asked++
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

func (s fakeSession) Greet(context.Context, int, time.Duration, ...snmp.OID) ([]snmp.Variable, error) {
	return nil, snmp.ErrUnexpected // the first request is that of Probe
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

// fakePinger answers what err says, in a mode.
type fakePinger struct {
	mu    sync.Mutex
	mode  ping.Mode
	err   error
	asked []string      // "address count interval timeout"
	wait  time.Duration // before it answers
}

func (p *fakePinger) Mode() ping.Mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

func (p *fakePinger) Echo(ctx context.Context, address netip.Addr, e ping.Echo) (ping.Result, error) {
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprintf("%s %d %v %v", address, e.Count, e.Interval, e.Timeout))
	wait, err := p.wait, p.err
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-ctx.Done():
			return ping.Result{Sent: 1}, ctx.Err()
		case <-time.After(wait):
		}
	}
	if err != nil {
		return ping.Result{Sent: e.Count}, err
	}
	return ping.Result{Sent: e.Count, Received: 2, Min: time.Millisecond, Avg: 2 * time.Millisecond, Max: 3 * time.Millisecond}, nil
}
