package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// nodeRow is a row of nodes.
type nodeRow struct {
	bun.BaseModel `bun:"table:nodes"`

	Role      string         `bun:"role,pk"`
	NodeID    string         `bun:"node_id,pk"`
	Host      string         `bun:"host"`
	PID       int            `bun:"pid"`
	Version   string         `bun:"version"`
	Assigned  sql.NullString `bun:"assigned_groups"`
	Own       sql.NullString `bun:"own_groups"`
	Served    sql.NullString `bun:"served_groups"`
	Workers   sql.NullInt64  `bun:"poller_workers"`
	Draining  bool           `bun:"draining"`
	State     string         `bun:"state"`
	Presence  string         `bun:"presence"`
	LastSeen  int64          `bun:"last_seen"`
	StartedAt int64          `bun:"started_at"`
}

// orders are what operators wrote into the row.
func (r *nodeRow) orders() device.Orders {
	return device.Orders{Groups: splitGroups(r.Assigned), Assigned: r.Assigned.Valid, Workers: int(r.Workers.Int64), Draining: r.Draining}
}

func (r *nodeRow) name() string { return r.Role + " " + r.NodeID }

// told are the columns that a process writes of itself; the others are the operators' and the eventlog's.
var told = [...]string{"host", "pid", "version", "own_groups", "served_groups", "state", "last_seen", "started_at"}

// longRun is how long a process must have lived for its crash to be an event: one that crashes at each start makes one event only.
const longRun = 5 * time.Minute

// SaveNode writes what a process says of itself into its row. Its orders
// (assignment, workers, draining) stay. A state of stopped is an event, and
// so is a process that begins although the one before had not stopped.
func (s *Store) SaveNode(ctx context.Context, n device.Node) error {
	row := nodeRow{
		Role: line(n.Role, 16), NodeID: line(n.NodeID, maxShort), Host: line(n.Host, maxName), PID: n.PID,
		Version: line(n.Version, maxShort), Own: joinGroups(n.Own), Served: joinGroups(n.Served), State: line(string(n.State), 16),
		LastSeen: millis(n.LastSeen), StartedAt: millis(n.Started),
	}
	return s.tx(ctx, "write the row of the node "+row.NodeID, func(ctx context.Context, tx bun.Tx) error {
		old, known, err := s.lockNode(ctx, tx, row.Role, row.NodeID)
		if err != nil {
			return err
		}
		var events []device.Event
		columns := slices.Clone(told[:])
		present := known && old.Presence == string(device.PresencePresent)
		switch {
		case present && n.State == device.NodeStopped:
			columns, row.Presence = append(columns, "presence"), string(device.PresenceStopped)
			events = append(events, nodeEvent(&row, device.SeverityInfo, "", "%s stopped (host %s, pid %d)", row.name(), row.Host, row.PID))
		case present && row.StartedAt-old.StartedAt > longRun.Milliseconds():
			events = append(events, nodeEvent(&row, device.SeverityWarning, "", "%s was started again (host %s, pid %d) without having stopped (host %s, pid %d)",
				row.name(), row.Host, row.PID, old.Host, old.PID))
		}
		if _, err := s.upsert(tx.NewInsert().Model(&row), "role, node_id", columns...).Exec(ctx); err != nil {
			return err
		}
		return addEvents(ctx, tx, events)
	})
}

// lockNode reads the row of a node for a change.
func (s *Store) lockNode(ctx context.Context, tx bun.Tx, role, nodeID string) (row nodeRow, known bool, err error) {
	err = s.locked(tx.NewSelect().Model(&row).Where("role = ?", role).Where("node_id = ?", nodeID)).Scan(ctx)
	if missing(err) {
		return nodeRow{}, false, nil
	}
	return row, err == nil, err
}

func nodeEvent(row *nodeRow, severity device.Severity, actor, format string, values ...any) device.Event {
	return device.Event{
		Time: time.Now(), Type: "node", Severity: severity, Node: row.NodeID, Actor: actor, Message: fmt.Sprintf(format, values...),
	}
}

// Nodes lists every node that was ever seen, by role and NODE_ID. Groups are
// those of the row when Assigned, else what the node's .env said.
func (s *Store) Nodes(ctx context.Context) ([]device.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []nodeRow
	if err := s.reads.NewSelect().Model(&rows).Order("role", "node_id").Scan(ctx); err != nil {
		return nil, s.fail("list the nodes", err)
	}
	list := make([]device.Node, len(rows))
	for i := range rows {
		r := &rows[i]
		orders := r.orders()
		list[i] = device.Node{
			NodeID: r.NodeID, Role: r.Role, Host: r.Host, PID: r.PID, Version: r.Version, Assigned: orders.Assigned, Groups: orders.Groups,
			Own: splitGroups(r.Own), Served: splitGroups(r.Served), Workers: orders.Workers, Draining: orders.Draining,
			State: device.NodeState(r.State), Presence: device.Presence(r.Presence),
			LastSeen: fromMillis(r.LastSeen), Started: fromMillis(r.StartedAt),
		}
		if !orders.Assigned {
			list[i].Groups = list[i].Own
		}
	}
	return list, nil
}

// NodeOrders reads what operators want of a node. A node without a row has no orders.
func (s *Store) NodeOrders(ctx context.Context, role, nodeID string) (device.Orders, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var row nodeRow
	err := s.reads.NewSelect().Model(&row).Where("role = ?", role).Where("node_id = ?", nodeID).Scan(ctx)
	if err != nil && !missing(err) {
		return device.Orders{}, s.fail("read the orders of the node "+nodeID, err)
	}
	return row.orders(), nil
}

// joinGroups writes group ids with commas between them; NULL for nil.
func joinGroups(groups []int64) sql.NullString {
	texts := make([]string, len(groups))
	for i, group := range groups {
		texts[i] = strconv.FormatInt(group, 10)
	}
	return sql.NullString{String: strings.Join(texts, ","), Valid: groups != nil}
}

// splitGroups reads what joinGroups wrote; anything else in the list is left out.
func splitGroups(text sql.NullString) []int64 {
	if !text.Valid {
		return nil
	}
	groups := []int64{}
	for part := range strings.SplitSeq(text.String, ",") {
		if group, err := strconv.ParseInt(part, 10, 64); err == nil {
			groups = append(groups, group)
		}
	}
	return groups
}
