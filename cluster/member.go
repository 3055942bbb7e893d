package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"pollux/device"
)

const (
	stateEvery = time.Second     // between two looks at the own state
	leaveLimit = 3 * time.Second // of the last report of a process that ends
)

// Rows is where nodes stand for longer than they live: operators leave their orders there.
type Rows interface {
	// SaveNode writes what the process says of itself.
	SaveNode(ctx context.Context, n device.Node) error
	// NodeOrders reads what operators want; none for a node without a row.
	NodeOrders(ctx context.Context, role, nodeID string) (device.Orders, error)
	AddNodeHistory(ctx context.Context, windows []device.NodeHistory) error
}

// Activity is what the role of a member does at the moment. Each function may be nil.
type Activity struct {
	Served   func() []int64                    // poller groups whose tasks it takes
	Idle     func() bool                       // it takes nothing and has nothing in hand; nil means always
	Stopping func() bool                       // the process was told to end
	Leading  func() bool                       // it leads the producers
	Work     func(end time.Time) []device.Work // what it did in the five minutes before end
}

// MemberConfig is what a process is in one role. Groups and Status of Info are filled in.
type MemberConfig struct {
	Info   NodeInfo
	Serves bool    // the role serves poller groups
	Own    []int64 // DISTRIBUTED_POLLER_GROUP of its own .env; nil when missing
}

// MemberDeps are what a member works with. All are needed.
type MemberDeps struct {
	Client      redis.UniversalClient
	Rows        Rows
	Groups      func(ctx context.Context) ([]device.Group, error) // all poller groups
	Distributed func() bool                                       // poller groups are on
	Clock       *Clock
	Log         *slog.Logger
}

// Member is this process in one role of the cluster: it keeps the node's entry
// and row, follows what operators order, and writes the node's history.
type Member struct {
	config   MemberConfig
	deps     MemberDeps
	registry *Registry
	log      *slog.Logger

	orders   atomic.Pointer[device.Orders] // the last that could be read
	known    atomic.Pointer[[]int64]       // ids of all poller groups
	activity atomic.Pointer[Activity]

	pace    pace
	warned  map[int64]bool       // groups of the .env that were warned about
	history []device.NodeHistory // windows that the database does not have yet
	failing bool                 // the last report did not reach the database
}

// pace is how often a member does what.
type pace struct {
	orders time.Duration // between two readings of its orders
	state  time.Duration // between two looks at its own state
	row    time.Duration // between two reports, give or take a sixth, so that nodes which start together do not write together
	window time.Duration // of the history
}

// NewMember prepares a member; it does nothing until Join. A malformed role or NODE_ID is ErrNodeID.
func NewMember(c MemberConfig, d MemberDeps) (*Member, error) {
	m := &Member{config: c, deps: d, log: d.Log, warned: map[int64]bool{}, pace: pace{ordersEvery, stateEvery, rowEvery, historyEvery}}
	m.orders.Store(&device.Orders{})
	m.known.Store(&[]int64{})
	m.activity.Store(&Activity{})
	c.Info.Groups, c.Info.Status = nil, m.status
	if c.Serves {
		c.Info.Groups = m.served
	}
	registry, err := NewRegistry(d.Client, c.Info, d.Log)
	if err != nil {
		return nil, err
	}
	m.registry = registry
	return m, nil
}

// Join takes the NODE_ID, reads the orders and writes the node's row. Errors:
// ErrTaken when another live process holds the NODE_ID, and those of Redis and the database.
func (m *Member) Join(ctx context.Context) error {
	if err := m.registry.Register(ctx); err != nil {
		return err
	}
	err := m.load(ctx)
	if err == nil {
		err = m.deps.Rows.SaveNode(ctx, m.row())
	}
	if err != nil {
		m.registry.deregister(ctx)
		return err
	}
	m.log.Info("registered", "node_id", m.NodeID(), "role", m.config.Info.Role)
	return nil
}

// NodeID is the node's name; after Join never AutoID.
func (m *Member) NodeID() string { return m.registry.NodeID() }

// Role is the role that the member was made with.
func (m *Member) Role() string { return m.config.Info.Role }

// Attach tells the member what its role does, from when on it does something.
func (m *Member) Attach(a Activity) { m.activity.Store(&a) }

// State is how the node works now.
func (m *Member) State() device.NodeState {
	a := m.activity.Load()
	switch {
	case m.Draining() && (a.Idle == nil || a.Idle()):
		return device.NodeDrained
	case m.Draining(), a.Stopping != nil && a.Stopping():
		return device.NodeDraining
	case m.deps.Clock.Skewed():
		return device.NodeSkewed
	default:
		return device.NodeActive
	}
}

// served are the poller groups whose tasks the role takes; never nil, which would be a role without groups.
func (m *Member) served() []int64 {
	if a := m.activity.Load(); a.Served != nil {
		return append([]int64{}, a.Served()...)
	}
	return []int64{}
}

func (m *Member) status() Status {
	a := m.activity.Load()
	s := Status{State: m.State(), Leader: a.Leading != nil && a.Leading()}
	if a.Work != nil {
		s.Work = a.Work(m.deps.Clock.Now())
	}
	return s
}

// Run keeps the node's entry, row and history, and follows its orders, until
// ctx ends; then it leaves the cluster. When another process has taken the
// NODE_ID meanwhile, Run ends with ErrTaken.
func (m *Member) Run(ctx context.Context) error {
	group, working := errgroup.WithContext(ctx)
	for _, work := range []func(context.Context) error{m.registry.Run, m.obey, m.watchState, m.report} {
		group.Go(func() error { return work(working) })
	}
	err := group.Wait()
	if errors.Is(err, ErrTaken) {
		return err // the row is the other one's
	}
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer stop()
	row := m.row()
	row.State = device.NodeStopped
	if saveErr := m.deps.Rows.SaveNode(limit, row); saveErr != nil {
		m.log.Warn("the node's row does not say that it stopped", "node_id", m.NodeID(), "err", saveErr)
	}
	return err
}

// watchState says when the node begins to drain, has drained, and takes work again, and has a new state shown at once.
func (m *Member) watchState(ctx context.Context) error {
	tick := time.NewTicker(m.pace.state)
	defer tick.Stop()
	state, served := m.State(), m.served()
	m.registry.Refresh() // the entry was made before the role did anything
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, groups := m.State(), m.served()
		if now == state && slices.Equal(groups, served) {
			continue
		}
		if now != state {
			m.logState(now)
		}
		state, served = now, groups
		m.registry.Refresh()
	}
}

func (m *Member) logState(state device.NodeState) {
	at := m.log.With("node_id", m.NodeID(), "role", m.config.Info.Role)
	switch state {
	case device.NodeDraining:
		at.Info("this node drains: it finishes what it has")
	case device.NodeDrained:
		at.Info("this node is drained: it has nothing in hand and takes nothing until it is undrained")
	case device.NodeActive:
		at.Info("this node takes work")
	default: // the clock says itself when it is skewed
	}
}
