package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// PurgeVanished removes what devices had and do not have any more: components,
// addresses, neighbours and VLANs that vanished and were found last before a time.
// It returns how many. Components that somebody disabled stay, and so do RRD files: a
// component that comes back goes on with its file, since it gets the same name.
func (s *Store) PurgeVanished(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for _, old := range []struct {
		table, column string
		before        int64
	}{
		{"components", "seen_at", millis(before)},
		{"addresses", "missed_slot", before.Unix()}, {"neighbours", "missed_slot", before.Unix()}, {"vlans", "missed_slot", before.Unix()},
	} {
		gone := func(q bun.QueryBuilder) bun.QueryBuilder {
			q = q.Where("vanished = ?", true).Where("? < ?", bun.Ident(old.column), old.before)
			if old.table == "components" {
				q = q.Where("disabled = ?", false)
			}
			return q
		}
		removed, err := s.purgeWalking(ctx, "purge what vanished of "+old.table, old.table, gone)
		total += removed
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// purgeWalking removes the rows of a table that a condition fits which no index
// serves: it goes through the table by id, a batch at a time, and keeps other writers
// waiting for the rows of one batch at most.
func (s *Store) purgeWalking(ctx context.Context, doing, table string, gone func(bun.QueryBuilder) bun.QueryBuilder) (int64, error) {
	var total, last int64
	for {
		ids, next, err := s.fitting(ctx, table, last, gone)
		if err != nil {
			return total, s.fail(doing, err)
		}
		if len(ids) > 0 {
			err = s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
				query := tx.NewDelete().Table(table).Where("id IN (?)", bun.List(ids))
				query.ApplyQueryBuilder(gone) // again: a discovery may have found one meanwhile
				result, err := query.Exec(ctx)
				if err != nil {
					return err
				}
				removed, err := result.RowsAffected()
				total += removed
				return err
			})
			if err != nil {
				return total, err
			}
		}
		if next == last {
			return total, nil
		}
		last = next
	}
}

// fitting are the ids that fit among the next purgeBatch rows behind one, and the last of these rows.
func (s *Store) fitting(ctx context.Context, table string, last int64, gone func(bun.QueryBuilder) bun.QueryBuilder) (ids []int64, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var all []int64
	err = s.reads.NewSelect().Table(table).Column("id").Where("id > ?", last).Order("id").Limit(purgeBatch).Scan(ctx, &all)
	if err != nil || len(all) == 0 {
		return nil, last, err
	}
	next = all[len(all)-1]
	query := s.reads.NewSelect().Table(table).Column("id").Where("id > ?", last).Where("id <= ?", next)
	query.ApplyQueryBuilder(gone)
	err = query.Scan(ctx, &ids)
	return ids, next, err
}
