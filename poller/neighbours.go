package poller

import (
	"context"
	"net/netip"

	"pollux/device"
	"pollux/snmp"
)

// lldpTable is one of the two MIBs of LLDP: that of 802.1AB-2005, and that of
// 2009, whose columns stand one further and whose index has the destination address too.
type lldpTable struct {
	chassisKind, chassis, portKind, port, portDescr, name, descr snmp.OID
	// addressText and addressIndex are columns of the management addresses: one holds the address, which agents
	// should not give, and one has it in its index.
	addressText, addressIndex snmp.OID
	arcs                      int // of an index
}

const (
	lldpRem    snmp.OID = "1.0.8802.1.1.2.1.4.1.1"
	lldpRemMan snmp.OID = "1.0.8802.1.1.2.1.4.2.1"

	lldpV2Rem    snmp.OID = "1.3.111.2.802.1.1.13.1.4.1.1"
	lldpV2RemMan snmp.OID = "1.3.111.2.802.1.1.13.1.4.2.1"
)

func lldp2005() lldpTable {
	return lldpTable{
		chassisKind: lldpRem + ".4", chassis: lldpRem + ".5", portKind: lldpRem + ".6", port: lldpRem + ".7", portDescr: lldpRem + ".8",
		name: lldpRem + ".9", descr: lldpRem + ".10", addressText: lldpRemMan + ".2", addressIndex: lldpRemMan + ".3", arcs: 3,
	}
}

func lldp2009() lldpTable {
	return lldpTable{
		chassisKind: lldpV2Rem + ".5", chassis: lldpV2Rem + ".6", portKind: lldpV2Rem + ".7", port: lldpV2Rem + ".8", portDescr: lldpV2Rem + ".9",
		name: lldpV2Rem + ".10", descr: lldpV2Rem + ".11", addressText: lldpV2RemMan + ".2", addressIndex: lldpV2RemMan + ".3", arcs: 4,
	}
}

func (t lldpTable) columns() []snmp.OID {
	return []snmp.OID{t.chassisKind, t.chassis, t.portKind, t.port, t.portDescr, t.name, t.descr}
}

// The columns of cdpCacheTable (CISCO-CDP-MIB); the index is ifIndex and a number.
const (
	cdpCacheAddress    snmp.OID = "1.3.6.1.4.1.9.9.23.1.2.1.1.4"
	cdpCacheVersion    snmp.OID = "1.3.6.1.4.1.9.9.23.1.2.1.1.5"
	cdpCacheDeviceID   snmp.OID = "1.3.6.1.4.1.9.9.23.1.2.1.1.6"
	cdpCacheDevicePort snmp.OID = "1.3.6.1.4.1.9.9.23.1.2.1.1.7"
	cdpCachePlatform   snmp.OID = "1.3.6.1.4.1.9.9.23.1.2.1.1.8"
)

// neighboursModule reads what a device hears of its neighbours by LLDP and CDP.
type neighboursModule struct{}

func (neighboursModule) Name() string { return device.ModuleNeighbours }

// Run reads what the tables name neighbours by, and the rest only of those that have rows.
func (m neighboursModule) Run(ctx context.Context, c *Context) error {
	n := &neighbourFinder{tables: c.finder.tables, ports: c.Target.Ports}
	table := lldp2005()
	cdp := []snmp.OID{cdpCacheAddress, cdpCacheVersion, cdpCacheDeviceID, cdpCacheDevicePort, cdpCachePlatform}
	n.walk(ctx, append(table.columns(), cdp...)...)
	if len(n.tables.columns[table.chassis]) == 0 {
		table = lldp2009()
		n.walk(ctx, table.chassis)
	}
	lldp := n.tables.sorted(table.chassis)
	if len(lldp) > 0 {
		n.walk(ctx, append(table.columns(), table.addressText, table.addressIndex)...)
	}
	if len(lldp) > 0 || len(n.tables.columns[cdpCacheDeviceID]) > 0 {
		n.nameLocals(ctx, table, lldp)
	}
	addresses := n.managementAddresses(table)
	for _, index := range lldp {
		n.addLLDP(table, index, addresses)
	}
	for _, index := range n.tables.sorted(cdpCacheDeviceID) {
		n.addCDP(index)
	}
	if len(n.list) > device.MaxInventory {
		n.list = n.list[:device.MaxInventory]
		n.failed = first(n.failed, tooMany("neighbours"))
	}
	c.finder.found.Neighbours = n.list
	return c.finder.wholeUnless(device.ModuleNeighbours, n.failed)
}

// neighbourFinder collects neighbours and the first error.
type neighbourFinder struct {
	tables *tableReader
	ports  []device.Port // of the inventory
	locals localPorts
	list   []device.Neighbour
	failed error
}

// walk reads columns, unless an error before was one after which asking is no use.
func (n *neighbourFinder) walk(ctx context.Context, columns ...snmp.OID) {
	if n.failed == nil || !hopeless(ctx, n.failed) {
		n.failed = first(n.failed, n.tables.walk(ctx, columns))
	}
}

// addLLDP adds a row of the LLDP table. Some agents keep rows of ports without a neighbour.
func (n *neighbourFinder) addLLDP(t lldpTable, index string, addresses map[string]netip.Addr) {
	arcs := arcsOf(index)
	if len(arcs) != t.arcs {
		return
	}
	value := func(column snmp.OID) snmp.Value { return n.tables.columns[column][index] }
	chassisKind, _ := value(t.chassisKind).Uint()
	portKind, _ := value(t.portKind).Uint()
	found := device.Neighbour{
		Protocol: device.ProtocolLLDP, RemoteID: identity(value(t.chassis), chassisKind == chassisMAC, chassisKind == chassisAddress),
		RemoteName: wording(value(t.name)), RemotePort: identity(value(t.port), portKind == portMAC, portKind == portAddress),
		RemotePortDescr: wording(value(t.portDescr)), RemoteDescr: wording(value(t.descr)), RemoteAddress: addresses[index],
	}
	if found.RemoteID == "" && found.RemoteName == "" && found.RemotePort == "" {
		return
	}
	found.IfIndex, found.LocalPort = n.locals.lldp(t, arcs[1])
	n.list = append(n.list, found)
}

// addCDP adds a row of the CDP table.
func (n *neighbourFinder) addCDP(index string) {
	arcs := arcsOf(index)
	if len(arcs) != 2 {
		return
	}
	value := func(column snmp.OID) snmp.Value { return n.tables.columns[column][index] }
	found := device.Neighbour{
		Protocol: device.ProtocolCDP, RemoteID: identity(value(cdpCacheDeviceID), false, false),
		RemotePort: wording(value(cdpCacheDevicePort)), RemotePlatform: wording(value(cdpCachePlatform)), RemoteDescr: wording(value(cdpCacheVersion)),
	}
	if found.RemoteID == "" && found.RemotePort == "" {
		return
	}
	found.RemoteName = found.RemoteID // CDP names a device by its hostname
	if address := addressOf(value(cdpCacheAddress)); told(address) {
		found.RemoteAddress = address
	}
	found.IfIndex, found.LocalPort = n.locals.byIfIndex(arcs[0])
	n.list = append(n.list, found)
}

// managementAddresses are the neighbours' addresses by the indexes of their
// rows: the first of IPv4, else the first other.
func (n *neighbourFinder) managementAddresses(t lldpTable) map[string]netip.Addr {
	addresses := make(map[string]netip.Addr)
	take := func(row string, a netip.Addr) {
		known, has := addresses[row]
		if told(a) && (!has || a.Is4() && !known.Is4() || known.IsLinkLocalUnicast() && !a.IsLinkLocalUnicast() && a.Is4() == known.Is4()) {
			addresses[row] = a
		}
	}
	for _, index := range n.tables.sorted(t.addressIndex) {
		row, rest, ok := splitIndex(index, t.arcs)
		if arcs := arcsOf(rest); ok && len(arcs) > 1 {
			if a, ok := inetAddress(arcs[0], arcs[1:]); ok && arcs[0] <= inetV6 {
				take(row, a)
			}
		}
	}
	for _, index := range n.tables.sorted(t.addressText) {
		row, _, _ := splitIndex(index, t.arcs) // MikroTik leaves the address out of the index
		take(row, addressOf(n.tables.columns[t.addressText][index]))
	}
	return addresses
}
