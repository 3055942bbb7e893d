package device

import (
	"net/netip"
	"slices"
	"time"
)

// DiscoveryModules are the modules of a discovery that can be switched off,
// by name; core and os always run.
func DiscoveryModules() []string {
	return []string{ModuleAddresses, ModuleEntities, "host", "mempools", ModuleNeighbours, "ports", "processors", "sensors", "storage", ModuleVLANs}
}

// The modules of a discovery that read what is no component.
const (
	ModuleAddresses  = "addresses"
	ModuleEntities   = "entity-physical"
	ModuleNeighbours = "neighbours"
	ModuleVLANs      = "vlans"
)

// PollModules are the modules of a poll that can be switched off, by name; core always runs.
func PollModules() []string {
	return []string{ModuleAvailability, "host", ModuleICMP, "mempools", "ports", "processors", "sensors", "storage"}
}

// The modules of a poll that ask nothing by SNMP.
const (
	ModuleAvailability = "availability"
	ModuleICMP         = "icmp"
)

// MaxInventory bounds the rows that one such module finds on a device.
const MaxInventory = 5000

// Inventory is what a discovery finds on a device beside its components. Texts
// are valid UTF-8 without control characters.
type Inventory struct {
	Addresses  []Address
	Entities   []Entity
	Neighbours []Neighbour
	VLANs      []VLAN
	PortVLANs  map[int64]int // the VLAN that a port puts untagged frames into, by ifIndex
	// Whole has the modules that read all of their tables to their ends: rows
	// absent from them count as missed. A module that did not run is not there.
	Whole map[string]bool
}

// Stay is what rows have in common that stay for a while after the device has them no more.
type Stay struct {
	Found    time.Time // when it was found first, or came back
	Vanished bool      // absent from two complete discoveries
	Missed   int       // complete discoveries in a row without it
}

// Address is an IP address of a device. A link-local one is unique on its
// interface only, any other on the device.
type Address struct {
	ID       int64
	DeviceID int64
	PortID   int64 // 0 when no port has its ifIndex
	IfIndex  int64 // 0 when the device does not say
	Address  netip.Addr
	Prefix   int // bits of the network's part; 0 when the device does not say
	Stay
}

// Entity is a physical part of a device: a row of entPhysicalTable (RFC 6933).
type Entity struct {
	Index    int64 // entPhysicalIndex
	Parent   int64 // entPhysicalContainedIn: the part that it is in; 0 for none
	Class    string
	Descr    string
	Name     string
	Hardware string // revisions
	Firmware string
	Software string
	Serial   string
	Model    string
	Vendor   string
	FRU      bool // it can be replaced in the field
}

// Protocol is how a neighbour makes itself known.
type Protocol string

// The protocols of neighbours.
const (
	ProtocolLLDP Protocol = "lldp"
	ProtocolCDP  Protocol = "cdp"
)

// Neighbour is what a device hears at one of its ports. All of it is what the
// neighbour says of itself: nobody has checked it. Protocol, LocalPort, RemoteID
// and RemotePort together are unique on a device.
type Neighbour struct {
	ID         int64
	DeviceID   int64
	PortID     int64 // local port; 0 when it is not known
	IfIndex    int64 // of the local port; 0 when it is not known
	Protocol   Protocol
	LocalPort  string // ifName of the local port, else what the device calls it
	RemoteID   string // chassis id of LLDP, device id of CDP
	RemoteName string
	RemotePort string
	// RemotePortDescr is what the neighbour says of its port beside its id.
	RemotePortDescr string
	RemotePlatform  string
	RemoteDescr     string
	RemoteAddress   netip.Addr // for management; not valid when there is none
	Stay
}

// VLAN is a VLAN that a device knows.
type VLAN struct {
	ID       int64
	DeviceID int64
	VLAN     int // 1 to 4094
	Name     string
	State    string // active, suspended, dynamic; or the word of the MIB
	Stay
}

// PhysicalClass is the name of a number of entPhysicalClass (RFC 6933), "" for one that is none.
func PhysicalClass(n uint64) string {
	names := []string{
		"", "other", "unknown", "chassis", "backplane", "container", "powerSupply", "fan", "sensor", "module", "port",
		"stack", "cpu", "energyObject", "battery", "storageDrive",
	}
	if n >= uint64(len(names)) {
		return ""
	}
	return names[n]
}

// KnownModules says whether all names are of modules that can be switched off; else it names the first that is none.
func KnownModules(names, known []string) (wrong string, ok bool) {
	for _, name := range names {
		if !slices.Contains(known, name) {
			return name, false
		}
	}
	return "", true
}
