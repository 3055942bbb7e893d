package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

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
	LastSeen  int64          `bun:"last_seen"`
	StartedAt int64          `bun:"started_at"`
}

// SaveNode writes the row of a node. A process that reports itself leaves
// Assigned false: its Groups are then what its .env says, and an assignment
// in the row stays. CLI and UI set Assigned: Groups become the assignment (an
// empty list means that the node consumes nothing; nil takes the assignment back), and the rest of the row stays.
func (s *Store) SaveNode(ctx context.Context, n device.Node) error {
	row := nodeRow{
		Role: line(n.Role, 16), NodeID: line(n.NodeID, maxShort), Host: line(n.Host, maxName), PID: n.PID,
		Version: line(n.Version, maxShort), LastSeen: millis(n.LastSeen), StartedAt: millis(n.Started),
	}
	columns := []string{"host", "pid", "version", "own_groups", "last_seen", "started_at"}
	if n.Assigned {
		row.Assigned = joinGroups(n.Groups)
		columns = []string{"assigned_groups"}
	} else {
		row.Own = joinGroups(n.Groups)
	}
	return s.tx(ctx, "write the row of the node "+row.NodeID, func(ctx context.Context, tx bun.Tx) error {
		_, err := s.upsert(tx.NewInsert().Model(&row), "role, node_id", columns...).Exec(ctx)
		return err
	})
}

// Nodes lists every node that was ever seen or assigned, by role and NODE_ID.
// Groups are those of the row when Assigned, else what the node's .env said.
func (s *Store) Nodes(ctx context.Context) ([]device.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []nodeRow
	if err := s.reads.NewSelect().Model(&rows).Order("role", "node_id").Scan(ctx); err != nil {
		return nil, s.fail("list the nodes", err)
	}
	list := make([]device.Node, len(rows))
	for i, r := range rows {
		list[i] = device.Node{
			NodeID: r.NodeID, Role: r.Role, Host: r.Host, PID: r.PID, Version: r.Version, Assigned: r.Assigned.Valid,
			Groups: splitGroups(r.Own), LastSeen: fromMillis(r.LastSeen), Started: fromMillis(r.StartedAt),
		}
		if r.Assigned.Valid {
			list[i].Groups = splitGroups(r.Assigned)
		}
	}
	return list, nil
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
