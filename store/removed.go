package store

import (
	"context"
	"time"
)

// Removed is what a removed device leaves behind: the name of its RRD directory, which no other device gets.
type Removed struct {
	ID        int64
	Hostname  string
	RRDDir    string
	Shard     int
	RemovedAt time.Time
}

// RemovedDevices lists removed devices with ids above afterID, in the order of
// their ids: 1,000 for a limit of 0, 10,000 at most.
func (s *Store) RemovedDevices(ctx context.Context, afterID int64, limit int) ([]Removed, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []removedRow
	if err := s.reads.NewSelect().Model(&rows).Where("id > ?", afterID).Order("id").Limit(page(limit)).Scan(ctx); err != nil {
		return nil, s.fail("list the removed devices", err)
	}
	list := make([]Removed, len(rows))
	for i, row := range rows {
		list[i] = Removed{ID: row.ID, Hostname: row.Hostname, RRDDir: row.RRDDir, Shard: row.Shard, RemovedAt: fromMillis(row.RemovedAt)}
	}
	return list, nil
}
