package producer

import (
	"cmp"
	"slices"

	"pollux/billing"
	"pollux/device"
	"pollux/tasks"
)

// collects are the devices whose billed ports are to be read, arranged by when in a
// collect slot that is. It never changes once it is made.
type collects struct {
	round
	distributed bool
	groups      map[int64]int64 // of the devices
	sizes       map[int64]int   // devices by poller group
}

// Collection is one reading of a device's billed ports, to be put into a queue.
type Collection struct {
	tasks.BillingCollect
	Queue string
}

// newCollects arranges devices. Those without an id are left out.
func newCollects(devices []billing.Device, interval int, distributed bool) *collects {
	c := &collects{round: round{interval: int64(interval)}, distributed: distributed, groups: make(map[int64]int64, len(devices)), sizes: map[int64]int{}}
	for _, d := range devices {
		if _, twice := c.groups[d.ID]; twice || d.ID <= 0 || d.Group < 0 {
			continue
		}
		c.groups[d.ID] = d.Group
		c.sizes[d.Group]++
		c.entries = append(c.entries, entry{
			Scheduled: device.Scheduled{ID: d.ID, Group: d.Group, Interval: interval}, phase: device.Phase(d.ID, tasks.CollectSpread(interval)),
		})
	}
	slices.SortFunc(c.entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.ID, b.ID)) })
	return c
}

// due returns the readings to offer at the Unix second now, when everything up
// to the second from has been offered: of each device the one of the present slot, once when its
// moment comes and once more a fifth of the slot later, which heals an offer that was lost with a Redis. There is no backlog: what a slot
// did not get, the next one brings.
func (c *collects) due(from, now int64) []Collection {
	var all []Collection
	add := func(e entry) { all = c.append(all, e, now) }
	c.during(from, now, add)
	later := c.interval / reofferShare
	c.during(from-later, now-later, func(e entry) {
		if c.slotAt(e, now) <= from {
			add(e)
		}
	})
	return all
}

// changed returns the readings of the present slot of those devices that former
// did not hold, or held in another poller group.
func (c *collects) changed(former *collects, now int64) []Collection {
	var all []Collection
	for _, e := range c.entries {
		if group, known := former.groups[e.ID]; !known || c.distributed && group != e.Group {
			all = c.append(all, e, now)
		}
	}
	return all
}

// append appends the reading of a device whose moment has come in the present slot.
func (c *collects) append(all []Collection, e entry, now int64) []Collection {
	slot := c.slotAt(e, now) - e.phase
	if slot <= 0 || now >= slot+c.interval {
		return all
	}
	return append(all, Collection{
		BillingCollect: tasks.BillingCollect{DeviceID: e.ID, Slot: slot, Interval: int(c.interval)},
		Queue:          tasks.CollectQueue(c.distributed, e.Group),
	})
}

// same says whether slots and queues of both are the same, whatever the devices.
func (c *collects) same(other *collects) bool {
	return other != nil && c.interval == other.interval && c.distributed == other.distributed
}

// inQueue is how many devices a billing queue is for.
func (c *collects) inQueue(queue string) int {
	if queue == tasks.BillingQueue {
		return len(c.groups)
	}
	_, group := tasks.SplitQueue(queue)
	return c.sizes[group]
}
