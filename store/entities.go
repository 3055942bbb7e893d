package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"pollux/device"
)

// entityRow is a row of entities.
type entityRow struct {
	bun.BaseModel `bun:"table:entities"`

	DeviceID int64  `bun:"device_id,pk"`
	Index    int64  `bun:"entity_index,pk"`
	Parent   int64  `bun:"parent_index"`
	Class    string `bun:"class"`
	Descr    string `bun:"descr"`
	Name     string `bun:"name"`
	Hardware string `bun:"hardware_rev"`
	Firmware string `bun:"firmware_rev"`
	Software string `bun:"software_rev"`
	Serial   string `bun:"serial"`
	Model    string `bun:"model"`
	Vendor   string `bun:"vendor"`
	FRU      bool   `bun:"is_fru"`

	Missed     int   `bun:"missed"`
	MissedSlot int64 `bun:"missed_slot"` // the slot in which it was missed last: two discoveries of one slot count once
}

func entityColumns(deviceID int64, e *device.Entity) entityRow {
	return entityRow{
		DeviceID: deviceID, Index: e.Index, Parent: e.Parent, Class: line(e.Class, 32), Descr: line(e.Descr, maxName), Name: line(e.Name, maxName),
		Hardware: line(e.Hardware, maxName), Firmware: line(e.Firmware, maxName), Software: line(e.Software, maxName),
		Serial: line(e.Serial, maxName), Model: line(e.Model, maxName), Vendor: line(e.Vendor, maxName), FRU: e.FRU,
	}
}

// fill takes over what an incomplete discovery did not read.
func (r *entityRow) fill(old *entityRow) {
	r.Parent, r.Class, r.FRU = cmp.Or(r.Parent, old.Parent), cmp.Or(r.Class, old.Class), cmp.Or(r.FRU, old.FRU)
	r.Descr, r.Name, r.Serial = cmp.Or(r.Descr, old.Descr), cmp.Or(r.Name, old.Name), cmp.Or(r.Serial, old.Serial)
	r.Hardware, r.Firmware, r.Software = cmp.Or(r.Hardware, old.Hardware), cmp.Or(r.Firmware, old.Firmware), cmp.Or(r.Software, old.Software)
	r.Model, r.Vendor = cmp.Or(r.Model, old.Model), cmp.Or(r.Vendor, old.Vendor)
}

// entityMerge is what a discovery changes in the physical parts of its device.
type entityMerge struct {
	written []entityRow
	removed []int64 // indexes
	events  []device.Event
}

// mergeEntities compares what a discovery found with the rows of its device.
// A part that is absent from two complete ones of two slots is removed. An
// incomplete one adds no more than a table takes.
func mergeEntities(rows []entityRow, d device.Discovery) entityMerge {
	var m entityMerge
	known := make(map[int64]int, len(rows))
	for k := range rows {
		known[rows[k].Index] = k
	}
	whole := d.Whole[device.ModuleEntities]
	room := device.MaxInventory - len(rows)
	seen := make(map[int64]bool, len(d.Entities))
	found := d.Entities[:min(len(d.Entities), device.MaxInventory)]
	for i := range found {
		row := entityColumns(d.DeviceID, &found[i])
		k, old := known[row.Index]
		if old && !whole {
			row.fill(&rows[k])
		}
		switch {
		case seen[row.Index], old && rows[k] == row:
		case old:
			m.written = append(m.written, row)
		case whole || room > 0:
			room--
			m.written = append(m.written, row)
		}
		seen[row.Index] = true
	}
	if whole {
		m.miss(rows, seen, d.Slot)
	}
	m.events = replaced(rows, found, d)
	return m
}

// miss counts a complete discovery without parts; two of one slot count once. More
// than two discoveries can find are not kept: one by hand after the other does not make a part miss twice.
func (m *entityMerge) miss(rows []entityRow, seen map[int64]bool, slot int64) {
	kept := len(seen)
	for k := range rows {
		row := rows[k]
		if seen[row.Index] {
			continue
		}
		if row.Missed == 0 || row.MissedSlot != slot {
			row.Missed, row.MissedSlot = row.Missed+1, slot
		}
		if row.Missed >= vanishAfter || kept >= maxStaying {
			m.removed = append(m.removed, row.Index)
			continue
		}
		kept++
		if row != rows[k] {
			m.written = append(m.written, row)
		}
	}
}

// replaced are the events of parts that another one stands for now: at the same
// index another serial number, and not one that was elsewhere on the device, since some
// devices number their parts anew when they restart.
func replaced(rows []entityRow, found []device.Entity, d device.Discovery) []device.Event {
	before, now := make(map[string]bool, len(rows)), make(map[string]bool, len(found))
	for k := range rows {
		before[rows[k].Serial] = true
	}
	byIndex := make(map[int64]entityRow, len(found))
	for i := range found {
		row := entityColumns(d.DeviceID, &found[i])
		now[row.Serial], byIndex[row.Index] = true, row
	}
	var events []device.Event
	for k := range rows {
		old := &rows[k]
		row, there := byIndex[old.Index]
		if !there || old.Serial == "" || row.Serial == "" || before[row.Serial] || now[old.Serial] {
			continue
		}
		events = append(events, device.Event{
			Type: "entity", Severity: device.SeverityNotice, Message: fmt.Sprintf("serial number of %s: %s -> %s", row.label(), old.Serial, row.Serial),
		})
	}
	return boundedEvents(events, d, "serial numbers")
}

func (r *entityRow) label() string {
	for _, name := range []string{r.Name, r.Descr, r.Model} {
		if name != "" {
			return fmt.Sprintf("%s (entity %d)", name, r.Index)
		}
	}
	return fmt.Sprintf("entity %d", r.Index)
}

// saveEntities writes the physical parts of a device and returns the events of those that were replaced.
func (s *Store) saveEntities(ctx context.Context, tx bun.Tx, d device.Discovery) ([]device.Event, error) {
	rows, err := rowsOf[entityRow](ctx, tx, d.DeviceID, "entity_index")
	if err != nil {
		return nil, err
	}
	m := mergeEntities(rows, d)
	for indexes := range slices.Chunk(m.removed, stayBatch) {
		_, err := tx.NewDelete().Model((*entityRow)(nil)).Where("device_id = ?", d.DeviceID).Where("entity_index IN (?)", bun.List(indexes)).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	for batch := range slices.Chunk(m.written, stayBatch) {
		if _, err := s.upsert(tx.NewInsert().Model(&batch), "device_id, entity_index").Exec(ctx); err != nil {
			return nil, err
		}
	}
	return m.events, nil
}

// Entities lists the physical parts of a device by their indexes; an empty list for a device that does not exist.
func (s *Store) Entities(ctx context.Context, deviceID int64) ([]device.Entity, error) {
	return listOf(ctx, s, deviceID, "physical entities", []string{"entity_index"}, func(r *entityRow) device.Entity {
		return device.Entity{
			Index: r.Index, Parent: r.Parent, Class: r.Class, Descr: r.Descr, Name: r.Name, Hardware: r.Hardware, Firmware: r.Firmware,
			Software: r.Software, Serial: r.Serial, Model: r.Model, Vendor: r.Vendor, FRU: r.FRU,
		}
	})
}
