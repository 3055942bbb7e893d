package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
)

const (
	purgePorts = 20        // ports whose samples one transaction removes
	purgeSpan  = 100 * 300 // seconds of samples that it removes of them: 2,000 at 300 s
)

// PurgeBilling removes the samples of billed ports whose slots began before a
// time, in small batches, and returns how many; then what is kept to draw the
// periods before it. What the open periods need stays, however old, and so do
// the figures of closed ones. No table has an index by time, for which each
// sample would have to pay: the oldest sample of each port is looked up instead.
func (s *Store) PurgeBilling(ctx context.Context, before time.Time) (int64, error) {
	const doing = "purge the samples of billed ports"
	limit := before.Unix()
	var oldest int64
	err := s.reads.NewSelect().Table("bill_history").ColumnExpr("COALESCE(MIN(period_from), 0)").Where("closed = ?", false).Scan(ctx, &oldest)
	if err != nil {
		return 0, s.fail(doing, err)
	}
	if oldest > 0 {
		limit = min(limit, billing.ChunkOf(oldest))
	}
	removed, err := s.purgeSamples(ctx, limit)
	if err != nil {
		return removed, s.fail(doing, err)
	}
	if err := s.purgeRates(ctx, limit); err != nil {
		return removed, s.fail(doing, err)
	}
	return removed, s.purgeCounters(ctx, limit)
}

// purgeSamples removes samples before a Unix second, a few ports after the other.
func (s *Store) purgeSamples(ctx context.Context, limit int64) (int64, error) {
	var total int64
	for after := int64(0); ; {
		var ports []int64
		err := s.reads.NewSelect().Table("bill_counters").Column("port_id").Where("port_id > ?", after).Order("port_id").Limit(purgePorts).Scan(ctx, &ports)
		if err != nil {
			return total, err
		}
		if len(ports) == 0 {
			return total, nil
		}
		after = ports[len(ports)-1]
		removed, err := s.purgePorts(ctx, ports, limit)
		if total += removed; err != nil {
			return total, err
		}
	}
}

// purgePorts removes the samples of a few ports before a slot.
func (s *Store) purgePorts(ctx context.Context, ports []int64, limit int64) (total int64, err error) {
	for {
		var from, removed int64
		err := s.tx(ctx, "purge the samples of billed ports", func(ctx context.Context, tx bun.Tx) error {
			from, removed = 0, 0
			// One lookup in the index for each port.
			query := tx.NewSelect().TableExpr("bill_counters AS c").
				ColumnExpr("COALESCE(MIN((SELECT MIN(s.slot) FROM bill_samples AS s WHERE s.port_id = c.port_id)), 0)").Where("c.port_id IN (?)", bun.List(ports))
			if err := query.Scan(ctx, &from); err != nil || from == 0 || from >= limit {
				return err
			}
			result, err := tx.NewDelete().Table("bill_samples").Where("port_id IN (?)", bun.List(ports)).Where("slot < ?", min(from+purgeSpan, limit)).Exec(ctx)
			if err == nil {
				removed, err = result.RowsAffected()
			}
			return err
		})
		if total += removed; err != nil || removed == 0 {
			return total, err
		}
	}
}

// purgeRates removes what is kept to draw closed periods, before a Unix second.
func (s *Store) purgeRates(ctx context.Context, limit int64) error {
	for after := int64(0); ; {
		var bills []int64
		err := s.reads.NewSelect().Table("bills").Column("id").Where("id > ?", after).Order("id").Limit(purgePorts).Scan(ctx, &bills)
		if err != nil || len(bills) == 0 {
			return err
		}
		after = bills[len(bills)-1]
		err = s.tx(ctx, "purge the rates of closed periods", func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewDelete().Table("bill_data").Where("bill_id IN (?)", bun.List(bills)).Where("begin_at < ?", limit).Exec(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// purgeCounters removes what was read last of ports that no bill has or had, before a Unix second.
func (s *Store) purgeCounters(ctx context.Context, limit int64) error {
	return s.tx(ctx, "purge the counters of ports that are in no bill", func(ctx context.Context, tx bun.Tx) error {
		var ports []int64
		err := tx.NewSelect().TableExpr("bill_counters AS c").Column("c.port_id").Where("c.slot < ?", limit).
			Where("NOT EXISTS (SELECT 1 FROM bill_ports AS bp WHERE bp.port_id = c.port_id)").Limit(purgeBatch).Scan(ctx, &ports)
		if err != nil || len(ports) == 0 {
			return err
		}
		// Asked again: a bill may have got one of them just now, or it was read.
		_, err = tx.NewDelete().Table("bill_counters").Where("port_id IN (?)", bun.List(ports)).Where("slot < ?", limit).
			Where("NOT EXISTS (SELECT 1 FROM bill_ports AS bp WHERE bp.port_id = bill_counters.port_id)").Exec(ctx)
		return err
	})
}
