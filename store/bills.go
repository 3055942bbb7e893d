package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
	"pollux/device"
)

// Bill returns the bill of an id or of a name; ErrNotFound when there is none.
func (s *Store) Bill(ctx context.Context, idOrName string) (billing.Bill, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doing := fmt.Sprintf("find the bill %.80q", idOrName)
	var row billRow
	query := s.reads.NewSelect().Model(&row)
	if id, err := strconv.ParseInt(idOrName, 10, 64); err == nil {
		query = query.Where("id = ?", id) // no bill has a number for a name
	} else if idOrName != line(idOrName, maxBillText) {
		return billing.Bill{}, s.fail(doing, ErrNotFound) // no bill has such a name, and an engine might not take it
	} else {
		query = query.Where("name = ?", idOrName)
	}
	if err := query.Scan(ctx); err != nil {
		return billing.Bill{}, s.fail(doing, err)
	}
	return row.bill(), nil
}

// BillFilter chooses bills. The zero BillFilter chooses the first 1,000 of all.
type BillFilter struct {
	Customer string       // only of this customer
	Type     billing.Type // only of this type
	AfterID  int64        // only with greater ids: the last id of the page before
	Limit    int          // at most so many; 0 means 1,000, more than 10,000 means 10,000
}

// Bills lists bills in the order of their ids.
func (s *Store) Bills(ctx context.Context, f BillFilter) ([]billing.Bill, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []billRow
	query := s.reads.NewSelect().Model(&rows).Where("id > ?", f.AfterID).Order("id").Limit(page(f.Limit))
	if f.Customer != "" {
		query = query.Where("customer = ?", line(f.Customer, maxBillText))
	}
	if f.Type != "" {
		query = query.Where("bill_type = ?", line(string(f.Type), maxShort))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.fail("list the bills", err)
	}
	list := make([]billing.Bill, len(rows))
	for i := range rows {
		list[i] = rows[i].bill()
	}
	return list, nil
}

// AddBill adds a bill with ports, whose samples count from now on, and writes
// an event that names who did it. Its first period is the one that now lies in.
// Errors: ErrInvalid, ErrDuplicate for the name, ErrNotFound for a port.
func (s *Store) AddBill(ctx context.Context, b billing.Bill, ports []int64, now time.Time, actor string) (billing.Bill, error) {
	doing := fmt.Sprintf("add the bill %.80q", b.Name)
	row, zone, err := describedBill(b)
	if err != nil {
		return billing.Bill{}, s.fail(doing, err)
	}
	period := billing.PeriodAt(now, b.Day, zone)
	row.ID, row.PeriodFrom, row.Version, row.CreatedAt, row.CalculatedAt = 0, period.From, 1, millis(now), 0
	err = s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		row.ID = 0
		if err := checkBillName(ctx, tx, row.Name, 0); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			if duplicate(err) {
				return errAgain // somebody else took the name just now
			}
			return err
		}
		opened := openedPeriod(&row, period)
		if _, err := tx.NewInsert().Model(&opened).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		if err := s.joinBill(ctx, tx, row.ID, ports, now); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{billEvent(actor, "added %s: %s, %d ports", titledBill(&row), terms(&row), len(ports))})
	})
	if err != nil {
		return billing.Bill{}, err
	}
	return row.bill(), nil
}

// UpdateBill changes what people decide of a bill, and writes an event that
// names who did it. b.Version must be that of the bill as it was read:
// ErrChanged when somebody else changed it since. A billing day or time zone
// that changes ends the open period at its next such day; the terms of closed
// periods stay, and of one that is over and waits to be closed. Other errors: ErrNotFound, ErrInvalid, ErrDuplicate for the name.
func (s *Store) UpdateBill(ctx context.Context, b billing.Bill, now time.Time, actor string) (billing.Bill, error) {
	doing := fmt.Sprintf("change the bill %d", b.ID)
	row, zone, err := describedBill(b)
	if err != nil {
		return billing.Bill{}, s.fail(doing, err)
	}
	err = s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		old, err := s.lockedBill(ctx, tx, b.ID)
		if err != nil {
			return err
		}
		if old.Version != b.Version {
			return fmt.Errorf("%w: it is version %d now, and this change is of version %d; look at it and change it again", ErrChanged, old.Version, b.Version)
		}
		row.ID, row.PeriodFrom, row.CreatedAt, row.CalculatedAt, row.Version = old.ID, old.PeriodFrom, old.CreatedAt, old.CalculatedAt, old.Version
		if row == old {
			return nil
		}
		if row.Version++; row.Name != old.Name {
			if err := checkBillName(ctx, tx, row.Name, row.ID); err != nil {
				return err
			}
		}
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			if duplicate(err) {
				return errAgain
			}
			return err
		}
		if err := changeOpen(ctx, tx, &row, &old, zone, now); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{billEvent(actor, "changed %s: %s", titledBill(&row), terms(&row))})
	})
	if err != nil {
		return billing.Bill{}, err
	}
	return row.bill(), nil
}

// changeOpen changes the terms of the period that runs. One that is over and
// waits to be closed stays as it ended; the next one begins by the new terms.
func changeOpen(ctx context.Context, tx bun.Tx, row, old *billRow, zone *time.Location, now time.Time) error {
	var p periodRow
	if err := tx.NewSelect().Model(&p).Where("bill_id = ?", row.ID).Where("closed = ?", false).Scan(ctx); err != nil {
		return fmt.Errorf("read the open period: %w", err)
	}
	var members []*memberRow
	if err := tx.NewSelect().Model(&members).Where("bill_id = ?", row.ID).Scan(ctx); err != nil {
		return fmt.Errorf("read the ports: %w", err)
	}
	reached := max(now.Unix(), p.CalculatedTo, p.PeriodFrom) // whatever the clock says, what was calculated is over
	for _, m := range members {
		reached = max(reached, m.DoneSlot)
	}
	if p.PeriodTo <= reached {
		return nil
	}
	if row.Type != old.Type || row.Allowed != old.Allowed || row.Direction != old.Direction {
		p.Type, p.Allowed, p.Direction = row.Type, row.Allowed, row.Direction
		p.Warned &^= warnedNear | warnedOver // another allowance can be used up once more
	}
	if row.Day != old.Day || row.Zone != old.Zone {
		p.PeriodTo = billing.NextBoundary(time.Unix(reached, 0), row.Day, zone)
	}
	if err := refigure(ctx, tx, &p, members); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model(&p).WherePK().Exec(ctx)
	return err
}

// RemoveBill removes a bill with its history, and writes an event that names
// who did it. The samples of its ports stay until their age. ErrNotFound when there is none.
func (s *Store) RemoveBill(ctx context.Context, id int64, actor string) error {
	return s.tx(ctx, fmt.Sprintf("remove the bill %d", id), func(ctx context.Context, tx bun.Tx) error {
		row, err := s.lockedBill(ctx, tx, id)
		if err != nil {
			return err
		}
		// Ports, figures and history go with it (foreign keys).
		if _, err := tx.NewDelete().Table("bills").Where("id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{billEvent(actor, "removed %s", titledBill(&row))})
	})
}

// maxBillText is the length of a bill's short texts, in bytes.
const maxBillText = 128

// describedBill gives a bill the form in which it is kept; ErrInvalid.
func describedBill(b billing.Bill) (billRow, *time.Location, error) {
	if err := b.Validate(); err != nil {
		return billRow{}, nil, fmt.Errorf("%w %w", ErrInvalid, err)
	}
	zone, err := b.Location()
	if err != nil {
		return billRow{}, nil, fmt.Errorf("%w %w", ErrInvalid, err)
	}
	name := strings.TrimSpace(b.Name)
	if name == "" || name != line(name, maxBillText) || strings.ContainsFunc(name, hidden) {
		return billRow{}, nil, fmt.Errorf("%w name: want 1 to %d bytes of printable text", ErrInvalid, maxBillText)
	}
	if _, err := strconv.ParseInt(name, 10, 64); err == nil {
		return billRow{}, nil, fmt.Errorf("%w name: %s would be taken for the id of a bill", ErrInvalid, name)
	}
	return billRow{
		Name: name, Ref: line(b.Ref, maxBillText), Customer: line(b.Customer, maxBillText), Notes: text(b.Notes, maxMessage),
		Type: string(b.Type), Allowed: b.Allowed, Direction: string(b.Direction), Day: b.Day, Zone: b.Zone,
	}, zone, nil
}

// checkBillName refuses the name of a bill other than except.
func checkBillName(ctx context.Context, tx bun.Tx, name string, except int64) error {
	taken, err := tx.NewSelect().Table("bills").Where("name = ?", name).Where("id <> ?", except).Count(ctx)
	if err == nil && taken > 0 {
		return fmt.Errorf("%w: a bill with the name %s", ErrDuplicate, name)
	}
	return err
}

// lockedBill reads a bill, and keeps others from changing or calculating it until the transaction ends.
func (s *Store) lockedBill(ctx context.Context, tx bun.Tx, id int64) (row billRow, err error) {
	err = s.locked(tx.NewSelect().Model(&row).Where("id = ?", id)).Scan(ctx)
	return row, err
}

func titledBill(r *billRow) string { return fmt.Sprintf("bill %d (%s)", r.ID, r.Name) }

func terms(r *billRow) string {
	unit := "bit/s"
	if r.Type == string(billing.Quota) {
		unit = "bytes"
	}
	return fmt.Sprintf("%s of %d %s %s, day %d %s", r.Type, r.Allowed, unit, r.Direction, r.Day, r.Zone)
}

func billEvent(actor, format string, args ...any) device.Event {
	return device.Event{Time: time.Now(), Type: "bill", Severity: device.SeverityNotice, Actor: actor, Message: fmt.Sprintf(format, args...)}
}
