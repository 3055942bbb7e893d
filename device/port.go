package device

import "strings"

// PortState is what one read of the IF-MIB says of a port, and what the
// inventory keeps. Texts are valid UTF-8 without control characters.
type PortState struct {
	IfIndex       int64
	IfName        string // ifName, else ifDescr
	IfDescr       string // ifDescr, else ifName
	IfAlias       string // ifAlias, else ifDescr
	IfType        string // IANAifType's name, such as "ethernetCsmacd", or its number
	IfMTU         int64
	IfSpeed       uint64 // bits per second; ifHighSpeed x 10^6 when the device has it
	IfAdminStatus string // up, down, testing
	IfOperStatus  string // up, down, testing, unknown, dormant, notPresent, lowerLayerDown
	IfPhysAddress string // lower-case hexadecimal digits without separators, "" for none
	IfLastChange  int64  // TimeTicks (hundredths of a second)
	// Row is where a port stands that is no row of the IF-MIB: the name of the table in the definition of its OS, a
	// colon and the row's index, such as "vrtr:2.3". "" for a port of the IF-MIB.
	Row string
}

// Table is the name of the table beside the IF-MIB that the port stands in, "" for one of the IF-MIB.
func (p *PortState) Table() string {
	table, _, _ := strings.Cut(p.Row, ":")
	return table
}

// Port is a port of the inventory.
type Port struct {
	ID         int64
	DeviceID   int64
	State      PortState
	Disabled   bool   // not measured, by choice
	Vanished   bool   // absent from two complete reads of two slots
	Missed     int    // complete reads in a row without it
	Generation int    // of its RRD file; grows when the interval changes or the port outgrows the file's maximum
	RRDMax     uint64 // maximum of its RRD file's sources, units per second; 0 when no file was needed yet
	VLAN       int    // that untagged frames go into, as the last discovery found it; 0 when it is not known
}

// PortReading is one port as a poll saw it.
type PortReading struct {
	PortID     int64 // 0 when the inventory does not know the port yet
	State      PortState
	InOctets   uint64 // as read, 64-bit where the device has them
	OutOctets  uint64
	Generation int    // of the RRD file that its measurement goes to
	RRDMax     uint64 // of that file
}

// Selection says whether the counters of chosen ports are read one by one, instead of whole columns of all ports.
type Selection string

// The selections, as LibreNMS's polling.selected_ports has them, and auto.
const (
	SelectAuto   Selection = "auto" // whichever takes the device less time
	SelectAlways Selection = "true"
	SelectNever  Selection = "false"
)

// Valid says whether it is one of them, or "".
func (s Selection) Valid() bool {
	return s == "" || s == SelectAuto || s == SelectAlways || s == SelectNever
}
