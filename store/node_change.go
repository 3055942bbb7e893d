package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"pollux/device"
)

// maxNodeWorkers bounds the workers of one node, as the setting service_poller_workers is bounded.
const maxNodeWorkers = 10_000

// ChangeNode changes the orders of a node and writes an event that names who
// did. change may run several times. Without a difference nothing is written.
// Errors: ErrNotFound for a node without a row or a poller group that does not
// exist, ErrInvalid for a number of workers out of range, and those of change.
func (s *Store) ChangeNode(ctx context.Context, role, nodeID, actor string, change func(*device.Orders) error) (device.Orders, error) {
	var after device.Orders
	err := s.tx(ctx, fmt.Sprintf("change the node %.64s", nodeID), func(ctx context.Context, tx bun.Tx) error {
		row, known, err := s.lockNode(ctx, tx, role, nodeID)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("%w: a %.16s of this name", ErrNotFound, role)
		}
		before := row.orders()
		after = row.orders()
		if err := change(&after); err != nil {
			return err
		}
		if after.Workers < 0 || after.Workers > maxNodeWorkers {
			return fmt.Errorf("%w workers: want 1 to %d", ErrInvalid, maxNodeWorkers)
		}
		if err := groupsExist(ctx, tx, after.Groups); err != nil {
			return err
		}
		words := orderChanges(before, after)
		if len(words) == 0 {
			return nil
		}
		if after.Assigned && after.Groups == nil {
			after.Groups = []int64{}
		}
		row.Assigned = sql.NullString{}
		if after.Assigned {
			row.Assigned = joinGroups(after.Groups)
		}
		row.Workers = sql.NullInt64{Int64: int64(after.Workers), Valid: after.Workers > 0}
		row.Draining = after.Draining
		_, err = tx.NewUpdate().Model(&row).Column("assigned_groups", "poller_workers", "draining").WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{nodeEvent(&row, device.SeverityNotice, actor, "%s: %s", row.name(), strings.Join(words, "; "))})
	})
	return after, err
}

// groupsExist refuses poller groups that do not exist.
func groupsExist(ctx context.Context, tx bun.Tx, groups []int64) error {
	if len(groups) == 0 {
		return nil
	}
	var there []int64
	if err := tx.NewSelect().Table("poller_groups").Column("id").Where("id IN (?)", bun.List(groups)).Scan(ctx, &there); err != nil {
		return err
	}
	known := make(map[int64]bool, len(there))
	for _, id := range there {
		known[id] = true
	}
	for _, id := range groups {
		if !known[id] {
			return fmt.Errorf("%w: poller group %d", ErrNotFound, id)
		}
	}
	return nil
}

// orderChanges are what an operator changed, in words.
func orderChanges(before, after device.Orders) (words []string) {
	if from, to := assignment(before), assignment(after); from != to {
		words = append(words, "poller groups "+from+" -> "+to)
	}
	if before.Workers != after.Workers {
		words = append(words, "workers "+workers(before)+" -> "+workers(after))
	}
	switch {
	case after.Draining && !before.Draining:
		words = append(words, "drained: it takes nothing new")
	case before.Draining && !after.Draining:
		words = append(words, "undrained")
	}
	return words
}

func assignment(o device.Orders) string {
	switch {
	case !o.Assigned:
		return "of its .env"
	case len(o.Groups) == 0:
		return "none"
	default:
		return joinGroups(o.Groups).String
	}
}

func workers(o device.Orders) string {
	if o.Workers == 0 {
		return "default"
	}
	return strconv.Itoa(o.Workers)
}

// RemoveNode forgets a node, its orders too, and writes an event that names
// who did. Its history stays until it is purged. A process that lives makes a new row with its next report. ErrNotFound.
func (s *Store) RemoveNode(ctx context.Context, role, nodeID, actor string) error {
	return s.tx(ctx, fmt.Sprintf("remove the node %.64s", nodeID), func(ctx context.Context, tx bun.Tx) error {
		row, known, err := s.lockNode(ctx, tx, role, nodeID)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("%w: a %.16s of this name", ErrNotFound, role)
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{nodeEvent(&row, device.SeverityNotice, actor, "%s removed", row.name())})
	})
}

// NoteNode writes an event about the presence of a node, once: only while from
// is what the eventlog said last. Of two that note the same one does. It says whether this one did.
func (s *Store) NoteNode(ctx context.Context, n device.Node, to device.Presence, event device.Event) (noted bool, err error) {
	err = s.tx(ctx, fmt.Sprintf("note the node %.64s", n.NodeID), func(ctx context.Context, tx bun.Tx) error {
		noted = false
		result, err := tx.NewUpdate().Table("nodes").Set("presence = ?", string(to)).
			Where("role = ?", n.Role).Where("node_id = ?", n.NodeID).Where("presence = ?", string(n.Presence)).Exec(ctx)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err != nil || changed == 0 {
			return err
		}
		noted = true
		return addEvents(ctx, tx, []device.Event{event})
	})
	return noted && err == nil, err
}
