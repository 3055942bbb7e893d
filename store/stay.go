package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"pollux/device"
)

// stayRow are the columns of rows that stay for a while after the device has them no more.
type stayRow struct {
	FoundAt    int64 `bun:"found_at"` // when it was found first, or came back
	Vanished   bool  `bun:"vanished"`
	Missed     int   `bun:"missed"`
	MissedSlot int64 `bun:"missed_slot"` // the slot in which it was missed last: two discoveries of one slot count once
}

func (r *stayRow) stays() *stayRow { return r }

func (r *stayRow) stay() device.Stay {
	return device.Stay{Found: fromMillis(r.FoundAt), Vanished: r.Vanished, Missed: r.Missed}
}

// idRow is the id of such a row.
type idRow struct {
	ID       int64 `bun:"id,pk,autoincrement"`
	DeviceID int64 `bun:"device_id"`
}

func (r *idRow) ids() *idRow { return r }

// stayer is a row of one of these tables.
type stayer[R any] interface {
	*R
	ids() *idRow
	stays() *stayRow
	key() string // tells the rows of one device apart
	fill(old *R) // takes over what an incomplete discovery did not read
}

// maxStaying bounds the rows that a device has in one of these tables, those that vanished included.
const maxStaying = 2 * device.MaxInventory

// stayMerge is what a discovery changes in one of these tables.
type stayMerge[R any] struct {
	added, changed []R
	forgotten      []int64 // ids of rows that make room
	returned, gone []R     // of those that changed
}

// mergeStaying compares what a discovery found with the rows of its device. A row
// that is absent from two complete discoveries of two slots has vanished. A row that did
// not change is not written.
func mergeStaying[R comparable, P stayer[R]](rows, found []R, d device.Discovery, complete bool) stayMerge[R] {
	var m stayMerge[R]
	known := make(map[string]int, len(rows))
	for k := range rows {
		known[P(&rows[k]).key()] = k
	}
	seen, met := make([]bool, len(rows)), make(map[string]bool, len(found))
	for i := range found[:min(len(found), device.MaxInventory)] {
		row := found[i]
		key := P(&row).key()
		if met[key] {
			continue // a table that names a row twice has one there
		}
		met[key] = true
		k, ok := known[key]
		if !ok {
			P(&row).ids().DeviceID, P(&row).stays().FoundAt = d.DeviceID, millis(d.At)
			m.added = append(m.added, row)
			continue
		}
		seen[k] = true
		old := P(&rows[k])
		*P(&row).ids(), *P(&row).stays() = *old.ids(), stayRow{FoundAt: old.stays().FoundAt}
		if !complete {
			P(&row).fill(&rows[k])
		}
		if old.stays().Vanished {
			P(&row).stays().FoundAt = millis(d.At)
			m.returned = append(m.returned, row)
		}
		if row != rows[k] {
			m.changed = append(m.changed, row)
		}
	}
	m.forgotten = forgetStaying[R, P](rows, seen, len(rows)+len(m.added)-maxStaying)
	m.added = m.added[:min(len(m.added), max(maxStaying-len(rows)+len(m.forgotten), 0))]
	for k := range rows {
		if complete && !seen[k] && !P(&rows[k]).stays().Vanished {
			missStaying[R, P](&m, rows[k], d.Slot)
		}
	}
	return m
}

// missStaying counts a complete discovery without the row. Two of one slot count once.
func missStaying[R comparable, P stayer[R]](m *stayMerge[R], row R, slot int64) {
	stay := P(&row).stays()
	if stay.Missed > 0 && stay.MissedSlot == slot {
		return
	}
	stay.Missed, stay.MissedSlot = stay.Missed+1, slot
	if stay.Missed >= vanishAfter {
		stay.Vanished = true
		m.gone = append(m.gone, row)
	}
	m.changed = append(m.changed, row)
}

// forgetStaying chooses so many rows that make room: of those that vanished the ones that are gone longest.
func forgetStaying[R comparable, P stayer[R]](rows []R, seen []bool, many int) []int64 {
	if many <= 0 {
		return nil
	}
	var vanished []int
	for k := range rows {
		if !seen[k] && P(&rows[k]).stays().Vanished {
			vanished = append(vanished, k)
		}
	}
	slices.SortStableFunc(vanished, func(a, b int) int {
		return int(P(&rows[a]).stays().MissedSlot - P(&rows[b]).stays().MissedSlot)
	})
	ids := make([]int64, 0, many)
	for _, k := range vanished[:min(many, len(vanished))] {
		ids = append(ids, P(&rows[k]).ids().ID)
	}
	return ids
}

// stayBatch bounds one statement: 200 rows of 8 texts of 1,020 bytes are far below max_allowed_packet (16 MiB).
const stayBatch = 200

func writeStaying[R any](ctx context.Context, s *Store, tx bun.Tx, m *stayMerge[R]) error {
	for ids := range slices.Chunk(m.forgotten, stayBatch) {
		if _, err := tx.NewDelete().Model((*R)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(m.added, stayBatch) {
		if _, err := tx.NewInsert().Model(&batch).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(m.changed, stayBatch) {
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "id").Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf reads the rows that a device has in a table.
func rowsOf[R any](ctx context.Context, db bun.IDB, deviceID int64, order ...string) ([]R, error) {
	var rows []R
	err := db.NewSelect().Model(&rows).Where("device_id = ?", deviceID).Order(order...).Scan(ctx)
	return rows, err
}

// listOf reads the rows that a device has in a table for somebody outside.
func listOf[R, T any](ctx context.Context, s *Store, deviceID int64, what string, order []string, outside func(*R) T) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := rowsOf[R](ctx, s.reads, deviceID, order...)
	if err != nil {
		return nil, s.fail(fmt.Sprintf("read the %s of device %d", what, deviceID), err)
	}
	list := make([]T, len(rows))
	for i := range rows {
		list[i] = outside(&rows[i])
	}
	return list, nil
}
