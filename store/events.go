package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// eventRow is a row of eventlog.
type eventRow struct {
	bun.BaseModel `bun:"table:eventlog"`

	ID       int64  `bun:"id,pk,autoincrement"`
	LoggedAt int64  `bun:"logged_at"`
	DeviceID int64  `bun:"device_id"`
	PortID   int64  `bun:"port_id"`
	Type     string `bun:"type"`
	Severity string `bun:"severity"`
	Message  string `bun:"message"`
	Node     string `bun:"node"`
	Actor    string `bun:"actor"`
}

func newEventRow(e device.Event) eventRow {
	return eventRow{
		LoggedAt: millis(e.Time), DeviceID: e.DeviceID, PortID: e.PortID, Type: line(e.Type, maxShort),
		Severity: line(string(e.Severity), 16), Message: line(e.Message, maxMessage),
		Node: line(e.Node, maxShort), Actor: line(e.Actor, maxName),
	}
}

// AddEvent writes one event. Without a time it gets the present one, without a
// severity info; one of an ignored device is a notice at most. Texts are cut to what the table takes (1,024 bytes of message).
func (s *Store) AddEvent(ctx context.Context, e device.Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Severity == "" {
		e.Severity = device.SeverityInfo
	}
	return s.tx(ctx, "write an event", func(ctx context.Context, tx bun.Tx) error {
		ignored, err := isIgnored(ctx, tx, e.DeviceID)
		if err != nil {
			return err
		}
		return addEvents(ctx, tx, quieted([]device.Event{e}, ignored))
	})
}

// isIgnored says whether a device is ignored; one that does not exist is not.
func isIgnored(ctx context.Context, tx bun.Tx, id int64) (bool, error) {
	if id == 0 {
		return false, nil
	}
	n, err := tx.NewSelect().Table("devices").Where("id = ?", id).Where("ignored = ?", true).Count(ctx)
	return n > 0, err
}

// eventBatch bounds one INSERT: 200 events of 1,024 bytes stay far below max_allowed_packet.
const eventBatch = 200

func addEvents(ctx context.Context, tx bun.Tx, events []device.Event) error {
	rows := make([]eventRow, len(events))
	for i := range events {
		rows[i] = newEventRow(events[i])
	}
	for len(rows) > 0 {
		batch := rows[:min(len(rows), eventBatch)]
		if _, err := tx.NewInsert().Model(&batch).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		rows = rows[len(batch):]
	}
	return nil
}

// EventFilter chooses events. The zero EventFilter chooses the latest 1,000 of all.
type EventFilter struct {
	DeviceID int64           // only of this device; 0 means all
	PortID   int64           // only of this port; 0 means all
	Type     string          // only of this type
	Node     string          // only noticed by, or about, the node of this NODE_ID
	Least    device.Severity // only of this severity or a graver one
	Since    time.Time       // only from this time on
	BeforeID int64           // only with smaller ids: the last id of the page before
	Limit    int             // at most so many; 0 means 1,000, more than 10,000 means 10,000
}

// where narrows a query to what the filter chooses; ErrInvalid for a severity that there is not.
func (f EventFilter) where(query *bun.SelectQuery) (*bun.SelectQuery, error) {
	if f.DeviceID != 0 {
		query = query.Where("device_id = ?", f.DeviceID)
	}
	if f.PortID != 0 {
		query = query.Where("port_id = ?", f.PortID)
	}
	if f.Type != "" {
		query = query.Where("type = ?", line(f.Type, maxShort))
	}
	if f.Node != "" {
		query = query.Where("node = ?", line(f.Node, maxShort))
	}
	if f.Least != "" {
		all := device.Severities()
		least := slices.Index(all, f.Least)
		if least < 0 {
			return nil, fmt.Errorf("%w severity %.40q", ErrInvalid, f.Least)
		}
		query = query.Where("severity IN (?)", bun.List(all[least:]))
	}
	if !f.Since.IsZero() {
		query = query.Where("logged_at >= ?", millis(f.Since))
	}
	if f.BeforeID > 0 {
		query = query.Where("id < ?", f.BeforeID)
	}
	return query, nil
}

// Events lists events, newest first; ErrInvalid for a severity that there is
// not. The rows are read in the order of an index and only until there are as
// many as were asked for, so a rare type without Since reads the whole log.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]device.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []eventRow
	query, err := f.where(s.reads.NewSelect().Model(&rows).Order("id DESC").Limit(page(f.Limit)))
	if err != nil {
		return nil, s.fail("list the events", err)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.fail("list the events", err)
	}
	list := make([]device.Event, len(rows))
	for i, r := range rows {
		list[i] = device.Event{
			ID: r.ID, Time: fromMillis(r.LoggedAt), DeviceID: r.DeviceID, PortID: r.PortID, Type: r.Type,
			Severity: device.Severity(r.Severity), Message: r.Message, Node: r.Node, Actor: r.Actor,
		}
	}
	return list, nil
}

// PurgeEvents removes events that are older than before and returns how many.
func (s *Store) PurgeEvents(ctx context.Context, before time.Time) (int64, error) {
	return s.purge(ctx, "purge the eventlog", "eventlog", "logged_at", before)
}
