package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// account is a bill while it is calculated.
type account struct {
	bill    billRow
	period  *periodRow
	totals  billing.Totals
	to      int64 // samples whose slots begin before it count now
	members []*memberRow
	chunks  map[int64]*billing.Chunk // of the open period, by their begin
	changed map[int64]bool           // chunks that must be written
}

// accounts locks the bills and reads their open periods and ports.
func (s *Store) accounts(ctx context.Context, tx bun.Tx, ids []int64, c billing.Calculation) ([]*account, error) {
	var bills []billRow
	if err := s.locked(tx.NewSelect().Model(&bills).Where("id IN (?)", bun.List(ids)).Order("id")).Scan(ctx); err != nil || len(bills) == 0 {
		return nil, err
	}
	byID := make(map[int64]*account, len(bills))
	for i := range bills {
		byID[bills[i].ID] = &account{bill: bills[i], chunks: map[int64]*billing.Chunk{}, changed: map[int64]bool{}}
	}
	var periods []periodRow
	if err := tx.NewSelect().Model(&periods).Where("bill_id IN (?)", bun.List(ids)).Where("closed = ?", false).Scan(ctx); err != nil {
		return nil, err
	}
	width := int64(c.Interval)
	for i := range periods {
		if a := byID[periods[i].BillID]; a != nil {
			a.period, a.totals = &periods[i], periods[i].totals()
			a.to = min(c.Now.Unix()/width*width, a.period.PeriodTo) // slots that are over
		}
	}
	var members []memberRow
	if err := tx.NewSelect().Model(&members).Where("bill_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	for i := range members {
		if a := byID[members[i].BillID]; a != nil {
			a.members = append(a.members, &members[i])
		}
	}
	accounts := make([]*account, 0, len(bills))
	for _, b := range bills {
		if a := byID[b.ID]; a.period != nil { // always so, unless a hand was in the table
			accounts = append(accounts, a)
		}
	}
	return accounts, nil
}

// readChunks reads the rates of the open periods.
func readChunks(ctx context.Context, tx bun.Tx, accounts []*account) error {
	begins := map[int64][]int64{}
	byID := make(map[int64]*account, len(accounts))
	for _, a := range accounts {
		begin := billing.ChunkOf(a.period.PeriodFrom)
		begins[begin], byID[a.bill.ID] = append(begins[begin], a.bill.ID), a
	}
	for begin, ids := range begins {
		var rows []dataRow
		if err := tx.NewSelect().Model(&rows).Where("bill_id IN (?)", bun.List(ids)).Where("begin_at >= ?", begin).Scan(ctx); err != nil {
			return err
		}
		for _, row := range rows {
			chunk, err := billing.Unpack(row.Data, row.BeginAt)
			if err != nil {
				return fmt.Errorf("bill %d: %w", row.BillID, err)
			}
			byID[row.BillID].chunks[row.BeginAt] = &chunk
		}
	}
	return nil
}

// add counts one sample of a member.
func (a *account) add(m *memberRow, sample billing.Sample) {
	m.DoneSlot = sample.Slot
	if sample.Slot < a.period.PeriodFrom {
		a.period.Late++
		return
	}
	a.totals.Add(sample.Since(m.FromSlot))
	sample.Spread(max(a.period.PeriodFrom, m.FromSlot), func(slot billing.Slot) {
		begin := billing.ChunkOf(slot.Begin)
		if a.chunks[begin] == nil {
			a.chunks[begin] = &billing.Chunk{}
		}
		a.chunks[begin].Add(slot)
		a.changed[begin] = true
	})
}

// figure makes the figures of the open period. While not all samples are
// counted, the time to which it is calculated stays where it was.
func (a *account) figure(c billing.Calculation, whole bool) {
	p, expected := a.period, int64(0)
	for _, m := range a.members {
		if from, to := a.present(m); from < to {
			expected += billing.Expected(from, to, c.Interval)
		}
	}
	p.Method, p.CalculatedAt = string(billing.Nearest), millis(c.Now)
	if c.Method == billing.LibreNMS {
		p.Method = string(billing.LibreNMS)
	}
	p.setTotals(a.totals)
	reached := p.CalculatedTo
	p.setFigures(a.figures(billing.Amend(expected, c.Interval, a.totals)))
	if !whole {
		p.CalculatedTo = reached
	}
}

// present is from when to when samples of a member count in the open period, as far as it is calculated.
func (a *account) present(m *memberRow) (from, to int64) {
	from, to = max(m.FromSlot, a.period.PeriodFrom), a.to
	if m.UntilSlot > 0 {
		to = min(to, m.UntilSlot)
	}
	return from, to
}

// figures are those of what was counted, by the terms of the open period.
func (a *account) figures(expected int64) billing.Figures {
	p := a.period
	size := 0
	for _, chunk := range a.chunks {
		size += len(*chunk)
	}
	slots := make([]billing.Slot, 0, size)
	for _, chunk := range a.chunks {
		for _, slot := range *chunk {
			if slot.Begin >= p.PeriodFrom && slot.Begin < p.PeriodTo {
				slots = append(slots, slot)
			}
		}
	}
	began := a.to
	for _, m := range a.members {
		if from, to := a.present(m); from < to {
			began = min(began, from)
		}
	}
	figures := billing.Figure(billing.Terms{
		Type: billing.Type(p.Type), Allowed: unsigned(p.Allowed), Direction: billing.Direction(p.Direction), Method: billing.Method(p.Method),
		Period: p.period(), To: a.to, Began: began,
	}, a.totals, slots)
	figures.Expected = expected
	return figures
}

// refigure makes the figures of an open period by new terms, from what was
// counted: nobody sees what was used by the old ones beside the new allowance.
func refigure(ctx context.Context, tx bun.Tx, p *periodRow, members []*memberRow) error {
	if p.CalculatedAt == 0 {
		return nil
	}
	a := &account{period: p, totals: p.totals(), to: p.CalculatedTo, members: members, chunks: map[int64]*billing.Chunk{}}
	a.bill.ID = p.BillID
	if err := readChunks(ctx, tx, []*account{a}); err != nil {
		return err
	}
	p.setFigures(a.figures(p.Expected))
	return nil
}

func billIDs(accounts []*account) []int64 {
	ids := make([]int64, len(accounts))
	for i, a := range accounts {
		ids[i] = a.bill.ID
	}
	return ids
}
