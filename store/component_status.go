package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/uptrace/bun"

	"pollux/device"
)

// componentsDigest is the same for two polls when both would leave the statuses
// of their device's components the same; "" for a poll that measured none.
func componentsDigest(readings []device.ComponentReading) string {
	if len(readings) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(readings), func(a, b device.ComponentReading) int { return cmp.Compare(a.ID, b.ID) })
	b := make([]byte, 0, 12*len(sorted))
	for _, r := range sorted {
		b = binary.AppendVarint(b, r.ID)
		b = append(binary.AppendUvarint(b, uint64(len(r.Status))), r.Status...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// steady is the status that a value means after the row's: one that is better than
// it counts only when the value is clear of the limit, or each swing about it would be two events.
func (r *componentRow) steady(found device.ComponentStatus, value float64) device.ComponentStatus {
	c, err := r.component()
	if err != nil || c.StatusOf(value) != found { // it was judged by other limits, which the next poll knows as well
		return found
	}
	return c.StatusAfter(c.Status, value)
}

// saveComponentStatus writes the components whose status a poll found changed,
// with the value that changed it, and returns the events of the changes. Values
// alone are in the RRD files: a row per sensor and poll would be most of what the database does.
func (s *Store) saveComponentStatus(ctx context.Context, tx bun.Tx, p device.Poll, digest string) ([]device.Event, error) {
	rows, err := componentRows(ctx, tx, p.DeviceID)
	if err != nil {
		return nil, err
	}
	read := make(map[int64]*device.ComponentReading, len(p.Components))
	for i := range p.Components {
		read[p.Components[i].ID] = &p.Components[i]
	}
	var m componentMerge
	for i := range rows {
		row := rows[i]
		found := read[row.ID]
		if found == nil || row.Vanished {
			continue
		}
		status := row.steady(found.Status, found.Value)
		if status != found.Status { // the next poll with this value compares again
			digest = ""
		}
		switch {
		case row.Status == string(status):
			continue
		case row.SeenAt > millis(p.At): // a discovery that began later has judged it: the next poll compares again
			digest = ""
			continue
		}
		former := row.Status
		row.Status, row.LastValue, row.SeenAt = line(string(status), 16), found.Value, millis(p.At)
		if found.Used != nil {
			row.Used = found.Used
		}
		if found.Total != nil {
			row.Total = found.Total
		}
		m.changed = append(m.changed, row)
		m.turned(&row, former)
	}
	if err := s.writeComponents(ctx, tx, m); err != nil {
		return nil, err
	}
	m.finish(device.Discovery{DeviceID: p.DeviceID, At: p.At, Node: p.Node}, false)
	_, err = tx.NewUpdate().Table("devices").Set("components_digest = ?", digest).Where("id = ?", p.DeviceID).Exec(ctx)
	return m.events, err
}
