package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"pollux/device"
)

// SavePoll writes what one poll found, in one transaction: the device's status
// and facts, its ports, its outage, and events for what changed. The events of
// ports (type interface) and of the status (type up, down, auth) are made here,
// because only here old and new are known at once; those of p are written as well.
//
// Those of an ignored device are notices at most.
//
// A poll that is not newer than the last one of its device changes nothing and
// is no error: the order of polls, not of calls, decides. Two statements are
// enough when nothing changed. Errors: ErrNotFound when the device is gone,
// ErrInvalid for an outcome that finishes no slot, ErrUnavailable.
func (s *Store) SavePoll(ctx context.Context, p device.Poll) error {
	doing := fmt.Sprintf("save the poll of device %d", p.DeviceID)
	if !p.Outcome.Finished() || p.At.IsZero() {
		return s.fail(doing, fmt.Errorf("%w poll: outcome %.20q, sample time %v", ErrInvalid, p.Outcome, p.At))
	}
	digest, measured := "", componentsDigest(p.Components)
	if len(p.Ports) > 0 || p.PortsComplete {
		digest = portsDigest(p.Ports)
	}
	return s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		newer, err := updatePolled(ctx, tx, p)
		if err != nil {
			return err
		}
		if !newer {
			return s.refuseMissing(ctx, tx, p)
		}
		var old polledRow
		if err := tx.NewSelect().Model(&old).Where("id = ?", p.DeviceID).Scan(ctx); err != nil {
			return err
		}
		events, err := saveStatus(ctx, tx, p, old)
		if err != nil {
			return err
		}
		if digest != "" && digest != old.PortsDigest {
			portEvents, err := s.savePorts(ctx, tx, p, digest, old.PortsDigest)
			if err != nil {
				return err
			}
			events = append(events, portEvents...)
		}
		if measured != "" && measured != old.ComponentsDigest {
			componentEvents, err := s.saveComponentStatus(ctx, tx, p, measured)
			if err != nil {
				return err
			}
			events = append(events, componentEvents...)
		}
		return addEvents(ctx, tx, quieted(append(events, reported(p)...), old.Ignored))
	})
}

// quieted takes the alarm out of the events of an ignored device.
func quieted(events []device.Event, ignored bool) []device.Event {
	if ignored {
		for i := range events {
			events[i] = events[i].WithoutAlarm()
		}
	}
	return events
}

// polledRow is what SavePoll must know of the row that it has just updated.
type polledRow struct {
	bun.BaseModel `bun:"table:devices"`

	Status      string `bun:"status"`
	Previous    string `bun:"previous_status"`
	PortsDigest string `bun:"ports_digest"`
	Ignored     bool   `bun:"ignored"`

	ComponentsDigest string `bun:"components_digest"`
}

// updatePolled writes the device's row, unless it holds a poll as new as this
// one. Its row lock makes other polls of the device wait until this one is written.
func updatePolled(ctx context.Context, tx bun.Tx, p device.Poll) (newer bool, err error) {
	// previous_status comes first: MySQL assigns from left to right.
	query := tx.NewUpdate().Table("devices").
		Set("previous_status = status").
		Set("status = CASE WHEN disabled THEN ? ELSE ? END", device.StatusDisabled, statusOf(p.Outcome)).
		Set("status_reason = ?", line(p.Reason, maxReason)).
		Set("polled_at = ?", millis(p.At)).
		Set("polled_slot = ?", p.Slot).
		Set("poll_duration_ms = ?", p.Duration.Milliseconds()).
		Set("last_outcome = ?", p.Outcome)
	if p.Rediscover {
		query = query.Set("discovered_slot = 0") // so that it is overdue
	}
	if p.Facts != nil {
		f := factsColumns(*p.Facts)
		query = query.
			Set("sys_name = ?", f.SysName).Set("sys_descr = ?", f.SysDescr).Set("sys_object_id = ?", f.SysObjectID).
			Set("sys_location = ?", f.SysLocation).Set("sys_contact = ?", f.SysContact).
			Set("uptime_ms = ?", f.UptimeMS) // what it runs is a discovery's to say
	}
	result, err := query.Where("id = ?", p.DeviceID).Where("polled_at < ?", millis(p.At)).Exec(ctx)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows > 0, err
}

func statusOf(o device.Outcome) device.Status {
	switch o {
	case device.OutcomeDown:
		return device.StatusDown
	case device.OutcomeAuth:
		return device.StatusAuth
	default:
		return device.StatusUp
	}
}

// refuseMissing tells a device that is gone from a poll that came too late.
func (s *Store) refuseMissing(ctx context.Context, tx bun.Tx, p device.Poll) error {
	rows, err := tx.NewSelect().Table("devices").Where("id = ?", p.DeviceID).Count(ctx)
	if err != nil {
		return err
	}
	if rows == 0 {
		return ErrNotFound
	}
	s.log.Debug("a newer poll is stored already", "device", p.DeviceID, "slot", p.Slot)
	return nil
}

// saveStatus returns the event of a changed status and keeps the device's outages.
func saveStatus(ctx context.Context, tx bun.Tx, p device.Poll, old polledRow) ([]device.Event, error) {
	if old.Status == old.Previous {
		return nil, nil
	}
	down := string(device.StatusDown)
	if old.Status == down {
		if err := beginOutage(ctx, tx, p.DeviceID, millis(p.At)); err != nil {
			return nil, err
		}
	}
	if old.Previous == down {
		if _, err := endOutage(ctx, tx, p.DeviceID, millis(p.At)); err != nil {
			return nil, err
		}
	}
	severity := device.SeverityError
	if old.Status == string(device.StatusUp) {
		severity = device.SeverityOK
	}
	message := fmt.Sprintf("Device status changed from %s to %s", old.Previous, old.Status)
	if p.Reason != "" {
		message += ": " + line(p.Reason, maxReason)
	}
	if p.Node != "" {
		message += " (node " + line(p.Node, maxShort) + ")"
	}
	return []device.Event{{
		Time: p.At, DeviceID: p.DeviceID, Type: old.Status, Severity: severity, Message: message, Node: p.Node,
	}}, nil
}

// reported fills in what every event of a poll has.
func reported(p device.Poll) []device.Event {
	events := make([]device.Event, len(p.Events))
	for i, e := range p.Events {
		e.DeviceID = p.DeviceID
		if e.Time.IsZero() {
			e.Time = p.At
		}
		if e.Severity == "" {
			e.Severity = device.SeverityInfo
		}
		if e.Node == "" {
			e.Node = p.Node
		}
		events[i] = e
	}
	return events
}

// savePorts writes the ports that differ from what the poll read. The digest
// is kept only when the same readings would change nothing more.
func (s *Store) savePorts(ctx context.Context, tx bun.Tx, p device.Poll, digest, old string) ([]device.Event, error) {
	rows, err := portRows(ctx, tx, p.DeviceID)
	if err != nil {
		return nil, err
	}
	m := mergePorts(rows, p)
	if err := s.writePorts(ctx, tx, m); err != nil {
		return nil, err
	}
	if err := nameAdded(ctx, tx, p.DeviceID, m.events); err != nil {
		return nil, err
	}
	if !m.settled {
		digest = ""
	}
	if digest != old {
		_, err = tx.NewUpdate().Table("devices").Set("ports_digest = ?", digest).Where("id = ?", p.DeviceID).Exec(ctx)
	}
	return m.events, err
}

// portBatch bounds one statement: 500 ports of 4 KB at most are far below max_allowed_packet (16 MiB).
const portBatch = 500

func (s *Store) writePorts(ctx context.Context, tx bun.Tx, m portMerge) error {
	for added := m.added; len(added) > 0; {
		batch := added[:min(len(added), portBatch)]
		if _, err := tx.NewInsert().Model(&batch).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		added = added[len(batch):]
	}
	// One statement for all changed rows. They exist, and cannot be removed
	// before this transaction ends, so each row of it becomes an update.
	for changed := m.changed; len(changed) > 0; {
		batch := changed[:min(len(changed), portBatch)]
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "id").Exec(ctx); err != nil {
			return err
		}
		changed = changed[len(batch):]
	}
	return nil
}

// nameAdded puts the ids of added ports into their events.
func nameAdded(ctx context.Context, tx bun.Tx, deviceID int64, events []device.Event) error {
	pending := false
	for i := range events {
		pending = pending || events[i].PortID < 0
	}
	if !pending {
		return nil
	}
	rows, err := portRows(ctx, tx, deviceID)
	if err != nil {
		return err
	}
	newest := make(map[int64]int64, len(rows)) // by ifIndex; an added port has the highest id
	for i := range rows {
		newest[rows[i].IfIndex] = max(newest[rows[i].IfIndex], rows[i].ID)
	}
	for i := range events {
		if events[i].PortID < 0 {
			events[i].PortID = newest[-events[i].PortID-1]
		}
	}
	return nil
}
