package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// outageRow is a row of device_outages: a time during which a device gave no
// answer, from the sample time of the first poll without one to that of the next with one.
type outageRow struct {
	bun.BaseModel `bun:"table:device_outages"`

	ID        int64         `bun:"id,pk,autoincrement"`
	DeviceID  int64         `bun:"device_id"`
	GoingDown int64         `bun:"going_down"`
	UpAgain   sql.NullInt64 `bun:"up_again"`
}

// beginOutage writes down that the device is down since at (Unix milliseconds).
func beginOutage(ctx context.Context, tx bun.Tx, deviceID, at int64) error {
	if _, err := tx.NewInsert().Model(&outageRow{DeviceID: deviceID, GoingDown: at}).Exec(ctx); err != nil {
		return err
	}
	return outagesChanged(ctx, tx, deviceID, at)
}

// endOutage ends what beginOutage began; it does nothing, and says so, when the device was not down.
func endOutage(ctx context.Context, tx bun.Tx, deviceID, at int64) (ended bool, err error) {
	result, err := tx.NewUpdate().Table("device_outages").Set("up_again = ?", at).
		Where("device_id = ?", deviceID).Where("up_again IS NULL").Exec(ctx)
	if err != nil {
		return false, err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 0 {
		return false, err
	}
	return true, outagesChanged(ctx, tx, deviceID, at)
}

// outagesChanged lets whoever has read the device's outages know that there are others.
func outagesChanged(ctx context.Context, tx bun.Tx, deviceID, at int64) error {
	_, err := tx.NewUpdate().Table("devices").Set("outages_changed = ?", at).Where("id = ?", deviceID).Exec(ctx)
	return err
}

// Outages lists the outages of a device that its availability may count, device.MaxOutages at
// most, the latest, ordered by their begin.
func (s *Store) Outages(ctx context.Context, deviceID int64) ([]device.Outage, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	periods := device.AvailabilityPeriods()
	since := time.Now().Add(-slices.Max(periods) - outageMargin).UnixMilli()
	var rows []outageRow
	err := s.reads.NewSelect().Model(&rows).Column("going_down", "up_again").Where("device_id = ?", deviceID).
		Where("up_again IS NULL OR up_again > ?", since).OrderExpr("going_down DESC").Limit(device.MaxOutages).Scan(ctx)
	if err != nil {
		return nil, s.fail(fmt.Sprintf("read the outages of device %d", deviceID), err)
	}
	outages := make([]device.Outage, len(rows))
	for i, row := range rows {
		outage := &outages[len(rows)-1-i]
		outage.Down = fromMillis(row.GoingDown)
		if row.UpAgain.Valid {
			outage.Up = fromMillis(row.UpAgain.Int64)
		}
	}
	return outages, nil
}

// outageMargin is for clocks that differ.
const outageMargin = time.Hour

// PurgeOutages removes outages that were over before a time and returns how many. One that goes on stays, however old.
func (s *Store) PurgeOutages(ctx context.Context, before time.Time) (int64, error) {
	return s.purge(ctx, "purge the outages", "device_outages", "up_again", before)
}
