package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/billing"
	"pollux/cluster"
	"pollux/device"
	"pollux/store"
	"pollux/tasks"
)

// ErrNoQueue says that a queue of that name neither exists nor belongs to a poller group.
var ErrNoQueue = errors.New("no such queue")

// Eventlog writes events and lists them, the newest first.
type Eventlog interface {
	EventWriter
	Events(ctx context.Context, f store.EventFilter) ([]device.Event, error)
}

// BilledPorts tell what of devices is billed.
type BilledPorts interface {
	BilledDevices
	// BilledPorts lists the ports of a device that are in bills.
	BilledPorts(ctx context.Context, deviceID int64) ([]billing.Port, error)
}

// DeskDeps are what a desk works with. All are needed but Billed.
type DeskDeps struct {
	Store   Store
	Events  Eventlog
	Journal Journal
	Redis   redis.UniversalClient // of the queues

	Distributed bool // the setting distributed_poller

	Billed             BilledPorts // nil: it says nothing of billing
	DistributedBilling bool        // the setting distributed_billing
	CollectInterval    int         // the setting service_billing_frequency, in seconds
}

// Desk is where people ask about queues and coverage, pause queues, and clear them of what failed. It
// needs no producer that runs: whatever it says it has just read.
type Desk struct {
	deps      DeskDeps
	inspector *asynq.Inspector
}

// NewDesk opens a desk.
func NewDesk(d DeskDeps) *Desk {
	desk := &Desk{deps: d}
	if d.Redis != nil {
		desk.inspector = asynq.NewInspectorFromRedisClient(d.Redis)
	}
	return desk
}

// QueueState is one queue for people.
type QueueState struct {
	Name        string
	Group       int64 // -1 when it belongs to none
	GroupName   string
	Paused      bool
	PausedSince time.Time // zero when it is not known

	Pending, Active, Retry, Scheduled, Archived, Completed int

	Latency time.Duration // how long the oldest pending task waits
	Devices int           // that are to be polled, of its poller group
	Nodes   []string      // NODE_IDs of the live nodes that take its tasks
	Drained []string      // of those that would, but are drained
	Skewed  []string      // of those that would, but their clock differs too much from that of Redis
	Note    string        // what is wrong with it, "" for nothing
}

// view is what a desk reads before it says anything.
type view struct {
	now      time.Time // of Redis
	schedule *Schedule
	groups   []device.Group
	names    map[int64]string
	service  service
	collects *collects
	billing  cluster.Holder // of the lease of billing
}

func (d *Desk) view(ctx context.Context) (view, error) {
	v, err := d.inventory(ctx)
	if err != nil {
		return v, err
	}
	return v, d.look(ctx, &v)
}

// inventory reads the part of a view that the database holds.
func (d *Desk) inventory(ctx context.Context) (v view, err error) {
	devices, err := d.deps.Store.Schedule(ctx)
	if err != nil {
		return v, err
	}
	v.schedule = NewSchedule(devices)
	err = d.groupsOf(ctx, &v)
	return v, err
}

// groupsOf reads the poller groups, and which devices have billed ports: what the names of the queues are made of.
func (d *Desk) groupsOf(ctx context.Context, v *view) (err error) {
	if v.groups, err = d.deps.Store.Groups(ctx); err != nil {
		return err
	}
	v.names = namesOf(v.groups)
	var billed []billing.Device
	if d.deps.Billed != nil {
		if billed, err = listBilled(ctx, d.deps.Billed); err != nil {
			return err
		}
	}
	v.collects = newCollects(billed, max(d.deps.CollectInterval, 1), d.deps.DistributedBilling)
	return nil
}

// look reads the part of a view that Redis holds.
func (d *Desk) look(ctx context.Context, v *view) (err error) {
	if v.now, err = d.deps.Redis.Time(ctx).Result(); err != nil {
		return fmt.Errorf("ask Redis for its time: %w", err)
	}
	nodes, err := cluster.List(ctx, d.deps.Redis)
	if err != nil {
		return err
	}
	var rows []device.Node
	if slices.ContainsFunc(nodes, idle) {
		if rows, err = d.deps.Store.Nodes(ctx); err != nil {
			return err
		}
	}
	var all []int64
	if !d.deps.Distributed {
		all = slices.Collect(maps.Keys(v.names))
	}
	v.service = serviceOf(nodes, rows, all)
	holder, err := cluster.NewLease(d.deps.Redis, cluster.BillingKey, "", 0).Holder(ctx)
	v.billing = cluster.ParseHolder(holder)
	return err
}

// Queues lists the queues that exist and those of the poller groups, in the order of their names.
func (d *Desk) Queues(ctx context.Context) ([]QueueState, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	names, err := d.queueNames(v)
	if err != nil {
		return nil, err
	}
	list := make([]QueueState, 0, len(names))
	for _, name := range names {
		q, err := d.read(ctx, name)
		if err != nil {
			return nil, err
		}
		list = append(list, v.state(q))
	}
	return list, nil
}

// queueNames are the queues in Redis that are ours, those of the poller groups, and those of devices with billed ports.
func (d *Desk) queueNames(v view) ([]string, error) {
	there, err := d.inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	names := slices.DeleteFunc(there, func(name string) bool { return !tasks.ValidQueue(name) })
	for _, g := range v.groups {
		names = append(names, tasks.Queue(tasks.KindPoller, g.ID))
	}
	for group := range v.collects.sizes {
		names = append(names, tasks.CollectQueue(v.collects.distributed, group))
	}
	slices.SortFunc(names, compareQueues)
	names = slices.Compact(names)
	return names[:min(len(names), maxQueues)], nil
}

// compareQueues orders by kind, then by the number of the group.
func compareQueues(a, b string) int {
	kindA, groupA, _ := strings.Cut(a, ":")
	kindB, groupB, _ := strings.Cut(b, ":")
	if kindA != kindB {
		return strings.Compare(kindA, kindB)
	}
	if len(groupA) != len(groupB) {
		return len(groupA) - len(groupB)
	}
	return strings.Compare(groupA, groupB)
}

// read reads a queue. One that never had a task is empty, and may be paused all the same.
func (d *Desk) read(ctx context.Context, name string) (queueLook, error) {
	q, err := readQueue(ctx, d.inspector, d.deps.Redis, name)
	if !errors.Is(err, asynq.ErrQueueNotFound) {
		return q, err
	}
	there, err := d.deps.Redis.Exists(ctx, pausedKey(name)).Result()
	if err != nil {
		return queueLook{}, fmt.Errorf("read queue %s: %w", name, err)
	}
	q = queueLook{QueueInfo: &asynq.QueueInfo{Queue: name, Paused: there > 0}}
	if q.Paused {
		q.PausedSince, err = pausedSince(ctx, d.deps.Redis, name)
	}
	return q, err
}

// state says what a queue means in the cluster.
func (v view) state(q queueLook) QueueState {
	kind, group := tasks.SplitQueue(q.Queue)
	s := QueueState{
		Name: q.Queue, Group: group, GroupName: v.names[group], Paused: q.Paused, PausedSince: q.PausedSince,
		Pending: q.Pending, Active: q.Active, Retry: q.Retry, Scheduled: q.Scheduled, Archived: q.Archived, Completed: q.Completed,
		Latency: q.Latency, Nodes: v.service.of(q.Queue),
	}
	if kind == tasks.KindPoller || kind == tasks.KindDiscovery {
		s.Devices, s.Drained, s.Skewed = v.schedule.Groups()[group], v.service.drained[group], v.service.skewed[group]
	}
	if kind == tasks.KindBilling || q.Queue == tasks.BillingQueue {
		v.ofBilling(&s, kind)
	}
	s.Note = v.note(s, kind)
	return s
}

// ofBilling fills in whose readings come through a queue of billing, and who takes them.
func (v view) ofBilling(s *QueueState, kind string) {
	if (kind == tasks.KindBilling) == v.collects.distributed {
		s.Devices = v.collects.inQueue(s.Name)
	}
	if kind == tasks.KindBilling {
		s.Drained, s.Skewed = v.service.drained[s.Group], v.service.skewed[s.Group]
		return
	}
	s.Nodes = nil
	if v.billing.Token != "" {
		s.Nodes = []string{v.billing.Name}
	}
}

// note is the first thing that is wrong with a queue.
func (v view) note(s QueueState, kind string) string {
	_, exists := v.names[s.Group]
	held := s.Pending + s.Active + s.Retry + s.Scheduled
	limit := fullFactor * max(s.Devices, 1)
	switch {
	case s.Group >= 0 && !exists:
		return "no such group: the queue is removed " + minutes(goneAfter) + " after it was noticed"
	case len(s.Nodes) == 0 && len(s.Drained) > 0 && s.Devices+held > 0:
		return "every node that serves it is drained"
	case len(s.Nodes) == 0 && len(s.Skewed) > 0 && s.Devices+held > 0:
		return "the clock of every node that serves it is skewed"
	case len(s.Nodes) == 0 && s.Devices+held > 0:
		return "no node serves it"
	case s.Archived > 0:
		return "tasks failed; see the log of the consumers, then pollux queue clear"
	case kind == tasks.KindPoller && s.Pending >= limit:
		return "full: its slots are skipped until nodes take tasks"
	case s.Devices > 0 && kind != tasks.KindPoller && kind != tasks.KindDiscovery && s.Pending >= limit:
		return "full: its readings are skipped until nodes take tasks"
	}
	return ""
}

func minutes(d time.Duration) string { return fmt.Sprintf("%d minutes", int(d.Minutes())) }
