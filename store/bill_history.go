package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// maxPeriods bounds how many periods of a bill are listed: 100 years.
const maxPeriods = 1200

// OpenPeriods returns the open periods of bills, at most 10,000, by the bills' ids, as they were calculated last.
func (s *Store) OpenPeriods(ctx context.Context, ids []int64) (map[int64]billing.Standing, error) {
	open := make(map[int64]billing.Standing, len(ids))
	if len(ids) == 0 {
		return open, nil // no engine takes an empty list
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []periodRow
	err := s.reads.NewSelect().Model(&rows).Where("bill_id IN (?)", bun.List(ids[:min(len(ids), maxPageSize)])).Where("closed = ?", false).Scan(ctx)
	if err != nil {
		return nil, s.fail("read the open periods of bills", err)
	}
	for i := range rows {
		open[rows[i].BillID] = rows[i].standing()
	}
	return open, nil
}

// BillHistory lists the periods of a bill, the latest first; the first of them is open.
func (s *Store) BillHistory(ctx context.Context, billID int64) ([]billing.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []periodRow
	err := s.reads.NewSelect().Model(&rows).Where("bill_id = ?", billID).OrderExpr("period_from DESC").Limit(maxPeriods).Scan(ctx)
	if err != nil {
		return nil, s.fail("read the history of the bill", err)
	}
	list := make([]billing.Standing, len(rows))
	for i := range rows {
		list[i] = rows[i].standing()
	}
	return list, nil
}

// BillSamples calls each for every sample that a bill counts in a period, in
// the order of ports and slots, until each returns an error, which it returns.
// A sample counts once for each membership of its port, and those do not
// overlap; of the first one after a port came it is what counts (billing.Sample.Since).
func (s *Store) BillSamples(ctx context.Context, billID int64, p billing.Period, each func(billing.Sample) error) error {
	var members []memberRow
	if err := s.reads.NewSelect().Model(&members).Where("bill_id = ?", billID).Order("port_id", "from_slot").Scan(ctx); err != nil {
		return s.fail(fmt.Sprintf("read the samples of the bill %d", billID), err)
	}
	return s.memberSamples(ctx, billID, members, p, func(_ *memberRow, sample billing.Sample) error { return each(sample) })
}

// memberSamples calls each for every sample that a bill counts in a period, with the membership that it counts by.
func (s *Store) memberSamples(ctx context.Context, billID int64, members []memberRow, p billing.Period, each func(*memberRow, billing.Sample) error) error {
	for i := range members {
		m := &members[i]
		from, to := max(p.From, m.FromSlot), p.To
		if m.UntilSlot > 0 {
			to = min(to, m.UntilSlot)
		}
		err := s.portSamples(ctx, m.PortID, from, to, func(sample billing.Sample) error { return each(m, sample.Since(m.FromSlot)) })
		if err != nil {
			return s.fail(fmt.Sprintf("read the samples of the bill %d", billID), err)
		}
	}
	return nil
}

// samplePage bounds how many samples are in memory at a time.
const samplePage = 10_000

func (s *Store) portSamples(ctx context.Context, portID, from, to int64, each func(billing.Sample) error) error {
	for from < to {
		rows, err := s.samplePage(ctx, portID, from, to)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := each(rows[i].sample()); err != nil {
				return err
			}
		}
		if len(rows) < samplePage {
			return nil
		}
		from = rows[len(rows)-1].Slot + 1
	}
	return nil
}

func (s *Store) samplePage(ctx context.Context, portID, from, to int64) (rows []sampleRow, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = s.reads.NewSelect().Model(&rows).Where("port_id = ?", portID).Where("slot >= ?", from).Where("slot < ?", to).Order("slot").Limit(samplePage).Scan(ctx)
	return rows, err
}

// RecalculateBill makes the figures of the open period anew from its samples,
// all of which it reads. Closed periods stay as they are. Errors: ErrNotFound, ErrInvalid, ErrUnavailable.
func (s *Store) RecalculateBill(ctx context.Context, id int64, c billing.Calculation) error {
	if err := checkCalculation(c); err != nil { // before anything is forgotten
		return s.fail("recalculate a bill", err)
	}
	err := s.tx(ctx, fmt.Sprintf("recalculate the bill %d", id), func(ctx context.Context, tx bun.Tx) error {
		row, err := s.lockedBill(ctx, tx, id)
		if err != nil {
			return err
		}
		return s.forgetFigures(ctx, tx, &row)
	})
	if err != nil {
		return err
	}
	return s.CalculateBills(ctx, []int64{id}, c)
}

// forgetFigures takes the samples of the open period out of the figures again.
func (s *Store) forgetFigures(ctx context.Context, tx bun.Tx, row *billRow) error {
	var p periodRow
	if err := tx.NewSelect().Model(&p).Where("bill_id = ?", row.ID).Where("closed = ?", false).Scan(ctx); err != nil {
		return err
	}
	fresh := openedPeriod(row, p.period())
	// A period that is over and waits to be closed keeps the terms that it ended with.
	fresh.Type, fresh.Allowed, fresh.Direction, fresh.Warned, fresh.Late = p.Type, p.Allowed, p.Direction, p.Warned, p.Late
	if _, err := s.upsert(tx.NewInsert().Model(&fresh), "bill_id, period_from").Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Table("bill_ports").Set("done_slot = CASE WHEN from_slot > ? THEN from_slot - 1 ELSE ? END", p.PeriodFrom, p.PeriodFrom-1).
		Where("bill_id = ?", row.ID).Exec(ctx)
	if err != nil {
		return err
	}
	return s.forgetChunks(ctx, tx, row.ID, p.PeriodFrom)
}

// forgetChunks removes the packed slots from a time on. A chunk in which the
// period began keeps the slots before, which are those of a closed period.
func (s *Store) forgetChunks(ctx context.Context, tx bun.Tx, billID, from int64) error {
	begin := billing.ChunkOf(from)
	var first []dataRow
	if err := tx.NewSelect().Model(&first).Where("bill_id = ?", billID).Where("begin_at = ?", begin).Scan(ctx); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Table("bill_data").Where("bill_id = ?", billID).Where("begin_at >= ?", begin).Exec(ctx); err != nil {
		return err
	}
	var kept billing.Chunk
	for _, row := range first {
		chunk, err := billing.Unpack(row.Data, begin)
		if err != nil {
			s.log.Warn("the packed rates of a bill were damaged, and its closed period cannot be drawn any more", "bill", billID, "begin", begin)
		}
		for _, slot := range chunk {
			if slot.Begin < from {
				kept.Add(slot)
			}
		}
	}
	if len(kept) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&dataRow{BillID: billID, BeginAt: begin, Data: kept.Pack(begin)}).Returning("NULL").Exec(ctx)
	return err
}

// VerifyPeriod adds the samples of a period up again and says whether they are
// those that its figures were made of: their number, bytes and checksum. Of the
// open period only the samples that are in the figures count. ErrNotFound when the bill has no such period.
func (s *Store) VerifyPeriod(ctx context.Context, billID, from int64) (kept, again billing.Totals, err error) {
	doing := fmt.Sprintf("verify a period of the bill %d", billID)
	var row periodRow
	var members []memberRow
	err = s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		if _, err := s.lockedBill(ctx, tx, billID); err != nil { // no calculation comes between the two
			return err
		}
		row, members = periodRow{}, nil
		if err := tx.NewSelect().Model(&row).Where("bill_id = ?", billID).Where("period_from = ?", from).Scan(ctx); err != nil {
			return err
		}
		return tx.NewSelect().Model(&members).Where("bill_id = ?", billID).Order("port_id", "from_slot").Scan(ctx)
	})
	if err != nil {
		return kept, again, err
	}
	err = s.memberSamples(ctx, billID, members, row.period(), func(m *memberRow, sample billing.Sample) error {
		if row.Closed || sample.Slot <= m.DoneSlot {
			again.Add(sample)
		}
		return nil
	})
	return row.totals(), again, err
}
