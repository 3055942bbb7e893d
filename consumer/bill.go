package consumer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"pollux/billing"
	"pollux/cluster"
	"pollux/device"
	"pollux/tasks"
)

// BillingTTL is how long the lease of billing lasts without being renewed.
const BillingTTL = 12 * time.Second

const (
	// collectWorkers are how many devices a node asks for billing at the same time.
	collectWorkers = 64
	// collectTasks are how many tasks of billing are in its hands: also those whose readings wait for others, to be
	// written with them. With as few as collectWorkers, devices of one billed port would be written 64 rows at a time.
	collectTasks = 10 * collectWorkers
	// collectProbes of them may ask devices that were down.
	collectProbes = collectWorkers / probeShare
	// collectLookEvery is how often empty queues of billing are looked at.
	collectLookEvery = time.Second
	// billingTryEvery is how often a node asks for the lease of billing that another one holds.
	billingTryEvery = 2 * time.Second
)

// Bills keep what is read of billed ports, and calculate from it.
type Bills interface {
	// Device reads a device; store.ErrNotFound when there is no such device.
	Device(ctx context.Context, id int64) (device.Device, error)
	// BilledPorts lists the ports of a device that are to be read.
	BilledPorts(ctx context.Context, deviceID int64) ([]billing.Port, error)
	// Collect makes samples of readings, each once, and returns those that it wrote.
	Collect(ctx context.Context, readings []billing.Reading, now time.Time) ([]billing.Sample, error)
}

// Calculator makes the figures of bills from samples.
type Calculator interface {
	// DueBills lists bills that were calculated before a time or never, those with ids above afterID.
	DueBills(ctx context.Context, before time.Time, afterID int64, limit int) ([]int64, error)
	// CalculateBills brings the figures of bills up to date.
	CalculateBills(ctx context.Context, ids []int64, c billing.Calculation) error
}

// Billing is what a consumer needs to carry out the tasks of billing.
type Billing struct {
	Store      Bills
	Calculator Calculator
	Lease      *cluster.Lease // of cluster.BillingKey, with BillingTTL
}

// biller is the part of a consumer that does.
type biller struct {
	workers *gate
	probes  *gate // of devices that were down
	writer  *collector
	sought  *sought
}

func newBiller(c *Consumer) *biller {
	b := &biller{workers: &gate{}, probes: &gate{}, sought: newSought()}
	b.workers.resize(collectWorkers)
	b.probes.resize(collectProbes)
	b.writer = newCollector(c)
	return b
}

// swapBilling brings the server of the groups' queues of billing to a plan. It runs whether billing is distributed or not:
// what lies in those queues is for the nodes of the group, and none of it is left when the setting changes.
func (c *Consumer) swapBilling(now *lane, wanted plan, retiring *sync.WaitGroup) (*lane, error) {
	if c.deps.Billing == nil || now != nil && slices.Equal(now.groups, wanted.groups) {
		return now, nil
	}
	var next *lane
	if len(wanted.groups) > 0 {
		c.metrics.workers.WithLabelValues(kindBilling).Set(collectWorkers)
		started, err := c.serveKind(tasks.KindBilling, wanted.groups, collectTasks, collectLook(len(wanted.groups)), c.HandleBilling)
		if err != nil {
			return now, err
		}
		next = &lane{wanted.groups, collectTasks, started}
	}
	if now != nil {
		c.retire(now.server, retiring)
	}
	return next, nil
}

// collectLook is how often that many queues of billing are looked at.
func collectLook(queues int) time.Duration {
	return max(collectLookEvery, time.Duration(queues)*checkEveryPerQueue)
}

// competeForBilling serves the queue billing whenever this node holds the lease
// for it, until ctx ends. Any node that takes tasks may.
func (c *Consumer) competeForBilling(ctx context.Context) {
	if c.deps.Billing == nil {
		return
	}
	eligible := func() bool { return len(c.Served()) > 0 && !c.stopping() && !c.deps.Clock.Skewed() }
	options := cluster.KeepOptions{Every: billingTryEvery, Eligible: eligible, Log: c.log}
	var ends sync.WaitGroup
	defer ends.Wait()
	err := cluster.Keep(ctx, c.deps.Billing.Lease, options, func(ctx context.Context) error {
		c.serveBilling(ctx, &ends)
		return nil
	})
	if err != nil {
		c.log.Error("the queue billing is not served by this node any more", "err", err)
	}
}

// serveBilling serves the queue billing until ctx ends: with the lease, or the process. A server that cannot be started is tried
// again in the next term, which another node may have.
func (c *Consumer) serveBilling(ctx context.Context, ends *sync.WaitGroup) {
	started, err := c.serveQueues(map[string]int{tasks.BillingQueue: 1}, collectTasks, collectLookEvery, c.HandleBilling)
	if err != nil {
		c.log.Error("the queue billing cannot be served; the next attempt is soon", "err", err)
		return
	}
	c.holding.Store(true)
	defer c.holding.Store(false)
	c.metrics.billingHolder.Set(1)
	defer c.metrics.billingHolder.Set(0)
	<-ctx.Done()
	// What is in hand goes on: a sample is kept once, whoever reads it. Waiting for it here would hold up the next term.
	c.retire(started, ends)
}

// HandleBilling carries out one task of billing. It returns nil for whatever a
// device or an operator did. What is not read or calculated now is brought by the next slot, to the byte.
func (c *Consumer) HandleBilling(ctx context.Context, task *asynq.Task) error {
	c.handling.Add(1)
	defer c.handling.Add(-1)
	var err error
	switch task.Type() {
	case tasks.TypeBillingCollect:
		var t *collectTurn
		if t, err = readCollect(ctx, task); err == nil {
			return c.settleCollect(t, c.collect(t))
		}
	case tasks.TypeBillingCalculate:
		var t tasks.BillingCalculate
		if t, err = readCalculate(ctx, task); err == nil {
			return c.calculate(t)
		}
	default:
		err = fmt.Errorf("%w: a task of type %.40q", tasks.ErrPayload, task.Type())
	}
	return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
}
