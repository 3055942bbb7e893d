package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"
)

// outageRow is a row of device_outages.
type outageRow struct {
	bun.BaseModel `bun:"table:device_outages"`

	ID        int64         `bun:"id,pk,autoincrement"`
	DeviceID  int64         `bun:"device_id"`
	GoingDown int64         `bun:"going_down"`
	UpAgain   sql.NullInt64 `bun:"up_again"`
}

// Outage is a time during which a device gave no answer.
type Outage struct {
	GoingDown time.Time // sample time of the first poll without an answer
	UpAgain   time.Time // of the first one with an answer; zero while it is down
}

// Outages lists the latest outages of a device, newest first, at most limit (0 means 1,000).
func (s *Store) Outages(ctx context.Context, deviceID int64, limit int) ([]Outage, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []outageRow
	err := s.reads.NewSelect().Model(&rows).Where("device_id = ?", deviceID).
		Order("going_down DESC", "id DESC").Limit(page(limit)).Scan(ctx)
	if err != nil {
		return nil, s.fail("read the outages", err)
	}
	list := make([]Outage, len(rows))
	for i := range rows {
		list[i] = Outage{GoingDown: fromMillis(rows[i].GoingDown), UpAgain: fromMillis(rows[i].UpAgain.Int64)}
	}
	return list, nil
}

// beginOutage writes down that the device is down since at (Unix milliseconds).
func beginOutage(ctx context.Context, tx bun.Tx, deviceID, at int64) error {
	_, err := tx.NewInsert().Model(&outageRow{DeviceID: deviceID, GoingDown: at}).Exec(ctx)
	return err
}

// endOutage ends what beginOutage began; it does nothing when the device was not down.
func endOutage(ctx context.Context, tx bun.Tx, deviceID, at int64) error {
	_, err := tx.NewUpdate().Table("device_outages").Set("up_again = ?", at).
		Where("device_id = ?", deviceID).Where("up_again IS NULL").Exec(ctx)
	return err
}
