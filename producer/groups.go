package producer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"pollux/device"
	"pollux/tasks"
)

// GroupCoverage is how well a poller group is served.
type GroupCoverage struct {
	Group   device.Group // without a name when devices are in a group that does not exist
	Devices int          // that are to be polled
	Nodes   []string     // NODE_IDs of the live nodes that serve it
	Drained []string     // of those that would, but are drained
	Skewed  []string     // of those that would, but their clock differs too much from that of Redis
	Late    int          // devices that were not polled for 1.2 of their intervals
	Overdue int          // of those, for 3

	Pending, Active int // tasks in its queue
	Latency         time.Duration
	Paused          bool
	PausedSince     time.Time // zero when it is not known
	Note            string    // what is wrong with it, "" for nothing
}

// Coverage says how well each poller group is served, in the order of their ids.
func (d *Desk) Coverage(ctx context.Context) ([]GroupCoverage, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	late, err := lateDevices(ctx, d.deps.Journal, v.schedule, 0, v.now.Unix())
	if err != nil {
		return nil, err
	}
	tallies, ids := tallyOf(late), map[int64]bool{}
	for _, g := range v.groups {
		ids[g.ID] = true
	}
	for group := range v.schedule.Groups() {
		ids[group] = true
	}
	list := make([]GroupCoverage, 0, len(ids))
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		q, err := d.read(ctx, tasks.Queue(tasks.KindPoller, id))
		if err != nil {
			return nil, err
		}
		s := v.state(q)
		g := GroupCoverage{
			Group: device.Group{ID: id}, Devices: s.Devices, Nodes: s.Nodes, Drained: s.Drained, Skewed: s.Skewed, Late: tallies[id].late, Overdue: tallies[id].overdue,
			Pending: s.Pending, Active: s.Active, Latency: s.Latency, Paused: s.Paused, PausedSince: s.PausedSince, Note: s.Note,
		}
		if i := slices.IndexFunc(v.groups, func(known device.Group) bool { return known.ID == id }); i >= 0 {
			g.Group = v.groups[i]
		}
		if g.Note == "" && g.Paused && g.Devices > 0 {
			g.Note = "its queue is paused"
		}
		if g.Note == "" && g.Overdue > 0 {
			g.Note = fmt.Sprintf("%s overdue", count(g.Overdue, "device"))
		}
		list = append(list, g)
	}
	return list, nil
}

// Late lists the devices that were not polled for 1.2 of their intervals, in the order of their ids.
func (d *Desk) Late(ctx context.Context) ([]Unpolled, error) {
	devices, err := d.deps.Store.Schedule(ctx)
	if err != nil {
		return nil, err
	}
	now, err := d.deps.Redis.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis for its time: %w", err)
	}
	return lateDevices(ctx, d.deps.Journal, NewSchedule(devices), 0, now.Unix())
}
