// Package device says what is monitored: devices, their ports, poller groups
// and nodes, and what one poll found.
//
// It holds plain words only. It must not read from the network, from the
// database or from the clock.
package device

import (
	"time"

	"pollux/snmp"
)

// Status is what is known of a device after its last poll.
type Status string

// The statuses of a device.
const (
	StatusNew      Status = "new"      // added, not polled yet
	StatusUp       Status = "up"       // answered its last poll
	StatusDown     Status = "down"     // gave no answer at all
	StatusAuth     Status = "auth"     // refused the credentials
	StatusDisabled Status = "disabled" // not polled, by choice
)

// Device is one monitored device as the inventory holds it.
type Device struct {
	ID          int64
	Hostname    string           // the name it was added under; a label, unique
	Address     string           // asked instead of Hostname when not empty
	Port        uint16           // SNMP port, 161 by default
	Transport   string           // udp, udp6, tcp or tcp6
	Credentials snmp.Credentials // opened; only the store knows the sealed form
	Timeout     time.Duration    // of one SNMP try; 0 means the setting snmp.timeout
	Retries     int              // SNMP tries after the first; -1 means the setting snmp.retries
	Group       int64            // poller group, 0 is General
	Interval    int              // seconds between two polls, 10 to 3600
	SlotFrom    int64            // Unix second before which no slot begins (end of the last slot of an earlier interval)
	Disabled    bool
	// DiscoveryOff are the modules of discoveries that do not run for this device.
	DiscoveryOff []string
	// PollerOff are the modules of polls that do not run for this device.
	PollerOff []string
	// SelectedPorts is whether counters of ports are read one by one; "" leaves it to the OS and the setting.
	SelectedPorts Selection
	PingOnly      bool // asked by ICMP only: no SNMP request is sent to it, and it has no credentials
	Ignored       bool // polled, but its events raise no alarm

	RRDDir     string // directory of its RRD files, pinned when the device is created
	Shard      int    // shard of the journal, pinned when the device is created
	Generation int    // of its own RRD files; grows when the interval changes

	Status       Status
	StatusReason string
	PolledAt     time.Time     // sample time of the last finished poll; zero when never polled
	PolledSlot   int64         // slot of that poll
	PollDuration time.Duration // of that poll
	LastOutcome  Outcome
	CreatedAt    time.Time
	// OutagesChanged is when an outage of it began or ended last, in milliseconds; zero when it was never down.
	OutagesChanged time.Time

	DiscoveredAt      time.Time // zero when it never was
	DiscoveryDuration time.Duration
	DiscoveryOutcome  Outcome
	DiscoveryReason   string
	// Lacks are the columns and objects, by their MIB names, that the device did not have at its last discovery: polls do not ask for them.
	Lacks []string

	Facts Facts
}

// OSPing is the OS of a device that is asked by ICMP only, with LibreNMS's name.
const OSPing = "ping"

// Facts are what a device says of itself (SNMPv2-MIB system group).
type Facts struct {
	SysName     string
	SysDescr    string
	SysObjectID string // numeric, without a leading dot
	SysLocation string
	SysContact  string
	OS          string // LibreNMS's name of the operating system; "" when it is not known
	Hardware    string
	Version     string
	Serial      string
	Features    string        // of its software, such as the licence
	Uptime      time.Duration // the longest of sysUpTime and snmpEngineTime
}

// Removed is a device that was removed. Its RRD files stay, in a directory that no other device gets.
type Removed struct {
	ID            int64
	Hostname      string
	RRDDir        string
	Shard         int
	At            time.Time
	DeleteHistory bool // whoever removed it wants its RRD files to go, too
}

// Host is what is asked: the address when there is one, else the hostname.
func (d Device) Host() string {
	if d.Address != "" {
		return d.Address
	}
	return d.Hostname
}

// Group is a poller group: devices in it are polled by the nodes assigned to it.
type Group struct {
	ID          int64
	Name        string
	Description string
}

// GeneralGroup is the group that always exists.
const GeneralGroup int64 = 0

// Scheduled is what the producer must know of a device.
type Scheduled struct {
	ID       int64
	Group    int64
	Interval int   // seconds
	SlotFrom int64 // Unix second before which no slot begins
	Created  int64 // Unix second at which it was added
}
