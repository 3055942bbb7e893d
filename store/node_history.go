package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// historyRow is a row of node_history.
type historyRow struct {
	bun.BaseModel `bun:"table:node_history"`

	ID           int64          `bun:"id,pk,autoincrement"`
	LoggedAt     int64          `bun:"logged_at"`
	Role         string         `bun:"role"`
	NodeID       string         `bun:"node_id"`
	Kind         string         `bun:"kind"`
	Done         int64          `bun:"done"`
	Errors       int64          `bun:"errors"`
	WorkerMS     int64          `bun:"worker_ms"`
	WindowMS     int64          `bun:"window_ms"`
	Workers      int            `bun:"workers"`
	Pending      int64          `bun:"pending"`
	LatenessMean int64          `bun:"lateness_mean_ms"`
	LatenessMax  int64          `bun:"lateness_max_ms"`
	Served       sql.NullString `bun:"served_groups"`
}

// AddNodeHistory writes what nodes did in windows that are over. A window that is written again is overwritten.
func (s *Store) AddNodeHistory(ctx context.Context, windows []device.NodeHistory) error {
	if len(windows) == 0 {
		return nil
	}
	rows := make([]historyRow, len(windows))
	for i := range windows {
		w := &windows[i]
		rows[i] = historyRow{
			LoggedAt: millis(w.At), Role: line(w.Role, 16), NodeID: line(w.NodeID, maxShort), Kind: line(w.Kind, 16),
			Done: w.Done, Errors: w.Errors, WorkerMS: w.Busy.Milliseconds(), WindowMS: w.Window.Milliseconds(), Workers: w.Workers, Pending: w.Pending,
			LatenessMean: w.LatenessMean.Milliseconds(), LatenessMax: w.LatenessMax.Milliseconds(), Served: joinGroups(w.Groups),
		}
	}
	return s.tx(ctx, "write the history of a node", func(ctx context.Context, tx bun.Tx) error {
		for i := range rows {
			row := rows[i]
			_, err := s.upsert(tx.NewInsert().Model(&row), "role, node_id, kind, logged_at",
				"done", "errors", "worker_ms", "window_ms", "workers", "pending", "lateness_mean_ms", "lateness_max_ms", "served_groups").Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// NodeHistory lists the last windows of a node, newest first. A limit of 0 means 1,000, more than 10,000 means 10,000.
func (s *Store) NodeHistory(ctx context.Context, role, nodeID string, limit int) ([]device.NodeHistory, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []historyRow
	err := s.reads.NewSelect().Model(&rows).Where("role = ?", role).Where("node_id = ?", nodeID).
		Order("logged_at DESC", "kind").Limit(page(limit)).Scan(ctx)
	if err != nil {
		return nil, s.fail("list the history of the node "+line(nodeID, maxShort), err)
	}
	list := make([]device.NodeHistory, len(rows))
	for i := range rows {
		r := &rows[i]
		list[i] = device.NodeHistory{
			NodeID: r.NodeID, Role: r.Role, At: fromMillis(r.LoggedAt), Pending: r.Pending, Groups: splitGroups(r.Served),
			Work: device.Work{
				Kind: r.Kind, Workers: r.Workers, Window: fromMillisDuration(r.WindowMS), Done: r.Done, Errors: r.Errors, Busy: fromMillisDuration(r.WorkerMS),
				Capacity:     time.Duration(r.Workers) * fromMillisDuration(r.WindowMS),
				LatenessMean: fromMillisDuration(r.LatenessMean), LatenessMax: fromMillisDuration(r.LatenessMax),
			},
		}
	}
	return list, nil
}

// PurgeNodeHistory removes windows of nodes that ended before a time and returns how many.
func (s *Store) PurgeNodeHistory(ctx context.Context, before time.Time) (int64, error) {
	return s.purge(ctx, "purge the history of nodes", "node_history", "logged_at", before)
}
