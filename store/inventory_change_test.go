package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pollux/device"
)

func neighbourEvents(t *testing.T, e engine) {
	d := added(t, e)
	a, b := neighbourAt("eth0", "a"), neighbourAt("eth1", "")
	keep(t, e, inventoryOf(d, 1, device.Inventory{Neighbours: []device.Neighbour{a}}))
	keep(t, e, inventoryOf(d, 2, device.Inventory{Neighbours: []device.Neighbour{a, b}}))
	keep(t, e, inventoryOf(d, 3, device.Inventory{Neighbours: []device.Neighbour{b}}))
	keep(t, e, inventoryOf(d, 4, device.Inventory{Neighbours: []device.Neighbour{b}}))
	keep(t, e, inventoryOf(d, 5, device.Inventory{Neighbours: []device.Neighbour{a, b}}))
	same(t, "events", messages(t, e, d.ID), []string{
		"neighbour info 1 neighbours found",
		"neighbour notice neighbour 00:11:22:33:44:55 Gi0/1 at eth1 (lldp): added",
		"neighbour warning neighbour a Gi0/1 at eth0 (lldp): vanished",
		"neighbour notice neighbour a Gi0/1 at eth0 (lldp): returned",
	})
	var many []device.Neighbour
	for i := range 300 {
		many = append(many, neighbourAt(fmt.Sprintf("port %d", i), "flood"))
	}
	keep(t, e, inventoryOf(d, 6, device.Inventory{Neighbours: append(many, a, b)}))
	if all := messages(t, e, d.ID); len(all) != 4+maxComponentEvents+1 || all[len(all)-1] != "system notice 200 further changes of neighbours" {
		t.Errorf("%d events, the last: %s", len(all), all[len(all)-1])
	}
}

func entitiesReplaced(t *testing.T, e engine) {
	d := added(t, e)
	part := func(index int64, descr string) device.Entity { return device.Entity{Index: index, Descr: descr} }
	list := func(entities ...device.Entity) device.Inventory { return device.Inventory{Entities: entities} }
	keep(t, e, inventoryOf(d, 1, list(part(1, "a"), part(2, "b"), part(3, "c"), part(3, "twice"))))
	incomplete := list(part(1, "A"), part(9, "new"))
	incomplete.Whole = map[string]bool{device.ModuleEntities: false}
	keep(t, e, inventoryOf(d, 2, incomplete))
	shown := func() (all []string) {
		for _, p := range kept(t, e, d.ID).Entities {
			all = append(all, fmt.Sprintf("%d %s", p.Index, p.Descr))
		}
		return all
	}
	same(t, "after an incomplete one", shown(), []string{"1 A", "2 b", "3 c", "9 new"})
	once := inventoryOf(d, 3, list(part(3, "C"), part(4, "d")))
	keep(t, e, once)
	same(t, "after a complete one", shown(), []string{"1 A", "2 b", "3 C", "4 d", "9 new"})
	once.At = once.At.Add(time.Minute) // the same slot, by hand
	keep(t, e, once)
	same(t, "after another one of its slot", shown(), []string{"1 A", "2 b", "3 C", "4 d", "9 new"})
	keep(t, e, inventoryOf(d, 4, list(part(1, "A"), part(3, "C"), part(4, "d"))))
	same(t, "after two without them", shown(), []string{"1 A", "3 C", "4 d"})
	keep(t, e, inventoryOf(d, 5, list(part(3, "C"), part(4, "d"))))
	same(t, "after one without a part that came back", shown(), []string{"1 A", "3 C", "4 d"})
	keep(t, e, inventoryOf(d, 6, list(part(3, "C"), part(4, "d"))))
	same(t, "after two without it", shown(), []string{"3 C", "4 d"})
	var flood []device.Entity
	for i := range device.MaxInventory {
		flood = append(flood, part(int64(100+i), "flood"))
	}
	full := list(flood...)
	full.Whole = map[string]bool{device.ModuleEntities: false}
	keep(t, e, inventoryOf(d, 7, full))
	if n := len(kept(t, e, d.ID).Entities); n != device.MaxInventory {
		t.Errorf("%d rows, want at most %d", n, device.MaxInventory)
	}
}

// Discoveries by hand count as one, but must not fill the table.
func TestEntitiesOfOneSlotAreBounded(t *testing.T) {
	t.Parallel()
	var rows []entityRow
	for n := range 4 {
		d := device.Discovery{DeviceID: 1, Slot: 1, Inventory: device.Inventory{Whole: wholeInventory()}}
		for i := range device.MaxInventory {
			d.Entities = append(d.Entities, device.Entity{Index: int64(n*device.MaxInventory + i)})
		}
		m := mergeEntities(rows, d)
		byIndex := make(map[int64]entityRow)
		for _, row := range append(rows, m.written...) {
			byIndex[row.Index] = row
		}
		for _, index := range m.removed {
			delete(byIndex, index)
		}
		rows = slices.Collect(maps.Values(byIndex))
		if len(rows) > maxStaying || n > 0 && len(rows) != maxStaying {
			t.Errorf("%d rows after %d discoveries of one slot", len(rows), n+1)
		}
	}
}

func serialEvents(t *testing.T, e engine) {
	d := added(t, e)
	parts := func(serials ...string) device.Inventory {
		var all device.Inventory
		for i, serial := range serials {
			all.Entities = append(all.Entities, device.Entity{Index: int64(i + 1), Name: fmt.Sprintf("Slot %d", i+1), Serial: serial})
		}
		return all
	}
	keep(t, e, inventoryOf(d, 1, parts("A", "B", "C", "")))
	keep(t, e, inventoryOf(d, 2, parts("B", "A", "C", ""))) // numbered anew
	keep(t, e, inventoryOf(d, 3, parts("B", "A", "", "D"))) // one that says nothing, one that says it now
	keep(t, e, inventoryOf(d, 4, parts("B", "X", "", "D")))
	same(t, "events", messages(t, e, d.ID), []string{"entity notice serial number of Slot 2 (entity 2): A -> X"})
}

func portVLANs(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 1), reading(1, "eth0"), reading(2, "eth1"), reading(3, "eth2")))
	vlans := func() (all []int) {
		ports, err := e.Ports(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			all = append(all, p.VLAN)
		}
		return all
	}
	keep(t, e, inventoryOf(d, 1, device.Inventory{PortVLANs: map[int64]int{1: 10, 2: 20, 77: 5}}))
	if got := vlans(); !slices.Equal(got, []int{10, 20, 0}) {
		t.Errorf("VLANs %v", got)
	}
	save(t, e, withPorts(pollOf(d, 30000), reading(1, "renamed"), reading(2, "eth1"), reading(3, "eth2"))) // a poll leaves them
	incomplete := device.Inventory{PortVLANs: map[int64]int{1: 11}, Whole: map[string]bool{device.ModuleVLANs: false}}
	keep(t, e, inventoryOf(d, 2, incomplete))
	if got := vlans(); !slices.Equal(got, []int{11, 20, 0}) {
		t.Errorf("after an incomplete discovery %v", got)
	}
	keep(t, e, inventoryOf(d, 3, device.Inventory{PortVLANs: map[int64]int{3: 30}}))
	if got := vlans(); !slices.Equal(got, []int{0, 0, 30}) {
		t.Errorf("after a complete one %v", got)
	}
}

func modulesOff(t *testing.T, e engine) {
	d := described()
	d.DiscoveryOff = []string{"vlans", "neighbours"}
	d, err := e.AddDevice(t.Context(), d)
	if err != nil || !slices.Equal(d.DiscoveryOff, []string{"vlans", "neighbours"}) {
		t.Fatalf("%v, %v", d.DiscoveryOff, err)
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.DiscoveryOff = []string{"sensors"} }); !slices.Equal(got.DiscoveryOff, []string{"sensors"}) {
		t.Errorf("changed: %v", got.DiscoveryOff)
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.SelectedPorts = device.SelectAlways }); got.SelectedPorts != device.SelectAlways {
		t.Errorf("selected ports: %q", got.SelectedPorts)
	}
	if _, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error { d.SelectedPorts = "some"; return nil }); !errors.Is(err, ErrInvalid) {
		t.Errorf("selected ports that are none: %v", err)
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.DiscoveryOff = nil }); got.DiscoveryOff != nil {
		t.Errorf("none: %v", got.DiscoveryOff)
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.PollerOff = []string{"icmp", "ports"} }); !slices.Equal(got.PollerOff, []string{"icmp", "ports"}) || !slices.Equal(reread(t, e, d.ID).PollerOff, got.PollerOff) {
		t.Errorf("polls go without %v", got.PollerOff)
	}
	for _, wrong := range [][]string{{"core"}, {"icmp", "icmp"}, {"vlans"}, {""}} {
		_, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error { d.PollerOff = wrong; return nil })
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("polls without %q: %v", wrong, err)
		}
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.PollerOff = nil }); got.PollerOff != nil {
		t.Errorf("polls go without %v", got.PollerOff)
	}
	for _, wrong := range [][]string{{"core"}, {"vlans", "vlans"}, {"vlans,sensors"}, {""}} {
		_, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error { d.DiscoveryOff = wrong; return nil })
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func rediscover(t *testing.T, e engine) {
	d := added(t, e)
	keep(t, e, discoveryOf(d, 1))
	slot := func() int64 {
		list, err := e.Discoverable(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(x device.Discoverable) bool { return x.ID == d.ID })
		return list[i].Slot
	}
	p := pollOf(d, 100)
	p.Events = []device.Event{{Type: "reboot", Message: "Device rebooted"}}
	save(t, e, p)
	if got := slot(); got != discoveryOf(d, 1).Slot {
		t.Errorf("slot %d after a restart that is not to matter", got)
	}
	p = pollOf(d, 101)
	p.Rediscover = true
	save(t, e, p)
	if got := slot(); got != 0 {
		t.Errorf("slot %d after a restart", got)
	}
	late := pollOf(d, 99)
	keep(t, e, discoveryOf(d, 2))
	late.Rediscover = true
	save(t, e, late)
	if got := slot(); got != discoveryOf(d, 2).Slot {
		t.Errorf("slot %d after a poll that came too late", got)
	}
}
