package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// purgeBatch bounds one DELETE, so that other writers do not wait long.
const purgeBatch = 2000

// purge removes the rows of a table whose column lies before a time, in
// batches, and returns how many. Rows without a time in the column stay.
func (s *Store) purge(ctx context.Context, doing, table, column string, before time.Time) (int64, error) {
	var total int64
	for {
		var removed int64
		err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
			var ids []int64
			err := tx.NewSelect().Table(table).Column("id").Where("? < ?", bun.Ident(column), millis(before)).
				OrderExpr("?", bun.Ident(column)).Limit(purgeBatch).Scan(ctx, &ids)
			if err != nil || len(ids) == 0 {
				removed = 0
				return err
			}
			result, err := tx.NewDelete().Table(table).Where("id IN (?)", bun.List(ids)).Exec(ctx)
			if err != nil {
				return err
			}
			removed, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return total, err
		}
		total += removed
		if removed < purgeBatch {
			return total, nil
		}
	}
}
