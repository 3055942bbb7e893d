package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"pollux/device"
)

// SaveDiscovery writes what one discovery found, in one transaction: what the
// device runs, its components, and events for what changed. A component that is
// absent from two complete discoveries of two slots has vanished. Events of an
// ignored device are notices at most.
//
// A discovery that is not newer than the last one of its device changes nothing
// and is no error. Nor does one that was under way when the device became one that is asked by
// ICMP only, or got another address: what it found is another agent's. Errors: ErrNotFound when the device is gone, ErrUnavailable.
func (s *Store) SaveDiscovery(ctx context.Context, d device.Discovery) error {
	doing := fmt.Sprintf("save the discovery of device %d", d.DeviceID)
	if d.At.IsZero() || d.Slot <= 0 {
		return s.fail(doing, fmt.Errorf("%w discovery: slot %d, time %v", ErrInvalid, d.Slot, d.At))
	}
	return s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		var old discoveredRow
		if err := s.locked(tx.NewSelect().Model(&old).Where("id = ?", d.DeviceID)).Scan(ctx); err != nil {
			return err
		}
		if old.DiscoveredAt >= millis(d.At) || old.PingOnly || old.asksElse(d) {
			return nil
		}
		if err := updateDiscovered(ctx, tx, d); err != nil {
			return err
		}
		events := changedFacts(old, d)
		rows, err := componentRows(ctx, tx, d.DeviceID)
		if err != nil {
			return err
		}
		m := mergeComponents(rows, d)
		if err := s.writeComponents(ctx, tx, m); err != nil {
			return err
		}
		found, err := s.saveInventory(ctx, tx, d)
		if err != nil {
			return err
		}
		return addEvents(ctx, tx, quieted(slices.Concat(events, m.events, found), old.Ignored))
	})
}

// discoveredRow is what SaveDiscovery must know of a device.
type discoveredRow struct {
	bun.BaseModel `bun:"table:devices"`

	Hostname     string `bun:"hostname"`
	Address      string `bun:"address"`
	Port         int    `bun:"port"`
	DiscoveredAt int64  `bun:"discovered_at"`
	PingOnly     bool   `bun:"snmp_disable"`
	Ignored      bool   `bun:"ignored"`
	OS           string `bun:"os"`
	Hardware     string `bun:"hardware"`
	Version      string `bun:"version"`
	Serial       string `bun:"serial"`
	Features     string `bun:"features"`
}

// asksElse says whether the device asks another agent by now than a discovery did.
func (r *discoveredRow) asksElse(d device.Discovery) bool {
	host := device.Device{Hostname: r.Hostname, Address: r.Address}.Host()
	return d.Host != "" && (!strings.EqualFold(host, d.Host) || r.Port != int(d.Port))
}

func updateDiscovered(ctx context.Context, tx bun.Tx, d device.Discovery) error {
	query := tx.NewUpdate().Table("devices").
		Set("components_digest = ''"). // what polls find is compared with the new rows
		Set("discovered_at = ?", millis(d.At)).Set("discovered_slot = ?", d.Slot).Set("discovery_ms = ?", d.Duration.Milliseconds()).
		Set("discovery_outcome = ?", d.Outcome).Set("discovery_reason = ?", line(d.Reason, maxReason))
	if d.Facts != nil {
		f := factsColumns(*d.Facts)
		query = query.Set("os = ?", f.OS).Set("hardware = ?", f.Hardware).Set("version = ?", f.Version).
			Set("serial = ?", f.Serial).Set("features = ?", f.Features)
	}
	if d.Lacks != nil {
		query = query.Set("lacks = ?", line(strings.Join(d.Lacks, ","), maxLacks))
	}
	_, err := query.Where("id = ?", d.DeviceID).Exec(ctx)
	return err
}

// maxLacks is the length of the column lacks; the names of all columns of the IF-MIB take less. Those of other tables
// stand behind them: polls ask for the columns whose names have no room.
const maxLacks = 1024

// changedFacts are the events of what a device says of itself otherwise than at its last discovery.
func changedFacts(old discoveredRow, d device.Discovery) []device.Event {
	if d.Facts == nil || old.DiscoveredAt == 0 {
		return nil
	}
	f := factsColumns(*d.Facts)
	var events []device.Event
	for _, fact := range []struct{ name, old, found string }{
		{"OS", old.OS, f.OS}, {"hardware", old.Hardware, f.Hardware}, {"version", old.Version, f.Version},
		{"serial", old.Serial, f.Serial}, {"features", old.Features, f.Features},
	} {
		if fact.old != fact.found {
			events = append(events, device.Event{
				Time: d.At, DeviceID: d.DeviceID, Type: "system", Severity: device.SeverityNotice, Node: d.Node,
				Message: fmt.Sprintf("%s: %s -> %s", fact.name, shown(fact.old), shown(fact.found)),
			})
		}
	}
	return events
}

// componentBatch bounds one statement: 100 components of 34 KB at most are far below max_allowed_packet (16 MiB).
const componentBatch = 100

func (s *Store) writeComponents(ctx context.Context, tx bun.Tx, m componentMerge) error {
	for added := m.added; len(added) > 0; {
		batch := added[:min(len(added), componentBatch)]
		if _, err := tx.NewInsert().Model(&batch).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		added = added[len(batch):]
	}
	for changed := m.changed; len(changed) > 0; {
		batch := changed[:min(len(changed), componentBatch)]
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "id").Exec(ctx); err != nil {
			return err
		}
		changed = changed[len(batch):]
	}
	return nil
}

// Discoverable lists the devices that are to be discovered: those that are
// not disabled, are asked by SNMP and do not fail to answer. One that is down is discovered when it is up again.
func (s *Store) Discoverable(ctx context.Context) ([]device.Discoverable, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var list []device.Discoverable
	rows, err := s.reads.NewSelect().Table("devices").Column("id", "poller_group", "discovered_slot").
		Where("disabled = ?", false).Where("snmp_disable = ?", false).Where("status NOT IN (?)", bun.List([]device.Status{device.StatusDown, device.StatusAuth})).
		Order("discovered_slot", "id").Rows(ctx) // new ones first
	if err != nil {
		return nil, s.fail("read which devices are to be discovered", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d device.Discoverable
		if err := rows.Scan(&d.ID, &d.Group, &d.Slot); err != nil {
			return nil, s.fail("read which devices are to be discovered", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, s.fail("read which devices are to be discovered", err)
	}
	return list, nil
}
