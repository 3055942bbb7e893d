package producer

import (
	"context"
	"fmt"
	"maps"
	"time"

	"pollux/cluster"
	"pollux/device"
)

const (
	nodesEvery = 5 * time.Second // as often as nodes send heartbeats
	// missingAfter is how long this leader must have seen no entry of a node
	// until it is an event. The entry itself lapses 15 s after the last
	// heartbeat. A Redis that lost all entries has them again within 5 s.
	missingAfter = 10 * time.Second
	// steadyAfter is how long a node that was missing must be back until that
	// is an event, so that one which comes and goes writes one event and not one a minute.
	steadyAfter = time.Minute
)

// census is what a leader has seen of the nodes during its term.
type census struct {
	rows  []device.Node        // as last read
	since map[string]time.Time // when a change that is not noted yet was seen first, by role and NODE_ID
}

// sighting is the live nodes as they were last listed.
type sighting struct {
	nodes []cluster.Node
	at    time.Time
}

// listNodes lists the live nodes. Two parts of a term want them, and a listing
// scans all keys of Redis: one that is younger than two looks serves both.
func (t *term) listNodes(ctx context.Context) (nodes []cluster.Node, known bool) {
	if last := t.seen.Load(); last != nil && time.Since(last.at) < 2*nodesEvery {
		return last.nodes, true
	}
	return t.relistNodes(ctx)
}

func (t *term) relistNodes(ctx context.Context) (nodes []cluster.Node, known bool) {
	nodes, err := cluster.List(ctx, t.deps.Redis)
	if err != nil {
		t.log.Debug("the nodes cannot be listed", "err", err)
		return nil, false
	}
	t.seen.Store(&sighting{nodes: nodes, at: time.Now()})
	return nodes, true
}

// watchNodes looks after the nodes every 5 s until ctx ends.
func (t *term) watchNodes(ctx context.Context) {
	every(ctx, nodesEvery, func() { t.observeNodes(ctx) })
}

// observeNodes exports which nodes there are, and notes which came and went. A
// group with devices and no active node shows as 0.
func (t *term) observeNodes(ctx context.Context) {
	live, known := t.relistNodes(ctx)
	if !known {
		clear(t.census.since) // what was missing may not have been
		return
	}
	if known = t.deps.Nodes != nil; known {
		rows, err := t.deps.Nodes.Nodes(ctx)
		if err != nil {
			t.log.Debug("the rows of the nodes cannot be read; the last ones stay", "err", err)
			known = false
		} else {
			t.census.rows = rows
		}
	}
	processes := cluster.Roster(t.census.rows, live)
	if s := t.schedule.Load(); s != nil {
		t.metrics.showNodes(processes, s.Groups())
	}
	if !known {
		return
	}
	there := map[string]bool{}
	for _, process := range processes {
		for _, standing := range process.Roles {
			there[keyOf(standing)] = true
			t.notePresence(ctx, standing)
		}
	}
	maps.DeleteFunc(t.census.since, func(key string, _ time.Time) bool { return !there[key] })
}

func keyOf(s cluster.Standing) string { return s.Row.Role + ":" + s.Row.NodeID }

// notePresence writes an event when a node has come or gone. The row holds
// what was written last, so that a new leader, or a second one, does not repeat it.
func (t *term) notePresence(ctx context.Context, s cluster.Standing) {
	key := keyOf(s)
	to, wait := device.PresencePresent, time.Duration(0)
	switch {
	case s.Live == nil && s.Row.Presence == device.PresencePresent:
		to, wait = device.PresenceMissing, missingAfter
	case s.Live != nil && s.Row.Presence == device.PresenceMissing:
		wait = steadyAfter
	case s.Live == nil, s.Row.Presence == device.PresencePresent:
		delete(t.census.since, key)
		return
	}
	now := time.Now()
	since, waiting := t.census.since[key]
	if !waiting {
		since = now
		t.census.since[key] = now
	}
	if now.Sub(since) < wait {
		return
	}
	event := presenceEvent(s, to)
	event.Time = t.deps.Clock.Now()
	noted, err := t.deps.Nodes.NoteNode(ctx, s.Row, to, event)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			t.log.Debug("an event of a node cannot be written; the next look tries again", "node", key, "err", err)
		}
		return
	case noted && to == device.PresenceMissing:
		t.log.Warn(event.Message)
	case noted:
		t.log.Info(event.Message)
	}
	delete(t.census.since, key)
}

func presenceEvent(s cluster.Standing, to device.Presence) device.Event {
	name := s.Row.Role + " " + s.Row.NodeID
	event := device.Event{Type: "node", Severity: device.SeverityInfo, Node: s.Row.NodeID}
	switch {
	case to == device.PresenceMissing:
		event.Severity = device.SeverityWarning
		event.Message = fmt.Sprintf("%s is gone without having stopped (host %s, pid %d)", name, s.Row.Host, s.Row.PID)
	case s.Row.Presence == device.PresenceMissing:
		event.Message = fmt.Sprintf("%s is back (host %s, pid %d)", name, s.Live.Host, s.Live.PID)
	default:
		event.Message = fmt.Sprintf("%s is there (host %s, pid %d)", name, s.Live.Host, s.Live.PID)
	}
	return event
}
