package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"pollux/device"
	"pollux/snmp"
)

// Device returns one device with its credentials opened. Errors: ErrNotFound,
// and secret.ErrOpen when a secret does not belong to this row, or to a key of
// this node: the device comes beside this error, without the secrets that do not open.
func (s *Store) Device(ctx context.Context, id int64) (device.Device, error) {
	return s.oneDevice(ctx, fmt.Sprintf("read the device %d", id), s.reads, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ?", id)
	})
}

// DeviceByHostname returns the device that was added under a hostname, whose
// letters may be of either case. Errors as those of Device.
func (s *Store) DeviceByHostname(ctx context.Context, hostname string) (device.Device, error) {
	doing := fmt.Sprintf("read the device %.80q", hostname)
	if validateHost("hostname", hostname) != nil {
		return device.Device{}, s.fail(doing, ErrNotFound) // no device has such a name, and an engine might not take it
	}
	return s.oneDevice(ctx, doing, s.reads, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where(s.hostnameIs(), hostname)
	})
}

// hostnameIs compares without regard to case, in the way that each engine has an index for.
func (s *Store) hostnameIs() string {
	if s.db.Dialect().Name() == dialect.MySQL {
		return "hostname = ?" // the column's collation knows no case
	}
	return "LOWER(hostname) = LOWER(?)"
}

func (s *Store) oneDevice(ctx context.Context, doing string, db bun.IDB, where func(*bun.SelectQuery) *bun.SelectQuery) (device.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var row deviceRow
	if err := where(db.NewSelect().Model(&row)).Scan(ctx); err != nil {
		return device.Device{}, s.fail(doing, err)
	}
	d, err := s.opened(&row)
	if err != nil {
		return d, s.fail(doing, err)
	}
	return d, nil
}

// Hostnames returns the hostnames of the devices with these ids, at most
// 10,000, by their ids. Those that do not exist are left out.
func (s *Store) Hostnames(ctx context.Context, ids []int64) (map[int64]string, error) {
	names := make(map[int64]string, len(ids))
	if len(ids) == 0 {
		return names, nil // no engine takes an empty list
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []deviceRow
	err := s.reads.NewSelect().Model(&rows).Column("id", "hostname").Where("id IN (?)", bun.List(ids[:min(len(ids), maxPageSize)])).Scan(ctx)
	if err != nil {
		return nil, s.fail("read the hostnames of devices", err)
	}
	for i := range rows {
		names[rows[i].ID] = rows[i].Hostname
	}
	return names, nil
}

// Filter chooses devices. The zero Filter chooses the first 1,000 of all.
type Filter struct {
	Group     *int64        // only of this poller group
	Status    device.Status // only in this status
	Hostnames []string      // only with a hostname that fits each of these patterns: * stands for any text, ? for one character; case does not matter
	Interval  int           // only with this interval in seconds
	Disabled  *bool         // only disabled ones, or only others
	Ignored   *bool         // only ignored ones, or only others
	Version   snmp.Version  // only asked with this version of SNMP
	AfterID   int64         // only with greater ids: the last id of the page before
	Limit     int           // at most so many; 0 means 1,000, more than 10,000 means 10,000
}

// where narrows a query to what the filter chooses; ErrInvalid for a pattern that no hostname can fit.
func (f Filter) where(query *bun.SelectQuery) (*bun.SelectQuery, error) {
	if f.Group != nil {
		query = query.Where("poller_group = ?", *f.Group)
	}
	if f.Status != "" {
		query = query.Where("status = ?", line(string(f.Status), maxShort))
	}
	for _, pattern := range f.Hostnames {
		like, err := likePattern(pattern)
		if err != nil {
			return nil, err
		}
		query = query.Where("LOWER(hostname) LIKE ? ESCAPE '!'", like)
	}
	if f.Interval != 0 {
		query = query.Where("poll_interval = ?", f.Interval)
	}
	if f.Disabled != nil {
		query = query.Where("disabled = ?", *f.Disabled)
	}
	if f.Ignored != nil {
		query = query.Where("ignored = ?", *f.Ignored)
	}
	if f.Version != "" {
		query = query.Where("snmp_version = ?", line(string(f.Version), maxShort))
	}
	return query, nil
}

// likePattern makes SQL's pattern of one for hostnames.
func likePattern(pattern string) (string, error) {
	plain := strings.NewReplacer("*", "x", "?", "x").Replace(pattern)
	if len(pattern) > maxHost || !hostText.MatchString(plain) {
		return "", fmt.Errorf("%w pattern of hostnames %.80q: want letters, digits, . _ : - and the signs * and ?", ErrInvalid, pattern)
	}
	return strings.NewReplacer("_", "!_", "*", "%", "?", "_").Replace(strings.ToLower(pattern)), nil
}

const (
	pageSize    = 1000
	maxPageSize = 10_000
)

func page(limit int) int64 {
	if limit <= 0 {
		return pageSize
	}
	return int64(min(limit, maxPageSize))
}

// Devices lists devices in the order of their ids. Their credentials lack the
// secrets (community and passwords are empty): Device and PollTarget open those.
// ErrInvalid for a pattern that no hostname can fit.
func (s *Store) Devices(ctx context.Context, f Filter) ([]device.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []deviceRow
	query, err := f.where(s.reads.NewSelect().Model(&rows).Where("id > ?", f.AfterID).Order("id").Limit(page(f.Limit)))
	if err != nil {
		return nil, s.fail("list the devices", err)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.fail("list the devices", err)
	}
	list := make([]device.Device, len(rows))
	for i := range rows {
		list[i] = rows[i].device()
	}
	return list, nil
}

// Schedule lists what the producer must know of every device that is not
// disabled, in the order of their ids.
func (s *Store) Schedule(ctx context.Context) ([]device.Scheduled, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var list []device.Scheduled
	rows, err := s.reads.NewSelect().Table("devices").Column("id", "poller_group", "poll_interval", "slot_from", "created_at").
		Where("disabled = ?", false).Order("id").Rows(ctx)
	if err != nil {
		return nil, s.fail("read the schedule", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d device.Scheduled
		if err := rows.Scan(&d.ID, &d.Group, &d.Interval, &d.SlotFrom, &d.Created); err != nil {
			return nil, s.fail("read the schedule", err)
		}
		d.Created /= 1000 // a row counts milliseconds
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, s.fail("read the schedule", err)
	}
	return list, nil
}

// RemoveDevice removes a device with its ports and outages; its events stay
// until they are purged. The name of its RRD directory is never given to
// another device, because its files stay and entries of it may still be in the
// journal. With deleteHistory it is noted that the files are to go, too: only
// beside them can they be removed. ErrNotFound when there is no such device.
func (s *Store) RemoveDevice(ctx context.Context, id int64, deleteHistory bool) error {
	return s.tx(ctx, fmt.Sprintf("remove the device %d", id), func(ctx context.Context, tx bun.Tx) error {
		var row deviceRow
		if err := s.locked(tx.NewSelect().Model(&row).Where("id = ?", id)).Scan(ctx); err != nil {
			return err
		}
		left := removedRow{ID: id, Hostname: row.Hostname, RRDDir: row.RRDDir, Shard: row.Shard, RemovedAt: now(), DeleteHistory: deleteHistory}
		if _, err := tx.NewInsert().Model(&left).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewDelete().Table("devices").Where("id = ?", id).Exec(ctx) // ports and outages go with it (foreign keys)
		return err
	})
}

// locked keeps other writers from the rows until the transaction ends. A
// SQLite transaction holds the whole file already.
func (s *Store) locked(q *bun.SelectQuery) *bun.SelectQuery {
	if s.db.Dialect().Name() == dialect.SQLite {
		return q
	}
	return q.For("UPDATE")
}

func missing(err error) bool { return errors.Is(err, sql.ErrNoRows) || errors.Is(err, ErrNotFound) }
