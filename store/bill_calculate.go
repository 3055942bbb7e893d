package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
	"pollux/device"
)

const (
	// CloseAfter is how long after its end a period is closed: longer than a slot, MaxLate and the tries of a transaction.
	CloseAfter = 30 * time.Minute
	// calculateBatch bounds how many bills one transaction calculates.
	calculateBatch = 50
	// sampleBatch bounds how many samples one transaction adds up.
	sampleBatch = 50_000
	// maxRounds bounds how often a batch of bills is calculated again because
	// there was more to do. What is left then is done by the next calculation.
	maxRounds = 1000
)

// DueBills lists the bills that were calculated before a time or never, in
// the order of their ids, those with ids above afterID only: 1,000 for a limit of 0, 10,000 at most.
func (s *Store) DueBills(ctx context.Context, before time.Time, afterID int64, limit int) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var ids []int64
	err := s.reads.NewSelect().Table("bills").Column("id").Where("calculated_at < ?", millis(before)).Where("id > ?", afterID).
		Order("id").Limit(page(limit)).Scan(ctx, &ids)
	if err != nil {
		return nil, s.fail("list the bills that are due", err)
	}
	return ids, nil
}

// CalculateBills brings the figures of bills up to date, closes periods that
// are over, and opens the next ones. Only samples that are not in the figures
// yet are read. Bills that do not exist are left out. Two calculations of one
// bill wait for each other, and each sample is counted once. Errors: ErrUnavailable.
func (s *Store) CalculateBills(ctx context.Context, ids []int64, c billing.Calculation) error {
	if c.Interval < billing.MinInterval || c.Interval > billing.MaxInterval || c.Now.IsZero() {
		return s.fail("calculate bills", fmt.Errorf("%w calculation: at %v, every %d s", ErrInvalid, c.Now, c.Interval))
	}
	for ids = sortedOnce(ids); len(ids) > 0; ids = ids[min(len(ids), calculateBatch):] {
		batch := ids[:min(len(ids), calculateBatch)]
		for range maxRounds {
			more := false
			err := s.tx(ctx, fmt.Sprintf("calculate %d bills from bill %d", len(batch), batch[0]), func(ctx context.Context, tx bun.Tx) (err error) {
				more, err = s.calculate(ctx, tx, batch, c)
				return err
			})
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// account is a bill while it is calculated.
type account struct {
	bill    billRow
	period  *periodRow
	totals  billing.Totals
	to      int64 // samples whose slots begin before it count now
	members []*memberRow
	chunks  map[int64]billing.Chunk // of the open period, by their begin
	changed map[int64]bool          // chunks that must be written
}

// calculate does one round; more says that another one has something to do.
func (s *Store) calculate(ctx context.Context, tx bun.Tx, ids []int64, c billing.Calculation) (more bool, err error) {
	accounts, err := s.accounts(ctx, tx, ids, c)
	if err != nil || len(accounts) == 0 {
		return false, err
	}
	if err := readChunks(ctx, tx, accounts); err != nil {
		return false, err
	}
	members, more, err := addSamples(ctx, tx, accounts)
	if err != nil {
		return false, err
	}
	var periods []periodRow
	var events []device.Event
	var closed []*account
	for _, a := range accounts {
		a.figure(c)
		if !more {
			events = append(events, a.warnings()...)
			if c.Now.Unix() >= a.period.PeriodTo+int64(CloseAfter/time.Second) {
				a.period.Closed = true
				closed = append(closed, a)
			}
		}
		periods = append(periods, *a.period)
	}
	if err := s.writeAccounts(ctx, tx, accounts, periods, members); err != nil {
		return false, err
	}
	if len(closed) > 0 {
		more = true // the next period has samples already
		closing, err := openNext(ctx, tx, closed)
		if err != nil {
			return false, err
		}
		events = append(events, closing...)
	}
	_, err = tx.NewUpdate().Table("bills").Set("calculated_at = ?", millis(c.Now)).Where("id IN (?)", bun.List(billIDs(accounts))).Exec(ctx)
	if err != nil {
		return false, err
	}
	return more, addEvents(ctx, tx, events)
}

// accounts locks the bills and reads their open periods and ports.
func (s *Store) accounts(ctx context.Context, tx bun.Tx, ids []int64, c billing.Calculation) ([]*account, error) {
	var bills []billRow
	if err := s.locked(tx.NewSelect().Model(&bills).Where("id IN (?)", bun.List(ids)).Order("id")).Scan(ctx); err != nil || len(bills) == 0 {
		return nil, err
	}
	byID := make(map[int64]*account, len(bills))
	for i := range bills {
		byID[bills[i].ID] = &account{bill: bills[i], chunks: map[int64]billing.Chunk{}, changed: map[int64]bool{}}
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
			chunk := billing.Chunk{}
			if err := billing.Unpack(row.Data, row.BeginAt, func(slot billing.Slot) { chunk[slot.Begin] = slot }); err != nil {
				return fmt.Errorf("bill %d: %w", row.BillID, err)
			}
			byID[row.BillID].chunks[row.BeginAt] = chunk
		}
	}
	return nil
}

// part is a stretch of samples that several memberships lack: above after, below before.
type part struct{ after, before int64 }

// addSamples counts the samples that are not in the figures yet, and returns
// the memberships whose progress that changed.
func addSamples(ctx context.Context, tx bun.Tx, accounts []*account) (changed []memberRow, more bool, err error) {
	type seat struct {
		*account
		*memberRow
		part
	}
	parts, seats := map[part][]int64{}, map[int64][]seat{}
	for _, a := range accounts {
		for _, m := range a.members {
			p := part{after: m.DoneSlot, before: a.to}
			if m.UntilSlot > 0 {
				p.before = min(p.before, m.UntilSlot)
			}
			if p.after+1 < p.before {
				parts[p] = append(parts[p], m.PortID)
				seats[m.PortID] = append(seats[m.PortID], seat{a, m, p})
			}
		}
	}
	if len(parts) == 0 {
		return nil, false, nil
	}
	var rows []sampleRow
	query := tx.NewSelect().Model(&rows).Order("port_id", "slot").Limit(sampleBatch)
	for p, ports := range parts {
		query = query.WhereOr("(port_id IN (?) AND slot > ? AND slot < ?)", bun.List(sortedOnce(ports)), p.after, p.before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, false, err
	}
	for i := range rows {
		sample := rows[i].sample()
		for _, seat := range seats[sample.Port] {
			if sample.Slot > seat.after && sample.Slot < seat.before {
				seat.add(seat.memberRow, sample)
			}
		}
	}
	for _, list := range seats {
		for _, seat := range list {
			if seat.DoneSlot > seat.after {
				changed = append(changed, *seat.memberRow)
			}
		}
	}
	slices.SortFunc(changed, func(a, b memberRow) int {
		return cmp.Or(cmp.Compare(a.BillID, b.BillID), cmp.Compare(a.PortID, b.PortID), cmp.Compare(a.FromSlot, b.FromSlot))
	})
	return changed, len(rows) == sampleBatch, nil
}

// add counts one sample of a member.
func (a *account) add(m *memberRow, sample billing.Sample) {
	m.DoneSlot = sample.Slot
	if sample.Slot < a.period.PeriodFrom {
		a.period.Late++
		return
	}
	a.totals.Add(sample)
	sample.Spread(max(a.period.PeriodFrom, m.FromSlot), func(slot billing.Slot) {
		begin := billing.ChunkOf(slot.Begin)
		if a.chunks[begin] == nil {
			a.chunks[begin] = billing.Chunk{}
		}
		a.chunks[begin].Add(slot)
		a.changed[begin] = true
	})
}

// figure makes the figures of the open period.
func (a *account) figure(c billing.Calculation) {
	p := a.period
	slots := make([]billing.Slot, 0, 300)
	for _, chunk := range a.chunks {
		for _, slot := range chunk {
			if slot.Begin >= p.PeriodFrom && slot.Begin < p.PeriodTo {
				slots = append(slots, slot)
			}
		}
	}
	began, expected := a.to, int64(0)
	for _, m := range a.members {
		from, to := max(m.FromSlot, p.PeriodFrom), a.to
		if m.UntilSlot > 0 {
			to = min(to, m.UntilSlot)
		}
		if from < to {
			began = min(began, from)
			expected += billing.Expected(from, to, c.Interval)
		}
	}
	method := c.Method
	if method != billing.LibreNMS {
		method = billing.Nearest
	}
	p.setTotals(a.totals)
	figures := billing.Figure(billing.Terms{
		Type: billing.Type(p.Type), Allowed: unsigned(p.Allowed), Direction: billing.Direction(p.Direction), Method: method,
		Period: p.period(), To: a.to, Began: began,
	}, a.totals, slots)
	figures.Expected = billing.Amend(expected, c.Interval, a.totals)
	p.setFigures(figures)
	p.Method, p.CalculatedAt = string(method), millis(c.Now)
}

func billIDs(accounts []*account) []int64 {
	ids := make([]int64, len(accounts))
	for i, a := range accounts {
		ids[i] = a.bill.ID
	}
	return ids
}
