package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/poller"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

// discoveryLimit bounds one discovery: less than its task's time, so that it ends by itself.
const discoveryLimit = (tasks.MaxDiscovery - 60) * time.Second

// discoverySave bounds how long the database may take to keep one.
const discoverySave = 30 * time.Second

// How discoveries end, beside the outcomes of a device.
const (
	discoverySkipped = "skipped" // its slot is over, or the device is removed, disabled, in another group or asked by ICMP only
	discoveryFailed  = "failed"  // the database did not answer, or the program failed
)

// Discoveries keeps what discoveries find.
type Discoveries interface {
	SaveDiscovery(ctx context.Context, d device.Discovery) error
}

// Discovering is what a consumer needs to discover devices.
type Discovering struct {
	Store Discoveries
}

// swapDiscovery brings the server of discoveries to a plan: one server for all
// groups, since nobody waits for a discovery.
func (c *Consumer) swapDiscovery(now *lane, wanted plan, retiring *sync.WaitGroup) (*lane, error) {
	if c.deps.Discovering == nil {
		return nil, nil
	}
	workers := c.discoverers()
	c.metrics.workers.WithLabelValues(kindDiscovery).Set(float64(workers))
	if now != nil && now.workers == workers && slices.Equal(now.groups, wanted.groups) {
		return now, nil
	}
	var next *lane
	if len(wanted.groups) > 0 {
		started, err := c.serveKind(tasks.KindDiscovery, wanted.groups, workers, discoveryLookEvery, c.HandleDiscover)
		if err != nil {
			return now, err
		}
		next = &lane{wanted.groups, workers, started}
	}
	if now != nil {
		c.retire(now.server, retiring)
	}
	return next, nil
}

// discoverers is how many discoveries may run at the same time.
func (c *Consumer) discoverers() int {
	return max(c.deps.Settings().Int(settings.KeyDiscoveryWorkers), 1)
}

// HandleDiscover carries out one discovery task: it reads what a device is and
// has, and keeps it. What the device or an operator did is no error. Nor is a
// database that is away: the device stays overdue, and the producer offers it again.
func (c *Consumer) HandleDiscover(ctx context.Context, task *asynq.Task) error {
	c.handling.Add(1)
	defer c.handling.Add(-1)
	d, group, err := readDiscovery(ctx, task)
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	began := time.Now()
	result, err := c.discover(d, group)
	c.metrics.workerSeconds.WithLabelValues(kindDiscovery).Add(time.Since(began).Seconds())
	c.discovered.busy(c.deps.Clock.Now(), time.Since(began))
	var back *handBackError
	if errors.As(err, &back) {
		c.metrics.handBacks.WithLabelValues(back.reason).Inc()
		return err
	}
	c.countDiscovery(result)
	return err
}

func (c *Consumer) countDiscovery(result string) {
	c.metrics.discoveries.WithLabelValues(result).Inc()
	switch result {
	case discoverySkipped: // there was nothing to do
	case discoveryFailed:
		c.discovered.fail(c.deps.Clock.Now())
	default:
		c.discovered.poll(c.deps.Clock.Now(), 0) // nobody waits for a discovery: it is never late
	}
}

// readDiscovery reads a task. It trusts neither payload nor queue.
func readDiscovery(ctx context.Context, task *asynq.Task) (tasks.Discover, int64, error) {
	if task.Type() != tasks.TypeDiscover {
		return tasks.Discover{}, 0, fmt.Errorf("%w: a task of type %.40q", tasks.ErrPayload, task.Type())
	}
	d, err := tasks.ParseDiscover(task.Payload())
	if err != nil {
		return tasks.Discover{}, 0, err
	}
	queue, _ := asynq.GetQueueName(ctx)
	kind, group := tasks.SplitQueue(queue)
	if kind != tasks.KindDiscovery {
		return tasks.Discover{}, 0, fmt.Errorf("%w: a discovery in queue %.60q", tasks.ErrPayload, queue)
	}
	return d, group, nil
}

// discover is the life of one discovery; result is a label of the metric.
func (c *Consumer) discover(d tasks.Discover, group int64) (result string, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.complain(&c.panics, slog.LevelError, "a discovery panicked", "device", d.DeviceID, "panic", fmt.Sprintf("%.200v", r), "stack", string(debug.Stack()))
			result, err = discoveryFailed, fmt.Errorf("the discovery of device %d panicked: %w", d.DeviceID, asynq.SkipRetry)
		}
	}()
	if c.stopping() {
		return "", errHandBack
	}
	left := time.Unix(d.Slot+int64(d.Interval), 0).Sub(c.deps.Clock.Now())
	if left <= 0 {
		return discoverySkipped, nil
	}
	target, err := c.inventory.read(c.reading, d.DeviceID)
	found := target.device
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (found.Disabled || found.PingOnly || found.Group != group):
		return discoverySkipped, nil
	case err != nil:
		return discoveryFailed, nil // the inventory has told why
	}
	limit := min(discoveryLimit, left)
	// One place fewer than polls have: discoveries last longer, and must leave polls some.
	places := max(c.deps.Settings().Int(settings.KeyAddressInFlight)-1, 1)
	leave, err := c.enterAgentOf(d.DeviceID, found, places, limit)
	if err != nil {
		return "", err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(c.reading, limit)
	defer cancel()
	read := c.discoverTarget(ctx, c.apply(poller.Target{Device: found, Ports: target.ports}))
	if c.reading.Err() != nil {
		return "", errHandBack
	}
	read.Slot, read.At, read.Node = d.Slot, c.deps.Clock.At(read.At), c.config.NodeID
	c.metrics.refused.Add(float64(read.Refused))
	return c.keepDiscovery(read), nil
}

// discoverTarget opens a session and discovers. A session that cannot be opened is a device that does not answer.
func (c *Consumer) discoverTarget(ctx context.Context, target poller.Target) device.Discovery {
	target.ModulesOff = modulesOff(c.deps.Settings())
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	session, err := c.dial(dialing, target)
	cancel()
	if err != nil {
		read, _ := poller.Discover(ctx, closed{err}, target, c.deps.Definitions)
		return read
	}
	defer func() {
		if err := session.Close(); err != nil {
			c.log.Debug("a session did not close", "device", target.Device.ID, "err", err)
		}
	}()
	read, _ := poller.Discover(ctx, session, target, c.deps.Definitions)
	return read
}

// modulesOff are the modules of discoveries that the settings leave out.
func modulesOff(values settings.Values) []string {
	return without(device.DiscoveryModules(), values.List(settings.KeyDiscoveryModules))
}

// keepDiscovery saves what was found of a device that answered. What one that
// did not answer is and has stays as it was; it is discovered when it is up again.
func (c *Consumer) keepDiscovery(read device.Discovery) string {
	if read.Outcome != device.OutcomeUp && read.Outcome != device.OutcomePartial {
		return string(read.Outcome)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.reading), discoverySave)
	defer cancel()
	if err := c.deps.Discovering.Store.SaveDiscovery(ctx, read); err != nil && !errors.Is(err, store.ErrNotFound) {
		c.complain(&c.discoveryFailures, slog.LevelWarn, "a discovery is not saved; the device is discovered again", "device", read.DeviceID, "err", err)
		return discoveryFailed
	}
	return string(read.Outcome)
}

// DiscoverOnce discovers a device now, outside the queues, and keeps what it
// finds. The error says that the device could not be read from the store, or
// that what was found could not be saved; what the device did wrong stands in the result.
func DiscoverOnce(ctx context.Context, config Config, deps Deps, id int64) (device.Discovery, error) {
	c, err := New(config, deps)
	if err != nil {
		return device.Discovery{}, err
	}
	defer c.interrupt()
	d, ports, err := deps.Store.PollTarget(ctx, id)
	if err != nil {
		return device.Discovery{}, fmt.Errorf("read device %d: %w", id, err)
	}
	reading, cancel := context.WithTimeout(ctx, discoveryLimit)
	defer cancel()
	read := c.discoverTarget(reading, c.apply(poller.Target{Device: d, Ports: ports}))
	if err := ctx.Err(); err != nil {
		return read, fmt.Errorf("discover device %d: %w", id, err)
	}
	// The slot of the cluster's own discoveries: two by hand must not make what they lack vanish.
	slot := device.SlotAt(d.ID, deps.Settings().Int(settings.KeyDiscoveryFrequency), deps.Clock.Now().Unix())
	read.Slot, read.At, read.Node = slot, deps.Clock.At(read.At), config.NodeID
	if read.Outcome != device.OutcomeUp && read.Outcome != device.OutcomePartial {
		return read, nil
	}
	if err := deps.Discovering.Store.SaveDiscovery(ctx, read); err != nil {
		return read, err
	}
	return read, nil
}
