package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
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

// internal begins the names of rows that the store keeps for itself: they are no settings.
const internal = "internal:"

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
		if !strings.HasPrefix(row.Name, internal) {
			stored[row.Name] = row.Value
		}
	}
	return stored, nil
}

// SetSetting stores a value, in the form that the setting gives it, and writes
// an event that names who changed it. ErrInvalid for a key that does not exist
// or a value that the key refuses, ErrNotFound for a default_poller_group that is no group.
func (s *Store) SetSetting(ctx context.Context, key, value, actor string) error {
	setting, err := settings.Find(key)
	if err == nil {
		value, err = setting.Parse(value)
	}
	if err != nil {
		return s.fail("set", fmt.Errorf("%w setting: %w", ErrInvalid, err))
	}
	return s.tx(ctx, "change the setting "+key, func(ctx context.Context, tx bun.Tx) error {
		if key == settings.KeyDefaultPollerGroup {
			if err := s.checkDefaultGroup(ctx, tx, value); err != nil {
				return err
			}
		}
		// Locked before devices are counted: what was read before would lack those that came while this waited.
		old, stored, err := s.lockedSetting(ctx, tx, key)
		if err == nil && key == settings.KeyRRDShards {
			err = checkShards(ctx, tx, value)
		}
		if err != nil || stored && old == value {
			return err
		}
		if err := s.writeSetting(ctx, tx, key, value, actor); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{settingEvent(key, shownValue(setting, old, stored), value, actor)})
	})
}

// UnsetSetting removes a stored value, so that the default counts again, and
// writes an event. A value is removed also when its key is none that this
// program has. It does nothing when none is stored; ErrInvalid for a key that does not exist.
func (s *Store) UnsetSetting(ctx context.Context, key, actor string) error {
	setting, unknown := settings.Find(key)
	if strings.HasPrefix(key, internal) {
		return s.fail("unset", fmt.Errorf("%w setting: %w", ErrInvalid, unknown))
	}
	return s.tx(ctx, fmt.Sprintf("take back the setting %.60q", key), func(ctx context.Context, tx bun.Tx) error {
		old, stored, err := s.lockedSetting(ctx, tx, key) // first, as in SetSetting
		if err == nil && key == settings.KeyRRDShards {
			err = checkShards(ctx, tx, "")
		}
		switch {
		case err != nil:
			return err
		case !stored && unknown != nil:
			return fmt.Errorf("%w setting: %w", ErrInvalid, unknown)
		case !stored:
			return nil
		}
		left := "removed"
		if unknown == nil {
			left = shownValue(setting, "", false)
		}
		return dropSetting(ctx, tx, key, settingEvent(key, old, left, actor))
	})
}

// lockedSetting reads what is stored of a key, and keeps others from changing it until the transaction ends.
func (s *Store) lockedSetting(ctx context.Context, tx bun.Tx, key string) (value string, stored bool, err error) {
	err = s.locked(tx.NewSelect().Table("settings").Column("value").Where("name = ?", key)).Scan(ctx, &value)
	if missing(err) {
		return "", false, nil
	}
	return value, err == nil, err
}

func (s *Store) writeSetting(ctx context.Context, tx bun.Tx, key, value, actor string) error {
	row := settingRow{Name: key, Value: value, ChangedAt: now(), ChangedBy: line(actor, maxName)}
	_, err := s.upsert(tx.NewInsert().Model(&row), "name").Exec(ctx)
	return err
}

func dropSetting(ctx context.Context, tx bun.Tx, key string, event device.Event) error {
	if _, err := tx.NewDelete().Table("settings").Where("name = ?", key).Exec(ctx); err != nil {
		return err
	}
	return addEvents(ctx, tx, []device.Event{event})
}

// checkDefaultGroup refuses a group that does not exist, and keeps it from being removed until the transaction ends.
func (s *Store) checkDefaultGroup(ctx context.Context, tx bun.Tx, value string) error {
	if err := s.lockGroups(ctx, tx); err != nil {
		return err
	}
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("%w group %.60q", ErrInvalid, value)
	}
	_, err = s.lockedGroup(ctx, tx, id)
	return err
}

// shownValue is a value as an event tells it.
func shownValue(setting settings.Setting, value string, stored bool) string {
	if stored {
		return value
	}
	return setting.Default + " (default)"
}

func settingEvent(key, from, to, actor string) device.Event {
	return device.Event{
		Time: time.Now(), Type: "settings", Severity: device.SeverityNotice, Actor: actor,
		Message: fmt.Sprintf("%s: %s -> %s", key, from, to),
	}
}
