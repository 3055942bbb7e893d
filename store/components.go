package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/uptrace/bun"

	"pollux/device"
)

// componentRow is a row of components.
type componentRow struct {
	bun.BaseModel `bun:"table:components"`

	ID       int64  `bun:"id,pk,autoincrement"`
	DeviceID int64  `bun:"device_id"`
	Kind     string `bun:"kind"`
	Class    string `bun:"class"`
	Type     string `bun:"component_type"`
	Index    string `bun:"component_index"`
	foundRow
	Disabled   bool   `bun:"disabled"`
	Vanished   bool   `bun:"vanished"`
	Missed     int    `bun:"missed"`
	MissedSlot int64  `bun:"missed_slot"` // the slot in which it was missed last: two discoveries of one slot count once
	RRDName    string `bun:"rrd_name"`
	Generation int    `bun:"generation"`
	SeenAt     int64  `bun:"seen_at"`
}

// foundRow are the columns that each discovery fills.
type foundRow struct {
	Descr         string   `bun:"descr"`
	Label         string   `bun:"label"`
	Reading       string   `bun:"reading"`
	States        string   `bun:"states"`
	LimitLow      *float64 `bun:"limit_low"`
	LimitLowWarn  *float64 `bun:"limit_low_warn"`
	LimitHighWarn *float64 `bun:"limit_high_warn"`
	LimitHigh     *float64 `bun:"limit_high"`
	LastValue     float64  `bun:"last_value"`
	Used          *float64 `bun:"used"`
	Total         *float64 `bun:"total"`
	Status        string   `bun:"status"`
}

// maxReading bounds the JSON of a reading and of states: what no definition of sense exceeds.
const maxReading = 16 << 10

// foundColumns are a component's columns; an error says that it cannot be kept.
func foundColumns(c *device.Component) (foundRow, error) {
	reading, err := json.Marshal(c.Reading)
	if err != nil {
		return foundRow{}, fmt.Errorf("%w reading of a component: %w", ErrInvalid, err)
	}
	states := []byte("[]")
	if len(c.States) > 0 {
		if states, err = json.Marshal(c.States); err != nil {
			return foundRow{}, fmt.Errorf("%w states of a component: %w", ErrInvalid, err)
		}
	}
	if len(reading) > maxReading || len(states) > maxReading {
		return foundRow{}, fmt.Errorf("%w reading of a component: more than %d bytes", ErrInvalid, maxReading)
	}
	return foundRow{
		Descr: line(c.Descr, maxName), Label: line(c.Label, maxName), Reading: string(reading), States: string(states),
		LimitLow: c.Limits.Low, LimitLowWarn: c.Limits.LowWarn, LimitHighWarn: c.Limits.HighWarn, LimitHigh: c.Limits.High,
		LastValue: c.Value, Used: c.Used, Total: c.Total, Status: line(string(c.Status), 16),
	}, nil
}

func (r *componentRow) component() (device.Component, error) {
	c := device.Component{
		ID: r.ID, DeviceID: r.DeviceID, Kind: device.ComponentKind(r.Kind), Class: r.Class, Type: r.Type, Index: r.Index,
		Descr: r.Descr, Label: r.Label, Value: r.LastValue, Used: r.Used, Total: r.Total, Status: device.ComponentStatus(r.Status),
		Limits:   device.Limits{Low: r.LimitLow, LowWarn: r.LimitLowWarn, HighWarn: r.LimitHighWarn, High: r.LimitHigh},
		Disabled: r.Disabled, Vanished: r.Vanished, Missed: r.Missed, RRDName: r.RRDName, Generation: r.Generation,
		SeenAt: fromMillis(r.SeenAt),
	}
	if err := json.Unmarshal([]byte(r.Reading), &c.Reading); err != nil {
		return c, fmt.Errorf("reading of component %d: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.States), &c.States); err != nil {
		return c, fmt.Errorf("states of component %d: %w", r.ID, err)
	}
	return c, nil
}

// Components lists every component of a device, vanished and disabled ones too,
// by kind, class and id; an empty list for a device that does not exist.
func (s *Store) Components(ctx context.Context, deviceID int64) ([]device.Component, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := componentRows(ctx, s.reads, deviceID)
	if err != nil {
		return nil, s.fail("read the components", err)
	}
	list := make([]device.Component, 0, len(rows))
	for i := range rows {
		c, err := rows[i].component()
		if err != nil { // it must not cost the others; the next discovery writes it anew
			s.log.Warn("a component cannot be read and is left out", "device", deviceID, "err", err)
			continue
		}
		list = append(list, c)
	}
	return list, nil
}

func componentRows(ctx context.Context, db bun.IDB, deviceID int64) ([]componentRow, error) {
	var rows []componentRow
	err := db.NewSelect().Model(&rows).Where("device_id = ?", deviceID).Order("kind", "class", "id").Scan(ctx)
	return rows, err
}
