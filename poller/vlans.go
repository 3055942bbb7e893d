package poller

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"pollux/device"
	"pollux/snmp"
)

// The columns of VLANs: Q-BRIDGE-MIB (RFC 4363), CISCO-VTP-MIB and CISCO-VLAN-MEMBERSHIP-MIB.
const (
	dot1qVlanFdbID           snmp.OID = "1.3.6.1.2.1.17.7.1.4.2.1.3" // by a time and the VLAN, as the next
	dot1qVlanStatus          snmp.OID = "1.3.6.1.2.1.17.7.1.4.2.1.6"
	dot1qVlanStaticName      snmp.OID = "1.3.6.1.2.1.17.7.1.4.3.1.1"
	dot1qVlanStaticRowStatus snmp.OID = "1.3.6.1.2.1.17.7.1.4.3.1.5"
	dot1qPvid                snmp.OID = "1.3.6.1.2.1.17.7.1.4.5.1.1" // by the port of the bridge

	vtpVlanState snmp.OID = "1.3.6.1.4.1.9.9.46.1.3.1.1.2" // by a domain and the VLAN
	vtpVlanType  snmp.OID = "1.3.6.1.4.1.9.9.46.1.3.1.1.3"
	vtpVlanName  snmp.OID = "1.3.6.1.4.1.9.9.46.1.3.1.1.4"
	vmVlan       snmp.OID = "1.3.6.1.4.1.9.9.68.1.2.2.1.2" // by ifIndex
)

// maxVLAN is the last number of a VLAN (IEEE 802.1Q); Q-BRIDGE-MIB has higher ones for its own use.
const maxVLAN = 4094

// vlansModule reads the VLANs of a switch, and which one its ports are in.
type vlansModule struct{}

func (vlansModule) Name() string { return device.ModuleVLANs }

func (m vlansModule) Run(ctx context.Context, c *Context) error {
	f := c.finder
	err := f.tables.walk(ctx, []snmp.OID{
		dot1qVlanStaticName, dot1qVlanStaticRowStatus, dot1qVlanFdbID, dot1qVlanStatus, dot1qPvid, vtpVlanState, vtpVlanType, vtpVlanName, vmVlan,
	})
	if len(f.tables.columns[dot1qPvid]) > 0 && (err == nil || !hopeless(ctx, err)) {
		err = first(err, f.tables.walk(ctx, []snmp.OID{dot1dBasePortIfIndex}))
	}
	v := vlanFinder{tables: f.tables, byNumber: make(map[int]*device.VLAN)}
	v.static()
	v.current()
	v.vtp()
	for _, number := range slices.Sorted(maps.Keys(v.byNumber)) {
		f.found.VLANs = append(f.found.VLANs, *v.byNumber[number])
	}
	f.found.PortVLANs = v.ports()
	return f.wholeUnless(device.ModuleVLANs, err)
}

// vlanFinder brings together what several tables say of a VLAN; the first that says something counts.
type vlanFinder struct {
	tables   *tableReader
	byNumber map[int]*device.VLAN
}

// add takes over a VLAN, or what a further table says of it.
func (v *vlanFinder) add(number uint64, name, state string) {
	if number == 0 || number > maxVLAN {
		return
	}
	found := v.byNumber[int(number)]
	if found == nil {
		found = &device.VLAN{VLAN: int(number)}
		v.byNumber[int(number)] = found
	}
	found.Name, found.State = cmp.Or(found.Name, name), cmp.Or(found.State, state)
}

// static reads what was configured.
func (v *vlanFinder) static() {
	for _, column := range []snmp.OID{dot1qVlanStaticName, dot1qVlanStaticRowStatus} {
		for _, index := range v.tables.sorted(column) {
			number, err := strconv.ParseUint(index, 10, 32)
			if err != nil {
				continue
			}
			status, _ := v.tables.columns[dot1qVlanStaticRowStatus][index].Uint()
			v.add(number, wording(v.tables.columns[dot1qVlanStaticName][index]), stateOf(status, "active", "suspended", "notReady"))
		}
	}
}

// current reads what is in use, learned VLANs too.
func (v *vlanFinder) current() {
	for _, column := range []snmp.OID{dot1qVlanStatus, dot1qVlanFdbID} {
		for _, index := range v.tables.sorted(column) {
			arcs := arcsOf(index)
			if len(arcs) != 2 {
				continue
			}
			status, _ := v.tables.columns[dot1qVlanStatus][index].Uint()
			v.add(uint64(arcs[1]), "", cmp.Or(stateOf(status, "active", "active", "dynamic"), "active"))
		}
	}
}

// vtp reads Cisco's table, in which FDDI and Token Ring have VLANs too.
func (v *vlanFinder) vtp() {
	for _, column := range []snmp.OID{vtpVlanName, vtpVlanState} {
		for _, index := range v.tables.sorted(column) {
			arcs := arcsOf(index)
			if len(arcs) != 2 {
				continue
			}
			if kind, known := v.tables.columns[vtpVlanType][index].Uint(); known && kind != vtpEthernet {
				continue
			}
			state, _ := v.tables.columns[vtpVlanState][index].Uint()
			v.add(uint64(arcs[1]), wording(v.tables.columns[vtpVlanName][index]),
				stateOf(state, "active", "suspended", "mtuTooBigForDevice", "mtuTooBigForTrunk"))
		}
	}
}

const vtpEthernet = 1

// stateOf is the word of a number that counts from 1, "" for one that has none.
func stateOf(n uint64, words ...string) string {
	if n == 0 || n > uint64(len(words)) {
		return ""
	}
	return words[n-1]
}

// ports are the VLANs of ports by ifIndex. A port of the bridge that has no
// ifIndex is left out: its number may be that of another port.
func (v *vlanFinder) ports() map[int64]int {
	ports := make(map[int64]int)
	put := func(ifIndex int64, vlan snmp.Value) {
		if number, ok := vlan.Uint(); ok && number > 0 && number <= maxVLAN && ifIndex > 0 {
			ports[ifIndex] = int(number)
		}
	}
	for _, index := range v.tables.sorted(dot1qPvid) {
		put(ifIndexOf(v.tables.columns[dot1dBasePortIfIndex][index]), v.tables.columns[dot1qPvid][index])
	}
	for _, index := range v.tables.sorted(vmVlan) {
		if n, err := strconv.ParseUint(index, 10, 31); err == nil {
			put(int64(n), v.tables.columns[vmVlan][index])
		}
	}
	return ports
}
