package store

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/secret"
)

// AddDevice adds a device and returns it as it stands then: with its id, its
// RRD directory (the hostname, with ~1, ~2, ... when that is taken), one of the
// shards in force, and status new. Port 0 means 161, no transport udp. Errors: ErrInvalid,
// ErrDuplicate for the hostname, ErrNotFound for the group.
func (s *Store) AddDevice(ctx context.Context, d device.Device) (device.Device, error) {
	d = completed(d)
	doing := fmt.Sprintf("add the device %.80q", d.Hostname)
	if err := validate(d); err != nil {
		return device.Device{}, s.fail(doing, err)
	}
	var added device.Device
	err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		row := describedRow(d)
		row.ID = 0
		row.Status, row.CreatedAt = string(initialStatus(d.Disabled)), now()
		row.Previous = row.Status
		key, err := s.keyInForce(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.checkNew(ctx, tx, d); err != nil {
			return err
		}
		if row.RRDDir, err = freeDirectory(ctx, tx, d.Hostname); err != nil {
			return err
		}
		if row.Shard, err = s.shardFor(ctx, tx, row.RRDDir); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			if duplicate(err) || orphan(err) {
				return errAgain // somebody else took the name or the directory, or removed the group, just now
			}
			return err
		}
		if row.sealedSecrets, err = seal(key, sealedDevices, row.ID, d.Credentials); err != nil {
			return err
		}
		if err := sealedDevices.write(ctx, tx, row.ID, row.sealedSecrets); err != nil {
			return err
		}
		added, err = s.opened(&row)
		return err
	})
	if err != nil {
		return device.Device{}, err
	}
	return added, nil
}

// CheckDevice says, without asking the database, whether AddDevice would refuse
// a device as it is described. Its error is ErrInvalid.
func (s *Store) CheckDevice(d device.Device) error {
	if err := validate(completed(d)); err != nil {
		return s.fail(fmt.Sprintf("check the device %.80q", d.Hostname), err)
	}
	return nil
}

// completed fills in what an SNMP device has when nobody says otherwise.
func completed(d device.Device) device.Device {
	if d.Port == 0 {
		d.Port = 161
	}
	if d.Transport == "" {
		d.Transport = "udp"
	}
	return canonical(d)
}

// canonical has an address be asked as RFC 5952 writes it: twins are found by comparing texts. The hostname is a
// label and stays.
func canonical(d device.Device) device.Device {
	address, err := netip.ParseAddr(d.Host())
	if err != nil {
		return d
	}
	if !strings.HasSuffix(d.Transport, "6") {
		address = address.Unmap()
	}
	if text := address.String(); !strings.EqualFold(text, d.Host()) {
		d.Address = text
	}
	return d
}

func initialStatus(disabled bool) device.Status {
	if disabled {
		return device.StatusDisabled
	}
	return device.StatusNew
}

// checkNew refuses a hostname that another device has, and a group that does not exist.
func (s *Store) checkNew(ctx context.Context, tx bun.Tx, d device.Device) error {
	taken, err := tx.NewSelect().Table("devices").Where(s.hostnameIs(), d.Hostname).Where("id <> ?", d.ID).Count(ctx)
	if err != nil {
		return err
	}
	if taken > 0 {
		return fmt.Errorf("%w: a device with the hostname %s", ErrDuplicate, d.Hostname)
	}
	groups, err := tx.NewSelect().Table("poller_groups").Where("id = ?", d.Group).Count(ctx)
	if err != nil {
		return err
	}
	if groups == 0 {
		return fmt.Errorf("poller group %d: %w", d.Group, ErrNotFound)
	}
	return nil
}

const (
	maxDirectory   = 255 // bytes of a file name, NAME_MAX of Linux
	maxDirectories = 1000
)

// freeDirectory chooses a directory that no device has and no removed device
// had. LibreNMS's name of it is the hostname with : written as _, so an existing tree goes on.
func freeDirectory(ctx context.Context, tx bun.Tx, hostname string) (string, error) {
	base := strings.ReplaceAll(hostname, ":", "_")
	for n := range maxDirectories {
		directory := base
		if n > 0 {
			suffix := "~" + strconv.Itoa(n)
			directory = base[:min(len(base), maxDirectory-len(suffix))] + suffix
		}
		var taken int
		err := tx.NewRaw("SELECT (SELECT COUNT(*) FROM devices WHERE rrd_dir = ?) + (SELECT COUNT(*) FROM removed_devices WHERE rrd_dir = ?)",
			directory, directory).Scan(ctx, &taken)
		if err != nil {
			return "", err
		}
		if taken == 0 {
			return directory, nil
		}
	}
	return "", fmt.Errorf("%w hostname: it had %d RRD directories already", ErrInvalid, maxDirectories)
}

// UpdateDevice changes what people decide of a device, in one transaction:
// hostname (the label only), address, port, transport, credentials, timeout,
// retries, group, interval, the modules of discoveries and of polls that do not run, and whether it is disabled, ignored or asked by ICMP only. change gets the device
// and may run several times; its error ends everything. Other fields stay as
// they are. A new interval begins no slot before the running one ends, and
// opens a new generation of the RRD files of the device and its ports.
// Secrets that do not open are left out of what change gets; when it does not
// bring others, that is secret.ErrOpen. Further errors: ErrNotFound, ErrInvalid, ErrDuplicate, and that of change.
func (s *Store) UpdateDevice(ctx context.Context, id int64, change func(*device.Device) error) (device.Device, error) {
	var changed device.Device
	err := s.tx(ctx, fmt.Sprintf("change the device %d", id), func(ctx context.Context, tx bun.Tx) error {
		key, err := s.keyInForce(ctx, tx)
		if err != nil {
			return err
		}
		var old deviceRow
		if err := s.locked(tx.NewSelect().Model(&old).Where("id = ?", id)).Scan(ctx); err != nil {
			return err
		}
		d, lost := s.opened(&old)
		if err := change(&d); err != nil {
			return err
		}
		d = canonical(d)
		d.ID = id
		if err := validate(d); err != nil {
			if lost != nil {
				return lost // what does not open is missing, unless the change brings another
			}
			return err
		}
		if err := s.checkNew(ctx, tx, d); err != nil {
			return err
		}
		row, err := changedRow(key, d, old)
		if err != nil {
			return err
		}
		if err := writeChange(ctx, tx, &row, old); err != nil {
			return err
		}
		changed, err = s.opened(&row)
		return err
	})
	if err != nil {
		return device.Device{}, err
	}
	return changed, nil
}

// changedRow takes what people decide from d, its secrets sealed with the key, and all else from the old row.
func changedRow(key secret.Key, d device.Device, old deviceRow) (deviceRow, error) {
	row := old
	described := describedRow(d)
	row.Hostname, row.Address, row.Port, row.Transport = described.Hostname, described.Address, described.Port, described.Transport
	row.SNMPVersion, row.User, row.Context = described.SNMPVersion, described.User, described.Context
	row.AuthProtocol, row.PrivProtocol = described.AuthProtocol, described.PrivProtocol
	row.TimeoutMS, row.Retries, row.Group = described.TimeoutMS, described.Retries, described.Group
	row.Disabled, row.Interval, row.DiscoveryOff = described.Disabled, described.Interval, described.DiscoveryOff
	row.Selected = described.Selected
	row.PingOnly, row.Ignored, row.PollerOff = described.PingOnly, described.Ignored, described.PollerOff
	switch {
	case row.PingOnly:
		row.OS = device.OSPing
	case old.PingOnly: // what it runs is not known, and it is discovered at once
		row.OS, row.DiscoveredSlot = "", 0
	case row.host() != old.host() || row.Port != old.Port || row.Context != old.Context: // it may be another agent
		row.DiscoveredSlot = 0
	}
	var err error
	if row.sealedSecrets, err = seal(key, sealedDevices, d.ID, d.Credentials); err != nil {
		return deviceRow{}, err
	}
	if row.Disabled != old.Disabled {
		row.Status, row.StatusReason = string(initialStatus(row.Disabled)), ""
	}
	if row.Interval != old.Interval {
		row.SlotFrom = max(old.SlotFrom, old.PolledSlot+int64(old.Interval),
			device.SlotFromChange(d.ID, old.Interval, time.Now().Unix()))
		row.Generation++
	}
	return row, nil
}

// writeChange writes the changed row and what follows from the change.
func writeChange(ctx context.Context, tx bun.Tx, row *deviceRow, old deviceRow) error {
	_, err := tx.NewUpdate().Model(row).ExcludeColumn("id", "created_at").Where("id = ?", row.ID).Exec(ctx)
	if err != nil {
		if duplicate(err) || orphan(err) {
			return errAgain // another device took the hostname, or somebody removed the group, just now
		}
		return err
	}
	if row.Interval != old.Interval {
		_, err := tx.NewUpdate().Table("ports").Set("generation = generation + 1").Where("device_id = ?", row.ID).Exec(ctx)
		if err == nil {
			_, err = tx.NewUpdate().Table("components").Set("generation = generation + 1").Where("device_id = ?", row.ID).Exec(ctx)
		}
		if err != nil {
			return err
		}
	}
	if row.Disabled && !old.Disabled {
		at := now()
		ended, err := endOutage(ctx, tx, row.ID, at) // nobody looks any more, so nobody knows that it is down
		if ended {
			row.OutagesChanged = at
		}
		return err
	}
	return nil
}
