package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"
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
	_, err := tx.NewInsert().Model(&outageRow{DeviceID: deviceID, GoingDown: at}).Exec(ctx)
	return err
}

// endOutage ends what beginOutage began; it does nothing when the device was not down.
func endOutage(ctx context.Context, tx bun.Tx, deviceID, at int64) error {
	_, err := tx.NewUpdate().Table("device_outages").Set("up_again = ?", at).
		Where("device_id = ?", deviceID).Where("up_again IS NULL").Exec(ctx)
	return err
}

// PurgeOutages removes outages that were over before a time and returns how many. One that goes on stays, however old.
func (s *Store) PurgeOutages(ctx context.Context, before time.Time) (int64, error) {
	return s.purge(ctx, "purge the outages", "device_outages", "up_again", before)
}
