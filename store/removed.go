package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// removedRow is a row of removed_devices.
type removedRow struct {
	bun.BaseModel `bun:"table:removed_devices"`

	ID            int64  `bun:"id,pk"`
	Hostname      string `bun:"hostname"`
	RRDDir        string `bun:"rrd_dir"`
	Shard         int    `bun:"shard"`
	RemovedAt     int64  `bun:"removed_at"`
	DeleteHistory bool   `bun:"delete_history"`
}

// Removed lists the devices that were removed after a time and have ids above
// afterID, in the order of their ids, at most 10,000: the last id leads to the next ones.
func (s *Store) Removed(ctx context.Context, after time.Time, afterID int64) ([]device.Removed, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []removedRow
	err := s.reads.NewSelect().Model(&rows).Where("removed_at > ?", millis(after)).Where("id > ?", afterID).Order("id").Limit(maxPageSize).Scan(ctx)
	if err != nil {
		return nil, s.fail("list the removed devices", err)
	}
	return removedOf(rows), nil
}

// RemovedDevices lists removed devices with ids above afterID, in the order of
// their ids: 1,000 for a limit of 0, 10,000 at most.
func (s *Store) RemovedDevices(ctx context.Context, afterID int64, limit int) ([]device.Removed, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []removedRow
	if err := s.reads.NewSelect().Model(&rows).Where("id > ?", afterID).Order("id").Limit(page(limit)).Scan(ctx); err != nil {
		return nil, s.fail("list the removed devices", err)
	}
	return removedOf(rows), nil
}

func removedOf(rows []removedRow) []device.Removed {
	list := make([]device.Removed, len(rows))
	for i, row := range rows {
		list[i] = device.Removed{ID: row.ID, Hostname: row.Hostname, RRDDir: row.RRDDir, Shard: row.Shard, At: fromMillis(row.RemovedAt), DeleteHistory: row.DeleteHistory}
	}
	return list
}
