package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
	"pollux/device"
)

// writeAccounts writes what a round of calculation changed, with as few statements as there are tables.
func (s *Store) writeAccounts(ctx context.Context, tx bun.Tx, accounts []*account, periods []periodRow, members []memberRow) error {
	var chunks []dataRow
	for _, a := range accounts {
		for begin := range a.changed {
			chunks = append(chunks, dataRow{BillID: a.bill.ID, BeginAt: begin, Data: a.chunks[begin].Pack(begin)})
		}
	}
	for ; len(chunks) > 0; chunks = chunks[min(len(chunks), portBatch):] {
		batch := chunks[:min(len(chunks), portBatch)]
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "bill_id, begin_at").Exec(ctx); err != nil {
			return err
		}
	}
	for ; len(members) > 0; members = members[min(len(members), collectBatch):] {
		batch := members[:min(len(members), collectBatch)]
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "bill_id, port_id, from_slot", "done_slot").Exec(ctx); err != nil {
			return err
		}
	}
	_, err := s.upsert(tx.NewInsert().Model(&periods), "bill_id, period_from").Exec(ctx)
	return err
}

// openNext opens the periods that follow closed ones, and returns events about them.
func openNext(ctx context.Context, tx bun.Tx, closed []*account) ([]device.Event, error) {
	rows, events := make([]periodRow, 0, len(closed)), make([]device.Event, 0, len(closed))
	for _, a := range closed {
		zone, err := a.bill.bill().Location()
		if err != nil { // its next period would end at another time than agreed
			return nil, fmt.Errorf("close the period of %s: %w; see: pollux bill set %d --time-zone ZONE", titledBill(&a.bill), err, a.bill.ID)
		}
		from := a.period.PeriodTo
		next := openedPeriod(&a.bill, billing.Period{From: from, To: billing.NextBoundary(time.Unix(from, 0), a.bill.Day, zone)})
		if _, err := tx.NewUpdate().Table("bills").Set("period_from = ?", from).Where("id = ?", a.bill.ID).Exec(ctx); err != nil {
			return nil, err
		}
		rows = append(rows, next)
		shown := a.period.standing()
		events = append(events, billEvent("", "%s: closed the period %s: used %d of %d, overuse %d, coverage %s %%", titledBill(&a.bill),
			shownPeriod(shown.Period, zone), shown.Used, shown.Allowed, shown.Overuse, hundredths(shown.Coverage())))
	}
	_, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx)
	return events, err
}

func shownPeriod(p billing.Period, zone *time.Location) string {
	const form = "2006-01-02 15:04 MST"
	return time.Unix(p.From, 0).In(zone).Format(form) + " to " + time.Unix(p.To, 0).In(zone).Format(form)
}

// hundredths shows a number of hundredths, such as 9950 as 99.50.
func hundredths(n uint64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

// What a period was warned of already.
const (
	warnedNear = 1 << iota
	warnedOver
	warnedCoverage
)

const (
	near        = 8000      // hundredths of a percent of the allowance
	leastCover  = 9900      // hundredths of a percent
	leastSample = 100       // samples expected before coverage says anything
	leastRated  = 24 * 3600 // seconds of rates before a percentile says anything: that of the first slots is their highest
)

// warnings are events about what the open period has reached, each once in a period.
func (a *account) warnings() []device.Event {
	var events []device.Event
	s := a.period.standing()
	warn := func(mark int, severity device.Severity, format string, args ...any) {
		if a.period.Warned&mark == 0 {
			e := billEvent("", "%s: "+format, append([]any{titledBill(&a.bill)}, args...)...)
			e.Severity = severity
			events = append(events, e)
		}
		a.period.Warned |= mark
	}
	switch {
	case s.Type == billing.CDR && s.MeasuredSeconds < leastRated:
	case s.Allowed > 0 && s.Overuse > 0:
		warn(warnedOver, device.SeverityWarning, "used more than its allowance: %d of %d (%s %%)", s.Used, s.Allowed, hundredths(s.Percent()))
		a.period.Warned |= warnedNear
	case s.Percent() > near:
		warn(warnedNear, device.SeverityNotice, "used %s %% of its allowance: %d of %d", hundredths(s.Percent()), s.Used, s.Allowed)
	}
	if s.Expected >= leastSample && s.Coverage() < leastCover {
		warn(warnedCoverage, device.SeverityWarning, "coverage is %s %%: %d of %d samples; see: pollux bill samples %d --gaps", hundredths(s.Coverage()), s.Got, s.Expected, a.bill.ID)
	}
	return events
}
