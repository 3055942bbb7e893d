package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/settings"
)

// settingRow is a row of settings.
type settingRow struct {
	bun.BaseModel `bun:"table:settings"`

	Name      string `bun:"name,pk"`
	Value     string `bun:"value"`
	ChangedAt int64  `bun:"changed_at"`
	ChangedBy string `bun:"changed_by"`
}

// LoadSettings returns every stored setting by its key. A key that is not stored has its default.
func (s *Store) LoadSettings(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []settingRow
	if err := s.reads.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, s.fail("read the settings", err)
	}
	stored := make(map[string]string, len(rows))
	for _, row := range rows {
		stored[row.Name] = row.Value
	}
	return stored, nil
}

// SetSetting stores a value and writes an event that names who changed it.
// ErrInvalid for a key that does not exist or a value that the key refuses.
func (s *Store) SetSetting(ctx context.Context, key, value, actor string) error {
	setting, err := settings.Find(key)
	if err == nil {
		err = setting.Check(value)
	}
	if err != nil {
		return s.fail("set", fmt.Errorf("%w setting: %w", ErrInvalid, err))
	}
	return s.changeSetting(ctx, setting, value, actor, func(ctx context.Context, tx bun.Tx) error {
		row := settingRow{Name: key, Value: value, ChangedAt: now(), ChangedBy: line(actor, maxName)}
		_, err := s.upsert(tx.NewInsert().Model(&row), "name").Exec(ctx)
		return err
	})
}

// UnsetSetting removes a stored value, so that the default counts again, and
// writes an event. It does nothing when none is stored; ErrInvalid for a key that does not exist.
func (s *Store) UnsetSetting(ctx context.Context, key, actor string) error {
	setting, err := settings.Find(key)
	if err != nil {
		return s.fail("unset", fmt.Errorf("%w setting: %w", ErrInvalid, err))
	}
	return s.changeSetting(ctx, setting, setting.Default, actor, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Table("settings").Where("name = ?", key).Exec(ctx)
		return err
	})
}

func (s *Store) changeSetting(ctx context.Context, setting settings.Setting, value, actor string, write func(context.Context, bun.Tx) error) error {
	return s.tx(ctx, "change the setting "+setting.Key, func(ctx context.Context, tx bun.Tx) error {
		old := setting.Default
		err := s.locked(tx.NewSelect().Table("settings").Column("value").Where("name = ?", setting.Key)).Scan(ctx, &old)
		if err != nil && !missing(err) {
			return err
		}
		if err := write(ctx, tx); err != nil || old == value {
			return err
		}
		return addEvents(ctx, tx, []device.Event{{
			Time: time.Now(), Type: "settings", Severity: device.SeverityNotice, Actor: actor,
			Message: fmt.Sprintf("%s: %s -> %s", setting.Key, old, value),
		}})
	})
}
