package simulator

import "strconv"

// Column is a counter column of IF-MIB (RFC 2863), whatever its width: the
// Counter32 is the low half of the Counter64.
type Column uint8

// The counter columns. The numbers are part of the closed form and of the log's format.
const (
	InOctets Column = iota
	InUcastPkts
	InNUcastPkts
	InDiscards
	InErrors
	InUnknownProtos
	OutOctets
	OutUcastPkts
	OutNUcastPkts
	OutDiscards
	OutErrors
	InMulticastPkts
	InBroadcastPkts
	OutMulticastPkts
	OutBroadcastPkts
	columns
)

// NoColumn marks the entry of a reply that held no octet counter.
const NoColumn Column = 255

var columnNames = [columns]string{
	"InOctets", "InUcastPkts", "InNUcastPkts", "InDiscards", "InErrors", "InUnknownProtos",
	"OutOctets", "OutUcastPkts", "OutNUcastPkts", "OutDiscards", "OutErrors",
	"InMulticastPkts", "InBroadcastPkts", "OutMulticastPkts", "OutBroadcastPkts",
}

// String is the column's name without its if or ifHC.
func (c Column) String() string {
	if c >= columns {
		return "Column(" + strconv.Itoa(int(c)) + ")"
	}
	return columnNames[c]
}

// direction is 1 for what leaves the device, else 0.
func (c Column) direction() uint64 {
	switch c {
	case OutOctets, OutUcastPkts, OutNUcastPkts, OutDiscards, OutErrors, OutMulticastPkts, OutBroadcastPkts:
		return 1
	}
	return 0
}

// rate derives the column's rate per second from its direction's octet rate.
func (c Column) rate(octets uint64) uint64 {
	switch c {
	case InOctets, OutOctets:
		return octets
	case InUcastPkts, OutUcastPkts:
		return octets/500 + 1
	case InMulticastPkts, OutMulticastPkts:
		return octets/20_000 + 1
	case InBroadcastPkts, OutBroadcastPkts:
		return octets/50_000 + 1
	case InNUcastPkts, OutNUcastPkts:
		return octets/20_000 + octets/50_000 + 2
	case InDiscards, OutDiscards:
		return octets % 3
	default:
		return octets % 2
	}
}
