// Package producer decides which device is due and puts its poll into the
// queue of its poller group, once per slot. Of all producers one leads: it
// offers, counts missed slots, watches the queues and runs the housekeeping.
//
// It must not poll, must not keep a backlog (a device's current slot is all
// that is ever offered), and must not rely on leading alone: two leaders at
// once are harmless, because the slot stands in the id of the task.
package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/settings"
)

// LeaderTTL is how long the leader's lease lasts without being renewed; it is renewed four times in it.
const LeaderTTL = 12 * time.Second

const (
	tryEvery       = time.Second
	leaseMargin    = 2 * time.Second  // below this remainder of the lease no batch begins
	refreshLeading = 5 * time.Second  // of the schedule, while leading
	refreshStandby = 30 * time.Second // of the schedule, while another leads
	readLimit      = 30 * time.Second // of one reading of the schedule
	restFactor     = 20               // times what a reading took passes before the next one
	longestRest    = time.Minute      // but not more: a database that hung may be well again
	healthEvery    = 3 * time.Second  // of Redis' memory and identity
	resendAfter    = 3 * time.Second  // between a change of the Redis master and offering again: the journal's appends land first
	observeEvery   = 15 * time.Second // of the queues
	purgeEvery     = time.Hour
	purgeLimit     = 5 * time.Minute
	defaultWorkers = 32
)

// Store is what the producer needs of the inventory.
type Store interface {
	// Schedule lists the devices that are to be polled.
	Schedule(ctx context.Context) ([]device.Scheduled, error)
	// Groups lists the poller groups that exist. The first is 0, General.
	Groups(ctx context.Context) ([]device.Group, error)
	// Nodes lists the nodes that were ever seen.
	Nodes(ctx context.Context) ([]device.Node, error)
}

// Purger removes what is older than a time and says how many rows that were.
type Purger interface {
	PurgeEvents(ctx context.Context, before time.Time) (int64, error)
	// PurgeOutages removes outages that were over then.
	PurgeOutages(ctx context.Context, before time.Time) (int64, error)
	PurgeNodeHistory(ctx context.Context, before time.Time) (int64, error)
	// PurgeVanished removes what devices had last before then: components, addresses, neighbours, VLANs.
	PurgeVanished(ctx context.Context, before time.Time) (int64, error)
}

// Nodes are the rows of all nodes, those that do not live too.
type Nodes interface {
	Nodes(ctx context.Context) ([]device.Node, error)
	// NoteNode writes an event about a node's presence, unless somebody else did, and says whether it did.
	NoteNode(ctx context.Context, n device.Node, to device.Presence, event device.Event) (bool, error)
}

// Journal tells which slots of a device were finished last. The answer has the length and order of ids.
type Journal interface {
	Last(ctx context.Context, ids []int64) ([]journal.Last, error)
}

// Clock is the clock of Redis. A node whose clock is skewed neither leads nor offers.
type Clock interface {
	Now() time.Time
	Skewed() bool
}

// Janitor keeps house in Redis until ctx ends; it runs on the leader only.
type Janitor interface {
	Run(ctx context.Context) error
}

// Config is the producer's own configuration.
type Config struct {
	NodeID  string // for the events that it writes
	Workers int    // tasks that are enqueued at the same time; 0 means 32
}

// Deps are what a producer works with. All are needed but Nodes, Draining, Removals, Tombs, Moves, Discoverables and Billed.
type Deps struct {
	Store    Store
	Purger   Purger
	Nodes    Nodes                 // nil: only live nodes are known, and none of their comings and goings is noted
	Draining func() bool           // true while an operator wants this producer to leave the leading to others
	Removals Removals              // nil: no tombstones are written
	Tombs    func(shard int) Tombs // of the log of a shard; nil: no tombstones are written
	Moves    Moves                 // nil: where removed devices belong is not forgotten
	// Discoverables are the devices that are to be discovered; nil: none is.
	Discoverables Discoverables
	Billed        Billed // nil: no tasks of billing are offered
	Events        EventWriter
	Journal       Journal
	Lease         *cluster.Lease // of cluster.LeaderKey, with LeaderTTL
	Clock         Clock
	Janitor       Janitor
	Redis         redis.UniversalClient // of the queues
	Settings      func() settings.Values
	Registerer    prometheus.Registerer
	Log           *slog.Logger
}

// Producer is one of the cluster's producers.
type Producer struct {
	config  Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	queues  *queues

	chronicle *chronicle

	schedule atomic.Pointer[Schedule]
	groups   atomic.Pointer[map[int64]string] // names of the poller groups; nil until they were read
	leading  atomic.Bool
	elected  chan struct{} // told when this producer begins to lead
}

// New returns a producer that does nothing until Run. It fails when its metrics are registered already.
func New(c Config, d Deps) (*Producer, error) {
	if c.Workers <= 0 {
		c.Workers = defaultWorkers
	}
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register the producer's metrics: %w", err)
	}
	log := spare(d.Log)
	return &Producer{
		config: c, deps: d, log: log, metrics: m,
		queues:    newQueues(d.Redis, m, log),
		chronicle: newChronicle(d.Events, m.eventsLost, log),
		elected:   make(chan struct{}, 1),
	}, nil
}

// Leading says whether this producer leads now.
func (p *Producer) Leading() bool { return p.leading.Load() }

// Run keeps the schedule and leads whenever the lease can be had, until ctx
// ends. It then gives the lease back.
func (p *Producer) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { p.keepSchedule(ctx) })
	running.Go(func() { p.chronicle.run(ctx) })
	// Without a schedule, with a skewed clock, or while it drains, leading is left to others.
	eligible := func() bool { return !p.deps.Clock.Skewed() && p.schedule.Load() != nil && !p.draining() }
	options := cluster.KeepOptions{Every: tryEvery, Eligible: eligible, Log: p.log}
	if err := cluster.Keep(ctx, p.deps.Lease, options, p.lead); err != nil {
		return fmt.Errorf("lead: %w", err)
	}
	return nil
}

func (p *Producer) draining() bool { return p.deps.Draining != nil && p.deps.Draining() }

// lead does the leader's work until ctx ends: with the lease, the trust in the clock, or the process.
func (p *Producer) lead(ctx context.Context) error {
	p.leading.Store(true)
	p.metrics.leader.Set(1)
	defer p.leading.Store(false)
	defer p.metrics.resign()
	select {
	case p.elected <- struct{}{}: // what a producer that does not lead has read may be half a minute old
	default:
	}
	t := newTerm(p)
	var running sync.WaitGroup
	for _, work := range []func(context.Context){t.offerEverySecond, t.watchRedis, t.countMissed, t.observe, t.watchNodes, t.purge, t.sweep, t.bury, t.discover, t.keepBilled, t.bill} {
		running.Go(func() { work(ctx) })
	}
	running.Wait()
	return nil
}

// mayOffer says whether the lease lasts long enough for one more batch.
func (p *Producer) mayOffer() bool {
	return time.Until(p.deps.Lease.Deadline()) > leaseMargin && !p.deps.Clock.Skewed()
}

// keepSchedule reads the schedule every few seconds until ctx ends. While the
// database is away the last one stays. A slow database is asked less often.
func (p *Producer) keepSchedule(ctx context.Context) {
	failing := false
	for {
		began := time.Now()
		err := p.refresh(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			p.log.Warn("the schedule cannot be read; the last one stays in force", "err", err)
		}
		failing = err != nil
		wait := refreshStandby
		if p.leading.Load() || p.schedule.Load() == nil {
			wait = refreshLeading
		}
		select {
		case <-ctx.Done():
			return
		case <-p.elected:
		case <-time.After(max(wait, min(restFactor*time.Since(began), longestRest))):
		}
	}
}

// refresh reads the schedule once.
func (p *Producer) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	devices, err := p.deps.Store.Schedule(ctx)
	if err != nil {
		return fmt.Errorf("read the schedule: %w", err)
	}
	schedule := follow(p.schedule.Load(), devices, p.deps.Clock.Now().Unix())
	for group := range schedule.Groups() { // before the schedule is there to lead with
		p.metrics.expose(group)
	}
	p.schedule.Store(schedule)
	groups, err := p.deps.Store.Groups(ctx)
	if err != nil {
		return fmt.Errorf("read the poller groups: %w", err)
	}
	names := namesOf(groups)
	for group := range names { // also those that have no devices yet
		p.metrics.expose(group)
	}
	p.groups.Store(&names)
	return nil
}

func namesOf(groups []device.Group) map[int64]string {
	names := make(map[int64]string, len(groups))
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	return names
}

// groupNames are the poller groups that exist; nil when that is not known.
// Group 0 always exists: a list without it is not to be believed.
func (p *Producer) groupNames() map[int64]string {
	names := p.groups.Load()
	if names == nil {
		return nil
	}
	if _, sound := (*names)[device.GeneralGroup]; !sound {
		return nil
	}
	return *names
}

// errStopBatch ends a batch of offers early; the slots that are left are offered again a second later.
var errStopBatch = errors.New("the batch was ended")
