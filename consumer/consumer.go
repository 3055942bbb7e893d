// Package consumer takes the tasks of this node's poller groups and carries
// them out: it polls devices and hands what was measured to the journal and
// what was found to the store.
//
// It must not decide what is due, must not write RRD files, and must not lose
// a measurement because the database is away. What a device does wrong is a
// result; a task fails only when the infrastructure does.
package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/ops"
	"pollux/ping"
	"pollux/poller"
	"pollux/poller/definitions"
	"pollux/settings"
	"pollux/snmp"
)

// Store is what a poll needs of the inventory.
type Store interface {
	// PollTarget reads a device and all its ports; store.ErrNotFound when there is no such device.
	PollTarget(ctx context.Context, id int64) (device.Device, []device.Port, error)
	// Components lists the components of a device.
	Components(ctx context.Context, deviceID int64) ([]device.Component, error)
	// Outages lists the latest outages of a device, ordered by their begin.
	Outages(ctx context.Context, deviceID int64) ([]device.Outage, error)
	// SavePoll keeps what a poll found, unless a newer poll was saved.
	SavePoll(ctx context.Context, poll device.Poll) error
	// SharedAgents lists the SNMP agents, "host:port" in lower case, that more than one device asks.
	SharedAgents(ctx context.Context) ([]string, error)
}

// Journal is the ordered log of measurements.
type Journal interface {
	// AppendOn appends to the Redis with this run_id, "" for any; on another one it is journal.ErrServer.
	AppendOn(ctx context.Context, server string, entry journal.Entry) (journal.Result, error)
	// AppendAgain appends although the slot may be finished.
	AppendAgain(ctx context.Context, entry journal.Entry) (journal.Result, error)
	// LastOn tells the last finished slots of devices, in their order, from that Redis.
	LastOn(ctx context.Context, server string, ids []int64) ([]journal.Last, error)
}

// DeviceLeases keep two nodes from reading one device at a time. Acquire waits
// for a lease that is held, at most one ttl and not past the local time until;
// then ok is false. It is renewed until then. release is never nil.
type DeviceLeases interface {
	Acquire(ctx context.Context, deviceID int64, ttl time.Duration, until time.Time) (release func(), ok bool, err error)
}

// Clock is the clock of Redis. At converts a local time to it.
type Clock interface {
	Now() time.Time
	At(local time.Time) time.Time
	Skewed() bool
}

// Session is a conversation with one agent.
type Session interface {
	poller.Session
	Close() error
}

// Config is the consumer's own configuration.
type Config struct {
	NodeID string         // noted with what this node polls
	Groups func() []int64 // poller groups of this node, asked every few seconds; none means that it takes nothing

	Workers func() int // workers of this node alone; 0, or nil, leaves it to the settings
}

// Pinger asks addresses by ICMP; *ping.Pinger is one.
type Pinger interface {
	Mode() ping.Mode
	Echo(ctx context.Context, address netip.Addr, e ping.Echo) (ping.Result, error)
}

// Deps are what a consumer works with. All are needed but Dial, Resolve, Pinger, JournalID, Discovering, Definitions and Billing.
type Deps struct {
	Store      Store
	Journal    Journal
	Leases     DeviceLeases
	Agents     Agents
	Clock      Clock
	Redis      redis.UniversalClient // of the queues
	Settings   func() settings.Values
	JournalID  func(ctx context.Context) (string, error)                             // which Redis answers for the journal (its run_id); nil means that it never changes
	Dial       func(ctx context.Context, t snmp.Target) (Session, error)             // nil means snmp.Dial, counted in the metrics
	Resolve    func(ctx context.Context, transport, host string) (netip.Addr, error) // nil means snmp.Resolve
	Pinger     Pinger                                                                // nil means what ping.Detect finds
	Registerer prometheus.Registerer
	Log        *slog.Logger

	Discovering *Discovering     // nil: this node discovers no devices
	Definitions *definitions.Set // say which modules of polls an OS goes without, and which rows are no ports; nil: as if there were no OS
	Billing     *Billing         // nil: this node carries out no tasks of billing
}

// Consumer runs the polls of one node.
type Consumer struct {
	config    Config
	deps      Deps
	log       *slog.Logger
	bridge    *bridge
	metrics   *metrics
	inventory *inventory
	recent    *recent
	sight     *sight // of the journal's Redis
	workers   *gate  // polls that run
	probes    *gate  // polls of them that ask a device which was down
	shared    *shared
	work      *tally     // what this node polled, for lists of nodes
	failures  ops.Seldom // of tasks, in the log; each kind of trouble has its own
	refusals  ops.Seldom // of entries, by the journal
	futures   ops.Seldom // samples that are ahead of the journal's clock
	panics    ops.Seldom
	secrets   ops.Seldom // of devices, that do not open
	blind     ops.Seldom // devices that are asked by ICMP only, which this node may not send

	discoveryFailures ops.Seldom
	discovered        *tally // what this node discovered, for lists of nodes

	biller   *biller
	holding  atomic.Bool // this node serves the queue billing
	unbilled ops.Seldom  // devices whose billed ports cannot be read from the database

	handling  atomic.Int64 // tasks in the hands of this node
	retiring  atomic.Int64 // servers that were replaced and still finish
	served    atomic.Pointer[[]int64]
	draining  context.Context    // ended: nothing new is begun
	drain     context.CancelFunc // ends draining
	reading   context.Context    // ended: polls that still run are interrupted; draining has ended before
	interrupt context.CancelFunc // ends reading
}

// New returns a consumer that does nothing until Run. It fails when its metrics are registered already.
func New(c Config, d Deps) (*Consumer, error) {
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register the consumer's metrics: %w", err)
	}
	if d.Dial == nil {
		keys := snmp.NewKeyCache()
		d.Dial = func(ctx context.Context, t snmp.Target) (Session, error) {
			t.Keys = keys
			return snmp.Dial(ctx, t, m.observeRequest)
		}
	}
	if d.Resolve == nil {
		d.Resolve = snmp.Resolve
	}
	if d.Pinger == nil {
		d.Pinger = ping.Detect()
	}
	consumer := &Consumer{
		config: c, deps: d, log: d.Log, bridge: newBridge(d.Log), metrics: m,
		inventory: newInventory(d.Store, m, d.Log), recent: &recent{}, sight: newSight(),
		workers: &gate{}, probes: &gate{}, shared: &shared{},
		work: &tally{kind: kindPoller}, discovered: &tally{kind: kindDiscovery},
	}
	consumer.biller = newBiller(consumer)
	consumer.served.Store(&[]int64{})
	consumer.draining, consumer.drain = context.WithCancel(context.Background())
	consumer.reading, consumer.interrupt = context.WithCancel(context.Background())
	now := d.Clock.Now()
	consumer.work.begin(now)
	consumer.discovered.begin(now)
	consumer.resize()
	return consumer, nil
}

// resize takes over the number of workers from the node's own, else from the
// settings: all of them may poll, a fifth may ask devices that were down.
func (c *Consumer) resize() int {
	workers := max(c.deps.Settings().Int(settings.KeyPollerWorkers), 1)
	if c.config.Workers != nil {
		if own := c.config.Workers(); own > 0 {
			workers = own
		}
	}
	now := c.deps.Clock.Now()
	c.work.resize(now, workers)
	c.discovered.resize(now, c.discoverers())
	c.workers.resize(workers)
	c.probes.resize(max(workers/probeShare, 1))
	c.metrics.workers.WithLabelValues(kindPoller).Set(float64(workers))
	return workers
}
