package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"pollux/ping"
	"pollux/settings"
	"pollux/tasks"
)

const (
	planEvery = 2 * time.Second
	// drainLimit is how long running polls may go on after the node was told
	// to stop; then they are interrupted and their tasks handed back.
	drainLimit = 24 * time.Second
	// writeLimit is how much longer a poll may take to bring its measurements into the journal.
	writeLimit = 10 * time.Second
	lookEvery  = 50 * time.Millisecond
	// maxGroups bounds the queues of one node: asynq asks each in turn.
	maxGroups = 1000
)

// plan is what this node is to serve.
type plan struct {
	groups  []int64 // ordered, without repeats; none means that it takes nothing
	workers int
	share   int // percent of the workers that one group may hold beside others
}

func (p plan) equal(other plan) bool {
	return p.workers == other.workers && p.share == other.share && slices.Equal(p.groups, other.groups)
}

// laneWorkers is how many tasks the lane of one group may hold: all workers for
// a single group, else its share, so that a slow group leaves some to the
// others, and never so many that another lane could not have what is kept for it.
func (p plan) laneWorkers() int {
	if len(p.groups) <= 1 {
		return p.workers
	}
	return max(min(p.workers*p.share/100, p.workers-(p.lanes()-1)*p.kept()), 1)
}

// kept is how many workers are kept for each lane, however slow the others are:
// an equal part of what one lane's share leaves to the others, at least one.
func (p plan) kept() int {
	if len(p.groups) <= 1 {
		return 0
	}
	return max((p.workers-p.workers*p.share/100)/(p.lanes()-1), 1)
}

func (p plan) lanes() int { return min(len(p.groups), maxLanes) }

// plan asks what is to be served now. A node whose clock is skewed serves
// nothing: asynq's leases are written with each node's own clock.
func (c *Consumer) plan() plan {
	p := plan{workers: c.resize(), share: c.deps.Settings().Int(settings.KeyGroupShare)}
	if c.deps.Clock.Skewed() {
		return p
	}
	for _, group := range c.config.Groups() {
		if tasks.ValidQueue(tasks.Queue(tasks.KindPoller, group)) {
			p.groups = append(p.groups, group)
		}
	}
	slices.Sort(p.groups)
	p.groups = slices.Compact(p.groups)
	if len(p.groups) > maxGroups {
		c.log.Error("this node has too many poller groups; the last ones are not served", "groups", len(p.groups), "served", maxGroups)
		p.groups = p.groups[:maxGroups]
	}
	return p
}

// Run takes and carries out tasks until ctx ends. It then takes nothing new,
// lets running polls finish for 24 s, hands the rest back and returns. It can
// be called once.
func (c *Consumer) Run(ctx context.Context) error {
	if c.deps.Pinger.Mode() == ping.Off && c.deps.Settings().Bool(settings.KeyICMPCheck) {
		c.log.Warn("this node may not send ICMP: it judges devices by SNMP alone; see: pollux doctor")
	}
	var guard, retiring sync.WaitGroup
	defer guard.Wait()
	guarding, stop := context.WithCancel(context.WithoutCancel(ctx)) // polls that drain append too
	defer stop()
	guard.Go(func() { c.guardJournal(guarding) })
	guard.Go(func() { c.followAgents(guarding) })
	guard.Go(func() { c.biller.writer.run(guarding) })
	guard.Go(func() { c.competeForBilling(ctx) })
	var lanes []*lane
	var discovery, collecting *lane
	var served plan
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if wanted := c.plan(); !wanted.equal(served) {
			var err error
			if lanes, err = c.swap(lanes, wanted, &retiring); err != nil {
				c.log.Error("the queues cannot be served; the next attempt is soon", "err", err)
			} else {
				served = wanted
			}
		}
		var err error
		if discovery, err = c.swapDiscovery(discovery, served, &retiring); err != nil {
			c.log.Error("the queues of discoveries cannot be served; the next attempt is soon", "err", err)
		}
		if collecting, err = c.swapBilling(collecting, served, &retiring); err != nil {
			c.log.Error("the queues of billing cannot be served; the next attempt is soon", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for _, further := range []*lane{discovery, collecting} {
		if further != nil {
			lanes = append(lanes, further)
		}
	}
	c.finish(lanes, &retiring)
	return nil
}

// retire lets a server finish what it has, in the background.
func (c *Consumer) retire(old *server, retiring *sync.WaitGroup) {
	c.retiring.Add(1)
	retiring.Go(func() {
		defer c.retiring.Add(-1)
		old.retire(c.draining)
	})
}

// finish drains: it stops the servers, interrupts polls that take too long, and waits for all of them.
func (c *Consumer) finish(lanes []*lane, retiring *sync.WaitGroup) {
	c.log.Info("draining: nothing new is taken", "tasks", c.handling.Load())
	c.drain()
	interrupting := time.AfterFunc(drainLimit, c.interrupt)
	defer interrupting.Stop()
	for _, l := range lanes {
		c.retire(l.server, retiring)
	}
	c.served.Store(&[]int64{})
	retiring.Wait()
	deadline := time.Now().Add(writeLimit)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for c.handling.Load() > 0 && time.Now().Before(deadline) {
		<-tick.C
	}
	c.interrupt()
	if left := c.handling.Load(); left > 0 {
		c.log.Error("stopped while polls could not be written", "tasks", left)
		return
	}
	c.log.Info("drained")
}
