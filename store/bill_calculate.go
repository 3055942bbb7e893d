package store

import (
	"context"
	"errors"
	"fmt"
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
// bill wait for each other, and each sample is counted once. A bill that
// cannot be calculated, because its rows were damaged, keeps no other from it.
// Errors: ErrUnavailable, ErrInvalid, and what is wrong with bills.
func (s *Store) CalculateBills(ctx context.Context, ids []int64, c billing.Calculation) error {
	if err := checkCalculation(c); err != nil {
		return s.fail("calculate bills", err)
	}
	var failed error
	for ids = sortedOnce(ids); len(ids) > 0; ids = ids[min(len(ids), calculateBatch):] {
		batch := ids[:min(len(ids), calculateBatch)]
		err := s.calculateBatch(ctx, batch, c)
		if alone := err != nil && !errors.Is(err, ErrUnavailable) && ctx.Err() == nil && len(batch) > 1; alone {
			err = nil
			for _, id := range batch {
				err = errors.Join(err, s.calculateBatch(ctx, []int64{id}, c))
			}
		}
		if errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func checkCalculation(c billing.Calculation) error {
	if c.Interval < billing.MinInterval || c.Interval > billing.MaxInterval || c.Now.IsZero() {
		return fmt.Errorf("%w calculation: at %v, every %d s", ErrInvalid, c.Now, c.Interval)
	}
	return nil
}

func (s *Store) calculateBatch(ctx context.Context, ids []int64, c billing.Calculation) error {
	for range maxRounds {
		more := false
		err := s.tx(ctx, fmt.Sprintf("calculate %d bills from bill %d", len(ids), ids[0]), func(ctx context.Context, tx bun.Tx) (err error) {
			more, err = s.calculate(ctx, tx, ids, c)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
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
	members, more, err := addSamples(ctx, tx, accounts, c.Now)
	if err != nil {
		return false, err
	}
	var periods []periodRow
	var events []device.Event
	var closed []*account
	for _, a := range accounts {
		a.figure(c, !more)
		if !more {
			events = append(events, a.warnings()...)
			if !c.Open && c.Now.Unix() >= a.period.PeriodTo+int64(CloseAfter/time.Second) {
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
