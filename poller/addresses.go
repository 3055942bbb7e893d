package poller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"pollux/device"
	"pollux/snmp"
)

// The columns of addresses: ipAddressTable (RFC 4293), which has both families,
// and the two tables that agents had before, or have still.
const (
	ipAddressIfIndex snmp.OID = "1.3.6.1.2.1.4.34.1.3"
	ipAddressType    snmp.OID = "1.3.6.1.2.1.4.34.1.4"
	ipAddressPrefix  snmp.OID = "1.3.6.1.2.1.4.34.1.5"

	ipAdEntIfIndex snmp.OID = "1.3.6.1.2.1.4.20.1.2" // RFC 1213
	ipAdEntNetMask snmp.OID = "1.3.6.1.2.1.4.20.1.3"

	ipv6AddrPfxLength snmp.OID = "1.3.6.1.2.1.55.1.8.1.2" // RFC 2465
	ipv6AddrType      snmp.OID = "1.3.6.1.2.1.55.1.8.1.3"

	// ipAddressPrefixOrigin is what a value of ipAddressPrefix points at: ifIndex, type, prefix, and the length last.
	ipAddressPrefixOrigin = "1.3.6.1.2.1.4.32.1.5."
)

// addressBroadcast is the ipAddressType of an address that is nobody's own.
const addressBroadcast = 3

// addressesModule reads the IP addresses of a device.
type addressesModule struct{}

func (addressesModule) Name() string { return device.ModuleAddresses }

func (m addressesModule) Run(ctx context.Context, c *Context) error {
	f := c.finder
	err := f.tables.walk(ctx, []snmp.OID{ipAddressIfIndex, ipAddressType, ipAddressPrefix, ipAdEntIfIndex, ipAdEntNetMask})
	a := addressFinder{tables: f.tables, byKey: make(map[addressKey]int)}
	a.modern()
	if !slices.ContainsFunc(a.list, func(x device.Address) bool { return !x.Address.Is4() }) && (err == nil || !hopeless(ctx, err)) {
		err = first(err, f.tables.walk(ctx, []snmp.OID{ipv6AddrPfxLength, ipv6AddrType}))
		a.formerV6()
	}
	a.formerV4()
	if len(a.list) > device.MaxInventory {
		a.list = a.list[:device.MaxInventory]
		err = first(err, tooMany("addresses"))
	}
	f.found.Addresses = a.list
	return f.wholeUnless(device.ModuleAddresses, err)
}

// wholeUnless notes that a module has read all of its tables, unless there was an error, and returns that.
func (f *finder) wholeUnless(name string, err error) error {
	f.found.Whole[name] = err == nil
	return err
}

func tooMany(what string) error {
	return fmt.Errorf("%w: more than %d %s", snmp.ErrTooLarge, device.MaxInventory, what)
}

// addressKey tells addresses apart: those that are valid on one link by their interface too.
type addressKey struct {
	address netip.Addr
	ifIndex int64
}

type addressFinder struct {
	tables *tableReader
	list   []device.Address
	byKey  map[addressKey]int
}

// add takes over an address, or what an older table says beyond the newer one.
func (a *addressFinder) add(address netip.Addr, ifIndex int64, prefix int) {
	if !told(address) {
		return
	}
	key := addressKey{address: address}
	if address.IsLinkLocalUnicast() {
		key.ifIndex = ifIndex
	}
	if prefix < 0 || prefix > address.BitLen() {
		prefix = 0
	}
	if i, known := a.byKey[key]; known {
		known := &a.list[i]
		known.IfIndex, known.Prefix = cmp.Or(known.IfIndex, ifIndex), cmp.Or(known.Prefix, prefix)
		return
	}
	a.byKey[key] = len(a.list)
	a.list = append(a.list, device.Address{Address: address, IfIndex: ifIndex, Prefix: prefix})
}

// modern reads ipAddressTable, which lists the broadcast addresses of networks too.
func (a *addressFinder) modern() {
	for _, index := range a.tables.sorted(ipAddressIfIndex) {
		arcs := arcsOf(index)
		if len(arcs) < 2 {
			continue
		}
		address, ok := inetAddress(arcs[0], arcs[1:])
		if kind, _ := a.tables.columns[ipAddressType][index].Uint(); !ok || kind == addressBroadcast {
			continue
		}
		a.add(address, ifIndexOf(a.tables.columns[ipAddressIfIndex][index]), pointedPrefix(a.tables.columns[ipAddressPrefix][index]))
	}
}

// formerV4 reads ipAddrTable, whose index is the address.
func (a *addressFinder) formerV4() {
	for _, index := range a.tables.sorted(ipAdEntIfIndex) {
		address, err := netip.ParseAddr(index)
		if err == nil && address.Is4() {
			a.add(address, ifIndexOf(a.tables.columns[ipAdEntIfIndex][index]), prefixOfMask(a.tables.columns[ipAdEntNetMask][index]))
		}
	}
}

// formerV6 reads ipv6AddrTable, whose index is ifIndex and address, some with its length.
func (a *addressFinder) formerV6() {
	for _, index := range a.tables.sorted(ipv6AddrPfxLength) {
		arcs := arcsOf(index)
		if len(arcs) < 2 || arcs[0] > math.MaxInt32 {
			continue
		}
		if address, ok := inetAddress(inetV6, arcs[1:]); ok {
			length, _ := a.tables.columns[ipv6AddrPfxLength][index].Uint()
			a.add(address, int64(arcs[0]), int(min(length, math.MaxInt32)))
		}
	}
}

// ifIndexOf is a value as ifIndex, 0 for one that cannot be.
func ifIndexOf(v snmp.Value) int64 {
	n, ok := v.Uint()
	if !ok || n > math.MaxInt32 {
		return 0
	}
	return int64(n)
}

// pointedPrefix is the length of the prefix that a row points at, 0 for none.
func pointedPrefix(v snmp.Value) int {
	row, _ := v.OID()
	arcs := arcsOf(strings.TrimPrefix(string(row), ipAddressPrefixOrigin))
	if !strings.HasPrefix(string(row), ipAddressPrefixOrigin) || len(arcs) == 0 {
		return 0
	}
	return int(min(arcs[len(arcs)-1], math.MaxInt32))
}

// sorted are the indexes of a column that was read, in the order of the agent's tree.
func (t *tableReader) sorted(column snmp.OID) []string {
	return slices.SortedFunc(maps.Keys(t.columns[column]), snmp.CompareIndexes)
}
