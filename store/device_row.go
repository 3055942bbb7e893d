package store

import (
	"cmp"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/snmp"
)

// deviceRow is a row of devices.
type deviceRow struct {
	bun.BaseModel `bun:"table:devices"`

	ID           int64  `bun:"id,pk,autoincrement"`
	Hostname     string `bun:"hostname"`
	Address      string `bun:"address"`
	Port         int    `bun:"port"`
	Transport    string `bun:"transport"`
	SNMPVersion  string `bun:"snmp_version"`
	User         string `bun:"snmp_user"`
	AuthProtocol string `bun:"auth_protocol"`
	PrivProtocol string `bun:"priv_protocol"`
	Context      string `bun:"snmp_context"`
	sealedSecrets
	TimeoutMS    int64  `bun:"timeout_ms"`
	Retries      int    `bun:"retries"`
	Group        int64  `bun:"poller_group"`
	Interval     int    `bun:"poll_interval"`
	SlotFrom     int64  `bun:"slot_from"`
	Disabled     bool   `bun:"disabled"`
	DiscoveryOff string `bun:"discovery_modules_off"` // names with commas between them
	PollerOff    string `bun:"poller_modules_off"`
	Selected     string `bun:"selected_ports"`
	PingOnly     bool   `bun:"snmp_disable"`
	Ignored      bool   `bun:"ignored"`
	RRDDir       string `bun:"rrd_dir"`
	Shard        int    `bun:"shard"`
	Generation   int    `bun:"generation"`
	Status       string `bun:"status"`
	Previous     string `bun:"previous_status"`
	StatusReason string `bun:"status_reason"`
	PolledAt     int64  `bun:"polled_at"`
	PolledSlot   int64  `bun:"polled_slot"`
	PollDuration int64  `bun:"poll_duration_ms"`
	LastOutcome  string `bun:"last_outcome"`
	PortsDigest  string `bun:"ports_digest"`
	CreatedAt    int64  `bun:"created_at"`

	OutagesChanged   int64  `bun:"outages_changed"`
	ComponentsDigest string `bun:"components_digest"`
	DiscoveredAt     int64  `bun:"discovered_at"`
	DiscoveredSlot   int64  `bun:"discovered_slot"`
	DiscoveryMS      int64  `bun:"discovery_ms"`
	DiscoveryOutcome string `bun:"discovery_outcome"`
	DiscoveryReason  string `bun:"discovery_reason"`
	Lacks            string `bun:"lacks"` // names with commas between them
	factsRow
}

// factsRow are the columns that a poll fills with what the device says of itself.
type factsRow struct {
	SysName     string `bun:"sys_name"`
	SysDescr    string `bun:"sys_descr"`
	SysObjectID string `bun:"sys_object_id"`
	SysLocation string `bun:"sys_location"`
	SysContact  string `bun:"sys_contact"`
	OS          string `bun:"os"`
	Hardware    string `bun:"hardware"`
	Version     string `bun:"version"`
	Serial      string `bun:"serial"`
	Features    string `bun:"features"`
	UptimeMS    int64  `bun:"uptime_ms"`
}

// describedRow holds the columns that people decide; the rest of the row is what polls found.
func describedRow(d device.Device) deviceRow {
	row := deviceRow{
		ID: d.ID, Hostname: d.Hostname, Address: d.Address, Port: int(d.Port), Transport: d.Transport,
		SNMPVersion: string(d.Credentials.Version), User: d.Credentials.User, Context: d.Credentials.Context,
		AuthProtocol: d.Credentials.AuthProtocol, PrivProtocol: d.Credentials.PrivProtocol,
		TimeoutMS: d.Timeout.Milliseconds(), Retries: d.Retries, Group: d.Group, Interval: d.Interval,
		SlotFrom: d.SlotFrom, Disabled: d.Disabled, DiscoveryOff: strings.Join(d.DiscoveryOff, ","), PollerOff: strings.Join(d.PollerOff, ","), Selected: string(d.SelectedPorts), PingOnly: d.PingOnly, Ignored: d.Ignored,
	}
	if d.PingOnly {
		row.OS = device.OSPing // no discovery says what it runs
	}
	return row
}

func factsColumns(f device.Facts) factsRow {
	return factsRow{
		SysName: line(f.SysName, maxName), SysDescr: text(f.SysDescr, maxDescr), SysObjectID: line(f.SysObjectID, maxObject),
		SysLocation: line(f.SysLocation, maxName), SysContact: line(f.SysContact, maxName), OS: line(f.OS, maxShort),
		Hardware: line(f.Hardware, maxName), Version: line(f.Version, maxName), Serial: line(f.Serial, maxName), Features: line(f.Features, maxName),
		UptimeMS: f.Uptime.Milliseconds(),
	}
}

// device returns the row without its secrets.
func (r *deviceRow) device() device.Device {
	return device.Device{
		ID: r.ID, Hostname: r.Hostname, Address: r.Address, Port: uint16(r.Port), Transport: r.Transport,
		Credentials: snmp.Credentials{
			Version: snmp.Version(r.SNMPVersion), User: r.User, Context: r.Context,
			AuthProtocol: r.AuthProtocol, PrivProtocol: r.PrivProtocol,
		},
		Timeout: fromMillisDuration(r.TimeoutMS), Retries: r.Retries, Group: r.Group, Interval: r.Interval,
		SlotFrom: r.SlotFrom, Disabled: r.Disabled, DiscoveryOff: names(r.DiscoveryOff), PollerOff: names(r.PollerOff), SelectedPorts: device.Selection(r.Selected), PingOnly: r.PingOnly, Ignored: r.Ignored, RRDDir: r.RRDDir, Shard: r.Shard, Generation: r.Generation,
		Status: device.Status(r.Status), StatusReason: r.StatusReason, PolledAt: fromMillis(r.PolledAt),
		PolledSlot: r.PolledSlot, PollDuration: fromMillisDuration(r.PollDuration),
		LastOutcome: device.Outcome(r.LastOutcome), CreatedAt: fromMillis(r.CreatedAt), OutagesChanged: fromMillis(r.OutagesChanged),
		DiscoveredAt: fromMillis(r.DiscoveredAt), DiscoveryOutcome: device.Outcome(r.DiscoveryOutcome), DiscoveryReason: r.DiscoveryReason,
		DiscoveryDuration: fromMillisDuration(r.DiscoveryMS), Lacks: names(r.Lacks),
		Facts: device.Facts{
			SysName: r.SysName, SysDescr: r.SysDescr, SysObjectID: r.SysObjectID, SysLocation: r.SysLocation,
			SysContact: r.SysContact, OS: r.OS, Hardware: r.Hardware, Version: r.Version, Serial: r.Serial, Features: r.Features,
			Uptime: fromMillisDuration(r.UptimeMS),
		},
	}
}

// names takes a list apart that has commas between its names; nil for an empty one.
func names(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// host is Device.Host of the row.
func (r *deviceRow) host() string { return cmp.Or(r.Address, r.Hostname) }

// opened returns the row with its secrets, beside the error too, with those that open.
func (s *Store) opened(r *deviceRow) (device.Device, error) {
	d := r.device()
	return d, s.unseal(sealedDevices, r.ID, r.sealedSecrets, &d.Credentials)
}

func now() int64 { return time.Now().UnixMilli() }
