package poller

import (
	"slices"

	"pollux/snmp"
)

// field is a column of the IF-MIB (RFC 2863) that is read: a text, a number of
// the inventory, or a counter.
type field uint8

// Texts come first, then what describes a port, then counters: wide ones of 64
// bits, shared ones that have 32 bits everywhere, narrow ones of 32 bits that
// stand in for a missing wide one.
const (
	fieldDescr field = iota
	fieldName
	fieldAlias
	fieldPhysAddress

	fieldType
	fieldMTU
	fieldSpeed
	fieldHighSpeed
	fieldAdminStatus
	fieldOperStatus
	fieldLastChange
	fieldDiscontinuity

	wideInOctets
	wideInUcast
	wideInMulticast
	wideInBroadcast
	wideOutOctets
	wideOutUcast
	wideOutMulticast
	wideOutBroadcast

	inDiscards
	inErrors
	inUnknownProtos
	outDiscards
	outErrors

	narrowInOctets
	narrowInUcast
	narrowInNUcast
	narrowOutOctets
	narrowOutUcast
	narrowOutNUcast
	narrowInMulticast
	narrowInBroadcast
	narrowOutMulticast
	narrowOutBroadcast

	fieldCount = iota
	textCount  = int(fieldType)
)

const (
	ifEntry  snmp.OID = "1.3.6.1.2.1.2.2.1"
	ifXEntry snmp.OID = "1.3.6.1.2.1.31.1.1.1"
)

// columns are the OIDs of the fields.
var columns = [fieldCount]snmp.OID{
	fieldDescr:       ifEntry + ".2",
	fieldType:        ifEntry + ".3",
	fieldMTU:         ifEntry + ".4",
	fieldSpeed:       ifEntry + ".5",
	fieldPhysAddress: ifEntry + ".6",
	fieldAdminStatus: ifEntry + ".7",
	fieldOperStatus:  ifEntry + ".8",
	fieldLastChange:  ifEntry + ".9",
	narrowInOctets:   ifEntry + ".10",
	narrowInUcast:    ifEntry + ".11",
	narrowInNUcast:   ifEntry + ".12",
	inDiscards:       ifEntry + ".13",
	inErrors:         ifEntry + ".14",
	inUnknownProtos:  ifEntry + ".15",
	narrowOutOctets:  ifEntry + ".16",
	narrowOutUcast:   ifEntry + ".17",
	narrowOutNUcast:  ifEntry + ".18",
	outDiscards:      ifEntry + ".19",
	outErrors:        ifEntry + ".20",

	fieldName:          ifXEntry + ".1",
	narrowInMulticast:  ifXEntry + ".2",
	narrowInBroadcast:  ifXEntry + ".3",
	narrowOutMulticast: ifXEntry + ".4",
	narrowOutBroadcast: ifXEntry + ".5",
	wideInOctets:       ifXEntry + ".6",
	wideInUcast:        ifXEntry + ".7",
	wideInMulticast:    ifXEntry + ".8",
	wideInBroadcast:    ifXEntry + ".9",
	wideOutOctets:      ifXEntry + ".10",
	wideOutUcast:       ifXEntry + ".11",
	wideOutMulticast:   ifXEntry + ".12",
	wideOutBroadcast:   ifXEntry + ".13",
	fieldHighSpeed:     ifXEntry + ".15",
	fieldAlias:         ifXEntry + ".18",
	fieldDiscontinuity: ifXEntry + ".19",
}

// The groups of columns that are read together. The octets of a port come in
// one PDU, with as many of its counters as the reply holds; the moment of that
// PDU is the sample time of its file.
var (
	// liveFields change while a port is the same: they are read at each poll.
	liveFields = []field{fieldAlias, fieldHighSpeed, fieldAdminStatus, fieldOperStatus, fieldLastChange, fieldDiscontinuity}
	// fixedFields hardly ever change: see Context.recall for when they are read.
	fixedFields = []field{fieldDescr, fieldType, fieldMTU, fieldPhysAddress}

	// counterFields begin with what matters most: the session may split a long
	// list into several requests, in its order. The name comes in the PDU of the octets: it
	// says whose they are, should the device number its ports anew just then.
	counterFields = []field{
		wideInOctets, wideOutOctets, fieldName, inErrors, outErrors, inDiscards, outDiscards, wideInUcast, wideOutUcast,
		wideInMulticast, wideOutMulticast, wideInBroadcast, wideOutBroadcast, inUnknownProtos,
	}
)

// families pair the wide counters with the narrow ones that stand in for them, in the same order.
var families = []family{
	{[]field{wideInOctets, wideOutOctets}, []field{narrowInOctets, narrowOutOctets}},
	{[]field{wideInUcast, wideOutUcast}, []field{narrowInUcast, narrowOutUcast}},
	// Who has neither width of multicasts and broadcasts counts them together (ifInNUcastPkts, deprecated).
	{
		[]field{wideInMulticast, wideInBroadcast, wideOutMulticast, wideOutBroadcast},
		[]field{
			narrowInMulticast, narrowInBroadcast, narrowOutMulticast, narrowOutBroadcast,
			narrowInNUcast, narrowOutNUcast,
		},
	},
	{[]field{fieldHighSpeed}, []field{fieldSpeed}}, // an agent without ifXTable
}

type family struct{ wide, narrow []field }

// standIns are the narrow fields to read of a device that lacks some fields.
func (f family) standIns(lacks uint64) (fields []field) {
	for i, wide := range f.wide {
		if lacks&(1<<wide) != 0 {
			fields = append(fields, f.narrow[i])
		}
	}
	if len(f.narrow) > len(f.wide) {
		if maskOf(f.wide[:2])&^lacks == 0 && maskOf(f.narrow[:2])&^lacks == 0 {
			fields = append(fields, narrowInNUcast)
		}
		if maskOf(f.wide[2:])&^lacks == 0 && maskOf(f.narrow[2:4])&^lacks == 0 {
			fields = append(fields, narrowOutNUcast)
		}
	}
	return fields
}

// misses says whether a row has neither a wide field nor what stands in for it,
// unless that is known not to be there.
func (f family) misses(r *row, walked uint64) bool {
	for i, wide := range f.wide {
		if !r.has(wide) && walked&(1<<f.narrow[i]) == 0 {
			return true
		}
	}
	return false
}

// counters are the fields that are counted at each poll of a device that lacks
// some fields: first the octets, the 32-bit ones where there are no others, then the name that says whose they are.
func counters(lacks uint64) []field {
	fields := make([]field, 0, len(counterFields)+6)
	for _, f := range families[:3] {
		fields = append(fields, f.standIns(lacks)...)
	}
	if lacks&(1<<fieldName) != 0 {
		fields = append(fields, fieldDescr) // the only name
	}
	octets := without([]field{narrowInOctets, narrowOutOctets}, ^maskOf(fields))
	return slices.Concat(octets, without(counterFields, lacks), without(fields, maskOf(octets)))
}
