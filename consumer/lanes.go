package consumer

import (
	"slices"
	"sync"
)

// maxLanes bounds the asynq servers of one node: each costs some ten
// goroutines, a heartbeat and a subscription. With more poller groups than
// this, groups share a lane.
const maxLanes = 16

// lane is some of this node's poller groups, nearly always one, with an asynq
// server of their own. What a lane holds at the same time is bounded by its
// server's concurrency: a group whose devices are slow fills its lane, leaves
// the rest of its tasks in Redis, and never takes the workers of other groups.
// The workers keep some places for each lane, so that several slow ones do not either.
type lane struct {
	groups  []int64 // ordered
	workers int     // tasks that it holds at most
	server  *server // serves groups
}

// laneChange is what becomes of a lane.
type laneChange struct {
	was    *lane   // nil for a new one
	groups []int64 // ordered; none ends it
}

// laneChanges spreads groups over lanes. A group stays in the lane that it is
// in, so that a changed assignment swaps no server but its own.
func laneChanges(now []*lane, groups []int64) []laneChange {
	changes := make([]laneChange, 0, maxLanes)
	placed := map[int64]bool{}
	for _, l := range now {
		kept := slices.DeleteFunc(slices.Clone(l.groups), func(group int64) bool { return !slices.Contains(groups, group) })
		for _, group := range kept {
			placed[group] = true
		}
		changes = append(changes, laneChange{l, kept})
	}
	lanes := len(slices.DeleteFunc(slices.Clone(changes), func(c laneChange) bool { return len(c.groups) == 0 }))
	for _, group := range groups {
		if placed[group] {
			continue
		}
		if lanes < maxLanes {
			lanes++
			changes = append(changes, laneChange{nil, []int64{group}})
			continue
		}
		least := -1
		for i, c := range changes {
			if len(c.groups) > 0 && (least < 0 || len(c.groups) < len(changes[least].groups)) {
				least = i
			}
		}
		changes[least].groups = append(changes[least].groups, group)
		slices.Sort(changes[least].groups)
	}
	return changes
}

// swap brings the lanes to a plan. asynq fixes queues and concurrency when a
// server is made, so a lane that differs gets a new one. The new one starts
// first, so that no queue is left alone. After an error the lanes that could
// not be changed serve what they did; the next call goes on.
func (c *Consumer) swap(lanes []*lane, wanted plan, retiring *sync.WaitGroup) ([]*lane, error) {
	c.metrics.exposeGroups(wanted.groups)
	workers := wanted.laneWorkers()
	var next []*lane
	var failed error
	for _, change := range laneChanges(lanes, wanted.groups) {
		was := change.was
		if was != nil && was.workers == workers && slices.Equal(was.groups, change.groups) {
			next = append(next, was)
			continue
		}
		if len(change.groups) > 0 {
			started, err := c.serve(change.groups, workers, len(wanted.groups))
			if err != nil {
				failed = err
				if was != nil {
					next = append(next, was)
				}
				continue
			}
			next = append(next, &lane{change.groups, workers, started})
		}
		if was != nil {
			c.retire(was.server, retiring)
		}
	}
	served := []int64{} // not nil: that would say that this role has no groups
	var groups [][]int64
	for _, l := range next {
		served = append(served, l.groups...)
		groups = append(groups, l.groups)
	}
	c.workers.divide(groups, wanted.kept())
	slices.Sort(served)
	c.served.Store(&served)
	if failed == nil {
		c.log.Info("queues are served", "groups", wanted.groups, "workers", wanted.workers, "workers_per_group", workers, "kept_per_group", wanted.kept())
	}
	return next, failed
}
