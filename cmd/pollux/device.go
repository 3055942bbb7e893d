package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/secret"
	"pollux/settings"
	"pollux/store"
)

func (p *program) deviceCommand() *cobra.Command {
	command := &cobra.Command{Use: "device", Short: "Add, list, show, change, rename, disable, ignore, poll and remove devices", Args: words(0), RunE: help}
	command.AddCommand(p.deviceAddCommand(), p.deviceListCommand(), p.deviceShowCommand(), p.deviceSetCommand(), p.deviceRenameCommand(),
		p.deviceSwitchCommand("disable HOST", "Stop polling a device; it stays in the inventory", func(d *device.Device) { d.Disabled = true }),
		p.deviceSwitchCommand("enable HOST", "Poll a device again", func(d *device.Device) { d.Disabled = false }),
		p.deviceSwitchCommand("ignore HOST", "Poll a device, but let its events raise no alarm", func(d *device.Device) { d.Ignored = true }),
		p.deviceSwitchCommand("unignore HOST", "Let the events of a device raise alarms again", func(d *device.Device) { d.Ignored = false }),
		p.deviceRemoveCommand(), p.devicePollCommand(), p.deviceDiscoverCommand(), p.deviceComponentsCommand(), p.deviceWhyCommand(),
		p.deviceAddressesCommand(), p.deviceEntitiesCommand(), p.deviceNeighboursCommand(), p.deviceVLANsCommand())
	return command
}

// withStore opens the inventory for one command.
func (p *program) withStore(ctx context.Context, work func(s *store.Store, values settings.Values, log *slog.Logger) error) (err error) {
	c, err := p.boot()
	if err != nil {
		return err
	}
	log := p.logger(c.LogLevel)
	if err := needInventory(c); err != nil {
		return err
	}
	s, err := store.Open(ctx, c.Database, c.AppKey, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	stored, err := s.LoadSettings(ctx)
	if err != nil {
		return err
	}
	return work(s, settings.NewValues(stored), log)
}

// findDevice takes a hostname or an id. Secrets that do not open are left out, so
// that such a device can be looked at, changed and removed.
func findDevice(ctx context.Context, s *store.Store, spec string) (found device.Device, err error) {
	defer func() {
		if errors.Is(err, secret.ErrOpen) {
			err = nil
		}
	}()
	found, err = s.DeviceByHostname(ctx, spec)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return found, err
	}
	if id, parseErr := strconv.ParseInt(spec, 10, 64); parseErr == nil {
		if found, err = s.Device(ctx, id); err == nil || !errors.Is(err, store.ErrNotFound) {
			return found, err
		}
	}
	return device.Device{}, fmt.Errorf("%w: there is no device %.100q; see: pollux device list", errNotFound, spec)
}

// deviceJSON is a device in JSON: ids are numbers, times RFC 3339 in UTC.
type deviceJSON struct {
	ID           int64    `json:"id"`
	Hostname     string   `json:"hostname"`
	Address      string   `json:"address,omitempty"`
	Port         uint16   `json:"port"`
	Transport    string   `json:"transport"`
	SNMPVersion  string   `json:"snmp_version"`
	SNMPTimeout  *float64 `json:"snmp_timeout"` // seconds; null when the setting counts
	SNMPRetries  *int     `json:"snmp_retries"` // null when the setting counts
	PollerGroup  int64    `json:"poller_group"`
	Interval     int      `json:"interval"`
	Disabled     bool     `json:"disabled"`
	DiscoveryOff []string `json:"discovery_off,omitempty"`  // modules of discoveries that do not run
	PollerOff    []string `json:"poller_off,omitempty"`     // modules of polls that do not run
	Lacks        []string `json:"lacks,omitempty"`          // columns that its last discovery did not find: polls do not ask for them
	SelectedPort string   `json:"selected_ports,omitempty"` // auto, true or false; "" leaves it to the OS and the setting
	Ignored      bool     `json:"ignored"`
	PingOnly     bool     `json:"ping_only"`
	Status       string   `json:"status"`
	StatusReason string   `json:"status_reason,omitempty"`
	LastPolled   *string  `json:"last_polled"`
	PollSeconds  float64  `json:"last_polled_timetaken"`
	RRDDir       string   `json:"rrd_dir"`
	Shard        int      `json:"shard"`
	Generation   int      `json:"generation"`
	SysName      string   `json:"sys_name,omitempty"`
	SysDescr     string   `json:"sys_descr,omitempty"`
	SysObjectID  string   `json:"sys_object_id,omitempty"`
	SysLocation  string   `json:"sys_location,omitempty"`
	SysContact   string   `json:"sys_contact,omitempty"`
	OS           string   `json:"os,omitempty"`
	Hardware     string   `json:"hardware,omitempty"`
	Version      string   `json:"version,omitempty"`
	Serial       string   `json:"serial,omitempty"`
	Features     string   `json:"features,omitempty"`
	Uptime       int64    `json:"uptime"`

	LastDiscovered   *string `json:"last_discovered"`
	DiscoverySeconds float64 `json:"last_discovered_timetaken"`

	Availability []availabilityJSON `json:"availability,omitempty"`

	Ports []portJSON `json:"ports,omitempty"`
}

// availabilityJSON is named as LibreNMS's API has it.
type availabilityJSON struct {
	Duration int     `json:"duration"` // seconds before now
	Percent  float64 `json:"availability_perc"`
}

// availabilityOf is the availability of a device now, over each period that is known.
func availabilityOf(ctx context.Context, s *store.Store, d device.Device) ([]availabilityJSON, error) {
	if d.PolledAt.IsZero() {
		return nil, nil // nobody knows
	}
	outages, err := s.Outages(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	var found []availabilityJSON
	for _, period := range device.AvailabilityPeriods() {
		if percent, known := device.Availability(outages, d.CreatedAt, time.Now(), period); known {
			found = append(found, availabilityJSON{int(period.Seconds()), percent})
		}
	}
	return found, nil
}

// availabilityInWords is it as people read it. What is not 100 % is not rounded to it.
func availabilityInWords(all []availabilityJSON) string {
	words := make([]string, 0, len(all))
	for _, a := range all {
		words = append(words, fmt.Sprintf("%.3f %% of %d d", math.Floor(a.Percent*1000)/1000, a.Duration/86400))
	}
	return strings.Join(words, ", ")
}

type portJSON struct {
	ID            int64  `json:"id"`
	IfIndex       int64  `json:"if_index"`
	IfName        string `json:"if_name"`
	IfDescr       string `json:"if_descr"`
	IfAlias       string `json:"if_alias"`
	IfType        string `json:"if_type"`
	IfSpeed       uint64 `json:"if_speed"`
	IfMTU         int64  `json:"if_mtu"`
	IfAdminStatus string `json:"if_admin_status"`
	IfOperStatus  string `json:"if_oper_status"`
	IfPhysAddress string `json:"if_phys_address,omitempty"`
	Row           string `json:"row,omitempty"` // of another table than the IF-MIB
	Disabled      bool   `json:"disabled"`
	Vanished      bool   `json:"vanished"`
	Generation    int    `json:"generation"`
	VLAN          int    `json:"vlan,omitempty"` // that untagged frames go into
}

func toJSON(d device.Device, ports []device.Port) deviceJSON {
	shown := deviceJSON{
		ID: d.ID, Hostname: d.Hostname, Address: d.Address, Port: d.Port, Transport: d.Transport, SNMPVersion: string(d.Credentials.Version),
		PollerGroup: d.Group, Interval: d.Interval, Disabled: d.Disabled, Ignored: d.Ignored, PingOnly: d.PingOnly, DiscoveryOff: d.DiscoveryOff, Lacks: d.Lacks, SelectedPort: string(d.SelectedPorts), PollerOff: d.PollerOff, Status: string(status(d)), StatusReason: d.StatusReason,
		LastPolled: rfc3339(d.PolledAt), PollSeconds: d.PollDuration.Seconds(), RRDDir: d.RRDDir, Shard: d.Shard, Generation: d.Generation,
		SysName: d.Facts.SysName, SysDescr: d.Facts.SysDescr, SysObjectID: d.Facts.SysObjectID, SysLocation: d.Facts.SysLocation,
		SysContact: d.Facts.SysContact, OS: d.Facts.OS, Uptime: int64(d.Facts.Uptime.Seconds()),
		Hardware: d.Facts.Hardware, Version: d.Facts.Version, Serial: d.Facts.Serial, Features: d.Facts.Features,
		LastDiscovered: rfc3339(d.DiscoveredAt), DiscoverySeconds: d.DiscoveryDuration.Seconds(),
	}
	if d.Timeout > 0 {
		seconds := d.Timeout.Seconds()
		shown.SNMPTimeout = &seconds
	}
	if d.Retries >= 0 {
		shown.SNMPRetries = &d.Retries
	}
	for _, port := range ports {
		s := port.State
		shown.Ports = append(shown.Ports, portJSON{
			ID: port.ID, IfIndex: s.IfIndex, IfName: s.IfName, IfDescr: s.IfDescr, IfAlias: s.IfAlias, IfType: s.IfType, IfSpeed: s.IfSpeed, IfMTU: s.IfMTU,
			IfAdminStatus: s.IfAdminStatus, IfOperStatus: s.IfOperStatus, IfPhysAddress: s.IfPhysAddress, Row: s.Row,
			Disabled: port.Disabled, Vanished: port.Vanished, Generation: port.Generation, VLAN: port.VLAN,
		})
	}
	return shown
}

// status is disabled for a device that is not polled, whatever it was when it was.
func status(d device.Device) device.Status {
	if d.Disabled {
		return device.StatusDisabled
	}
	return d.Status
}

// rfc3339 is a time as JSON has it, null when it never came.
func rfc3339(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &text
}

// ago is a time as people read it.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// days is a long time as people read it.
func days(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("%d days %s", d/(24*time.Hour), (d % (24 * time.Hour)).Round(time.Second))
}
