package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pollux/device"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// filterOf reads the --where flags: what they choose must fit all of them.
func filterOf(ctx context.Context, s *store.Store, values settings.Values, where []string) (filter store.Filter, err error) {
	var seen []string
	for _, text := range where {
		key, value, found := strings.Cut(text, "=")
		if !found {
			return filter, usagef("--where is KEY=VALUE, such as group=3 or hostname=sw-*, not %.80q", text)
		}
		if slices.Contains(seen, key) && key != "hostname" {
			return filter, usagef("--where names %.40s twice; a device has one", key)
		}
		seen = append(seen, key)
		if err := addCondition(ctx, s, values, &filter, key, value); err != nil {
			return filter, err
		}
	}
	return filter, nil
}

func addCondition(ctx context.Context, s *store.Store, values settings.Values, filter *store.Filter, key, value string) error {
	switch key {
	case "group":
		group, err := chosenGroup(ctx, s, values, value)
		if err != nil {
			return err
		}
		filter.Group = &group.ID
	case "status":
		if filter.Status = device.Status(value); !knownStatus(filter.Status) {
			return usagef("--where status= is up, down, auth, new or disabled, not %.40q", value)
		}
	case "hostname":
		filter.Hostnames = append(filter.Hostnames, value)
	case "interval":
		n, err := strconv.Atoi(value)
		if err != nil || n < device.MinInterval || n > device.MaxInterval {
			return usagef("--where interval= is %d to %d, not %.40q", device.MinInterval, device.MaxInterval, value)
		}
		filter.Interval = n
	case "disabled", "ignored":
		if value != "true" && value != "false" {
			return usagef("--where %s= is true or false, not %.40q", key, value)
		}
		wanted := value == "true"
		set(key == "disabled", &filter.Disabled, &wanted)
		set(key == "ignored", &filter.Ignored, &wanted)
	case "version":
		if filter.Version = snmp.Version(value); !slices.Contains([]snmp.Version{snmp.V1, snmp.V2c, snmp.V3}, filter.Version) {
			return usagef("--where version= is v1, v2c or v3, not %.40q", value)
		}
	default:
		return usagef("--where knows group, status, hostname, interval, disabled, ignored and version, not %.40q", key)
	}
	return nil
}

// manyJSON is what became of the devices that --where chose.
type manyJSON struct {
	Matched int             `json:"matched"`
	Changed int             `json:"changed"`
	Failed  int             `json:"failed"`
	DryRun  bool            `json:"dry_run"`
	Items   []changedDevice `json:"items"`
}

type changedDevice struct {
	ID       int64  `json:"id"`
	Hostname string `json:"hostname"`
	Changed  bool   `json:"changed"`
	Error    string `json:"error,omitempty"`
}

// setMany changes the devices that --where chooses, each in a transaction of its own.
func (p *program) setMany(ctx context.Context, s *store.Store, values settings.Values, flags setFlags, change func(*device.Device) error) error {
	filter, err := filterOf(ctx, s, values, flags.where)
	if err != nil {
		return err
	}
	all, err := allDevices(ctx, s, filter)
	if err != nil {
		return err
	}
	fact := fmt.Sprintf("devices that fit: %d", len(all))
	switch {
	case flags.dryRun && !p.asJSON:
		names, err := groupNames(ctx, s, values)
		if err != nil {
			return err
		}
		fmt.Fprintln(p.out, fact+"; nothing was changed")
		return p.printDevices(all, names)
	case len(all) == 0 && !p.asJSON:
		fmt.Fprintln(p.out, fact+"; nothing was changed")
		return nil
	case len(all) > 0 && !flags.dryRun:
		if err := p.confirm(flags.yes, fact, "change them"); err != nil {
			return err
		}
	}
	result, failed := manyJSON{Matched: len(all), DryRun: flags.dryRun, Items: make([]changedDevice, 0, len(all))}, error(nil)
	if flags.dryRun {
		for _, d := range all {
			result.Items = append(result.Items, changedDevice{ID: d.ID, Hostname: d.Hostname})
		}
	} else {
		failed = result.change(ctx, s, all, change)
	}
	if p.asJSON {
		return errors.Join(p.printJSON(result), failed)
	}
	fmt.Fprintf(p.out, "%s, changed: %d\n", fact, result.Changed)
	for _, item := range result.Items {
		if item.Error != "" {
			fmt.Fprintf(p.out, "%s: %s\n", item.Hostname, plain(item.Error))
		}
	}
	return failed
}

// change changes devices until one cannot be changed because the database is away or somebody ends the command.
func (r *manyJSON) change(ctx context.Context, s *store.Store, all []device.Device, change func(*device.Device) error) error {
	var first error
	for _, d := range all {
		item := changedDevice{ID: d.ID, Hostname: d.Hostname}
		_, err := s.UpdateDevice(ctx, d.ID, change)
		if item.Changed = err == nil; item.Changed {
			r.Changed++
		} else {
			r.Failed++
			item.Error = err.Error()
		}
		r.Items = append(r.Items, item)
		if err == nil {
			continue
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", d.Hostname, err)
		}
		if ctx.Err() != nil {
			first = errInterrupted
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) {
			break
		}
	}
	if first == nil {
		return nil
	}
	text := fmt.Sprintf("changed %d, failed %d", r.Changed, r.Failed)
	if left := len(all) - r.Changed - r.Failed; left > 0 {
		text += fmt.Sprintf(", not tried %d", left)
	}
	return fmt.Errorf("%s: %w", text, first)
}
