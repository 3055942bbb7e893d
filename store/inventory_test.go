package store

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

var inventoryBehaviours = []behaviour{
	{"an inventory comes back as it was found", inventoryRoundTrip},
	{"rows vanish after two complete discoveries of two slots", rowsVanish},
	{"a module that did not run takes nothing away", modulesThatDidNotRun},
	{"link-local addresses belong to their interface", linkLocalAddresses},
	{"neighbours that come and go make events", neighbourEvents},
	{"a part goes after two complete discoveries of two slots", entitiesReplaced},
	{"a part with another serial number makes an event", serialEvents},
	{"ports get the VLAN that they are in", portVLANs},
	{"what vanished makes room", vanishedMakesRoom},
	{"hostile texts of an inventory are stored", hostileInventory},
	{"a device goes without modules of discoveries", modulesOff},
	{"a device that restarted is discovered again when that is set", rediscover},
}

func wholeInventory() map[string]bool {
	return map[string]bool{device.ModuleAddresses: true, device.ModuleEntities: true, device.ModuleNeighbours: true, device.ModuleVLANs: true}
}

// inventoryOf is a complete discovery of the device's n-th slot with an inventory.
func inventoryOf(d device.Device, n int, found device.Inventory) device.Discovery {
	discovery := discoveryOf(d, n)
	discovery.Inventory = found
	if found.Whole == nil {
		discovery.Whole = wholeInventory()
	}
	return discovery
}

func keep(t testing.TB, e engine, d device.Discovery) {
	t.Helper()
	if err := e.SaveDiscovery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// kept reads all of a device's inventory but the VLANs of its ports.
func kept(t testing.TB, e engine, id int64) device.Inventory {
	t.Helper()
	var all device.Inventory
	errs := make([]error, 4)
	all.Addresses, errs[0] = e.Addresses(t.Context(), id)
	all.Entities, errs[1] = e.Entities(t.Context(), id)
	all.Neighbours, errs[2] = e.Neighbours(t.Context(), id)
	all.VLANs, errs[3] = e.VLANs(t.Context(), id)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return all
}

func addressAt(address string, ifIndex int64, prefix int) device.Address {
	return device.Address{Address: netip.MustParseAddr(address), IfIndex: ifIndex, Prefix: prefix}
}

func neighbourAt(port, remote string) device.Neighbour {
	return device.Neighbour{
		Protocol: device.ProtocolLLDP, LocalPort: port, RemoteID: "00:11:22:33:44:55", RemoteName: remote, RemotePort: "Gi0/1",
		RemoteDescr: "Switch OS", RemoteAddress: netip.MustParseAddr("192.0.2.7"),
	}
}

func sampleInventory() device.Inventory {
	n := neighbourAt("eth1", "sw2")
	n.IfIndex, n.RemotePortDescr, n.RemotePlatform = 2, "uplink", "WS-C2960X"
	return device.Inventory{
		Addresses:  []device.Address{addressAt("192.0.2.1", 1, 24), addressAt("2001:db8::1", 9, 64)},
		Entities:   []device.Entity{{Index: 1, Class: "chassis", Descr: "Chassis", Name: "C1", Hardware: "V1", Firmware: "F1", Software: "S1", Serial: "A1", Model: "M1", Vendor: "Test", FRU: true}, {Index: 7, Parent: 1, Class: "fan"}},
		Neighbours: []device.Neighbour{n},
		VLANs:      []device.VLAN{{VLAN: 1, Name: "default", State: "active"}, {VLAN: 4094, Name: "last", State: "suspended"}},
	}
}

func inventoryRoundTrip(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 1), reading(1, "eth0"), reading(2, "eth1")))
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	discovery := inventoryOf(d, 1, sampleInventory())
	keep(t, e, discovery)
	got, want := kept(t, e, d.ID), sampleInventory()
	stay := device.Stay{Found: discovery.At}
	for i := range want.Addresses {
		want.Addresses[i].ID, want.Addresses[i].DeviceID, want.Addresses[i].Stay = got.Addresses[i].ID, d.ID, stay
	}
	want.Addresses[0].PortID = ports[0].ID
	want.Neighbours[0].ID, want.Neighbours[0].DeviceID, want.Neighbours[0].PortID, want.Neighbours[0].Stay = got.Neighbours[0].ID, d.ID, ports[1].ID, stay
	for i := range want.VLANs {
		want.VLANs[i].ID, want.VLANs[i].DeviceID, want.VLANs[i].Stay = got.VLANs[i].ID, d.ID, stay
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	keep(t, e, inventoryOf(d, 2, sampleInventory()))
	if again := kept(t, e, d.ID); !reflect.DeepEqual(again, got) {
		t.Errorf("the same again changes it: %+v", again)
	}
	changed := sampleInventory()
	changed.Addresses[0].Prefix, changed.Addresses[1].IfIndex, changed.VLANs[0].Name, changed.Neighbours[0].RemoteName = 25, 1, "users", "sw3"
	keep(t, e, inventoryOf(d, 3, changed))
	got = kept(t, e, d.ID)
	if a := got.Addresses; len(a) != 2 || a[0].Prefix != 25 || a[1].PortID != ports[0].ID || got.VLANs[0].Name != "users" || got.Neighbours[0].RemoteName != "sw3" {
		t.Errorf("changed: %+v", got)
	}
	if err := e.RemoveDevice(t.Context(), d.ID, false); err != nil {
		t.Fatal(err)
	}
	if left := kept(t, e, d.ID); len(left.Addresses)+len(left.Entities)+len(left.Neighbours)+len(left.VLANs) != 0 {
		t.Errorf("a removed device leaves %+v", left)
	}
}

// stays says of the second row of each table how it stands.
func stays(all device.Inventory) string {
	return fmt.Sprintf("%d %v, %d %v, %d %v", all.Addresses[1].Missed, all.Addresses[1].Vanished,
		all.Neighbours[1].Missed, all.Neighbours[1].Vanished, all.VLANs[1].Missed, all.VLANs[1].Vanished)
}

func rowsVanish(t *testing.T, e engine) {
	d := added(t, e)
	both := func() device.Inventory {
		return device.Inventory{
			Addresses:  []device.Address{addressAt("192.0.2.1", 1, 24), addressAt("192.0.2.2", 1, 24)},
			Neighbours: []device.Neighbour{neighbourAt("eth0", "a"), neighbourAt("eth1", "b")},
			VLANs:      []device.VLAN{{VLAN: 1}, {VLAN: 2}},
		}
	}
	one := both()
	one.Addresses, one.Neighbours, one.VLANs = one.Addresses[:1], one.Neighbours[:1], one.VLANs[:1]
	keep(t, e, inventoryOf(d, 1, both()))
	once := inventoryOf(d, 2, one)
	again := once
	again.At = again.At.Add(time.Minute) // the same slot, by hand
	incomplete := inventoryOf(d, 3, one)
	incomplete.Whole = map[string]bool{device.ModuleAddresses: false, device.ModuleNeighbours: false, device.ModuleVLANs: false}
	returned := inventoryOf(d, 6, both())
	for i, step := range []struct {
		discovery device.Discovery
		want      string
	}{
		{once, "1 false, 1 false, 1 false"},
		{again, "1 false, 1 false, 1 false"},
		{incomplete, "1 false, 1 false, 1 false"},
		{inventoryOf(d, 4, one), "2 true, 2 true, 2 true"},
		{inventoryOf(d, 5, one), "2 true, 2 true, 2 true"},
		{returned, "0 false, 0 false, 0 false"},
	} {
		keep(t, e, step.discovery)
		if got := stays(kept(t, e, d.ID)); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if all := kept(t, e, d.ID); !all.VLANs[1].Found.Equal(returned.At) || !all.VLANs[0].Found.Equal(discoveryOf(d, 1).At) {
		t.Errorf("found at %v and %v", all.VLANs[0].Found, all.VLANs[1].Found)
	}
}

func modulesThatDidNotRun(t *testing.T, e engine) {
	d := added(t, e)
	keep(t, e, inventoryOf(d, 1, sampleInventory()))
	before := kept(t, e, d.ID)
	for n := range 3 {
		keep(t, e, inventoryOf(d, 2+n, device.Inventory{Whole: map[string]bool{}}))
	}
	// What an incomplete one did not read stays as it was.
	partly := sampleInventory()
	partly.Whole = map[string]bool{device.ModuleEntities: false, device.ModuleNeighbours: false}
	partly.Entities = []device.Entity{{Index: 1, Class: "chassis", Software: "S2"}}
	partly.Neighbours[0].RemoteName, partly.Neighbours[0].RemoteAddress = "", netip.Addr{}
	keep(t, e, inventoryOf(d, 6, partly))
	want := before
	want.Entities = slices.Clone(before.Entities)
	want.Entities[0].Software = "S2"
	if got := kept(t, e, d.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func linkLocalAddresses(t *testing.T, e engine) {
	d := added(t, e)
	keep(t, e, inventoryOf(d, 1, device.Inventory{Addresses: []device.Address{addressAt("fe80::1", 1, 64), addressAt("fe80::1", 2, 64), addressAt("fe80::1", 2, 10), addressAt("10.0.0.1", 3, 8)}}))
	keep(t, e, inventoryOf(d, 2, device.Inventory{Addresses: []device.Address{addressAt("fe80::1", 1, 64), addressAt("fe80::1", 3, 64), addressAt("10.0.0.1", 4, 8)}}))
	var told []string
	for _, a := range kept(t, e, d.ID).Addresses {
		told = append(told, fmt.Sprintf("%s on %d missed %d", a.Address, a.IfIndex, a.Missed))
	}
	same(t, "addresses", told, []string{"fe80::1 on 1 missed 0", "fe80::1 on 2 missed 1", "10.0.0.1 on 4 missed 0", "fe80::1 on 3 missed 0"})
}

func vanishedMakesRoom(t *testing.T, e engine) {
	d := added(t, e)
	flood := func(from int) device.Inventory {
		var all device.Inventory
		for i := range device.MaxInventory {
			n := from*device.MaxInventory + i
			all.Addresses = append(all.Addresses, addressAt(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), 1, 24))
		}
		return all
	}
	for n := range 5 {
		keep(t, e, inventoryOf(d, 2*n, flood(n)))
		keep(t, e, inventoryOf(d, 2*n+1, flood(n)))
	}
	present := 0
	all := kept(t, e, d.ID).Addresses
	for _, a := range all {
		if !a.Vanished && a.Missed == 0 {
			present++
		}
	}
	if len(all) > maxStaying || present != device.MaxInventory {
		t.Errorf("%d rows, %d of them present", len(all), present)
	}
}

func hostileInventory(t *testing.T, e engine) {
	d := added(t, e)
	bad := strings.Repeat("\x00\xff'\"\\;\n😀", 200)
	found := device.Inventory{
		Addresses: []device.Address{{}, {Address: netip.MustParseAddr("fe80::1%eth0"), Prefix: -7, IfIndex: -1}},
		Entities:  []device.Entity{{Index: 1, Class: bad, Descr: bad, Name: bad, Hardware: bad, Firmware: bad, Software: bad, Serial: bad, Model: bad, Vendor: bad}},
		Neighbours: []device.Neighbour{
			{Protocol: device.Protocol(bad), LocalPort: bad, RemoteID: bad, RemoteName: bad, RemotePort: bad, RemotePortDescr: bad, RemotePlatform: bad, RemoteDescr: bad},
		},
		VLANs:     []device.VLAN{{VLAN: 1, Name: bad, State: bad}},
		PortVLANs: map[int64]int{-1: -1},
	}
	keep(t, e, inventoryOf(d, 1, found))
	keep(t, e, inventoryOf(d, 2, found))
	all := kept(t, e, d.ID)
	if len(all.Addresses) != 1 || len(all.Entities) != 1 || len(all.Neighbours) != 1 || len(all.VLANs) != 1 {
		t.Fatalf("kept %+v", all)
	}
	for _, text := range []string{all.Entities[0].Serial, all.Neighbours[0].RemoteDescr, all.VLANs[0].Name} {
		if text == "" || text != line(bad, maxName) {
			t.Errorf("a text came back as %.40q", text)
		}
	}
}
