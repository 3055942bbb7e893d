package store

import (
	"fmt"
	"reflect"
	"testing"

	"pollux/device"
)

var portBehaviours = []behaviour{
	{"ports come back as they were read", portRoundTrip},
	{"a port vanishes after two complete reads of two slots", portVanishes},
	{"changes of ports make events", portEvents},
	{"a flood of changes is bounded", portFlood},
	{"a port follows its name to another ifIndex", portMoves},
	{"a port that outgrows its file gets another", portGenerations},
	{"a port beside the IF-MIB is known by its row", portBeside},
}

func reading(ifIndex int64, name string) device.PortReading {
	return device.PortReading{State: device.PortState{
		IfIndex: ifIndex, IfName: name, IfDescr: "descr " + name, IfAlias: "alias", IfType: "ethernetCsmacd", IfMTU: 1500, IfSpeed: 1_000_000_000,
		IfAdminStatus: "up", IfOperStatus: "up", IfPhysAddress: fmt.Sprintf("02000000%04x", ifIndex&0xffff), IfLastChange: 12345,
	}}
}

func manyReadings(n int) []device.PortReading {
	var list []device.PortReading
	for i := range n {
		list = append(list, reading(int64(i+1), fmt.Sprintf("Gi0/%d", i+1)))
	}
	return list
}

func withPorts(p device.Poll, readings ...device.PortReading) device.Poll {
	p.Ports, p.PortsComplete = append([]device.PortReading{}, readings...), true
	return p
}

func portsOf(t testing.TB, e engine, d device.Device) []device.Port {
	t.Helper()
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func portRoundTrip(t *testing.T, e engine) {
	d := added(t, e)
	one := reading(7, "eth7")
	one.Generation, one.RRDMax = 2, 12_500_000_000
	twice := one
	twice.State.IfName = "a second row of the same ifIndex"
	save(t, e, withPorts(pollOf(d, 1), one, twice))
	ports := portsOf(t, e, d)
	if len(ports) != 1 || ports[0].ID == 0 {
		t.Fatalf("ports %+v", ports)
	}
	want := device.Port{ID: ports[0].ID, DeviceID: d.ID, State: one.State, Generation: 2, RRDMax: 12_500_000_000}
	if !reflect.DeepEqual(ports[0], want) {
		t.Errorf("got  %+v\nwant %+v", ports[0], want)
	}
	if last, err := e.LastPort(t.Context()); err != nil || last < ports[0].ID {
		t.Errorf("the last port is %d, %v, and there is %d", last, err, ports[0].ID)
	}
	if err := e.RemoveDevice(t.Context(), d.ID, false); err != nil {
		t.Fatal(err)
	}
	if left := portsOf(t, e, d); len(left) != 0 {
		t.Errorf("the removed device left %+v", left)
	}
}

func portBeside(t *testing.T, e engine) {
	d := added(t, e)
	in := func(row string, index int64, name string) device.PortReading {
		r := reading(index, name)
		r.State.Row = row
		return r
	}
	save(t, e, withPorts(pollOf(d, 1), reading(1, "ce"), in("vrtr:2.3", 3, "ce"), in("vrtr:5.3", 1<<32+7, "ce")))
	before := portsOf(t, e, d)
	save(t, e, withPorts(pollOf(d, 2), reading(1, "ce"), reading(3, "ce"), in("vrtr:2.3", 1<<32+9, "ce"), in("vrtr:5.3", 1<<32+7, "ce")))
	after := make(map[int64]string)
	for _, port := range portsOf(t, e, d) {
		after[port.ID] = fmt.Sprintf("%s %d", port.State.Row, port.State.IfIndex)
	}
	want := map[int64]string{before[0].ID: " 1", before[1].ID: fmt.Sprint("vrtr:2.3 ", int64(1<<32+9)), before[2].ID: fmt.Sprint("vrtr:5.3 ", int64(1<<32+7))}
	for id, state := range want {
		if after[id] != state || len(after) != 4 {
			t.Errorf("port %d is %q of %d, want %q of 4", id, after[id], len(after), state)
		}
	}
	// The rows alone change: the row of a routing instance that was numbered anew.
	save(t, e, withPorts(pollOf(d, 3), reading(1, "ce"), reading(3, "ce"), in("vrtr:2.3", 1<<32+9, "ce"), in("vrtr:5.3", 1<<32+7, "b")))
	save(t, e, withPorts(pollOf(d, 4), reading(1, "ce"), reading(3, "ce"), in("vrtr:2.3", 1<<32+9, "ce"), in("vrtr:8.4", 1<<32+7, "b")))
	for _, port := range portsOf(t, e, d) {
		if (port.ID == before[2].ID) != (port.State.Row == "vrtr:8.4") {
			t.Errorf("port %+v", port)
		}
	}
	events := messages(t, e, d.ID)
	if last := events[len(events)-1]; last != "interface notice row: vrtr:5.3 -> vrtr:8.4" {
		t.Errorf("the last event is %q", last)
	}
}

func portVanishes(t *testing.T, e engine) {
	d := added(t, e)
	a, b := reading(1, "a"), reading(2, "b")
	state := func() string {
		port := portsOf(t, e, d)[1]
		return fmt.Sprintf("missed %d, vanished %v", port.Missed, port.Vanished)
	}
	partial := func(n int) device.Poll {
		p := withPorts(pollOf(d, n), a)
		p.PortsComplete = false
		return p
	}
	again := withPorts(pollOf(d, 4), a) // a second poll of the slot
	again.Slot = pollOf(d, 3).Slot
	for _, step := range []struct {
		poll device.Poll
		want string
	}{
		{withPorts(pollOf(d, 1), a, b), "missed 0, vanished false"},
		{partial(2), "missed 0, vanished false"},
		{withPorts(pollOf(d, 3), a), "missed 1, vanished false"},
		{again, "missed 1, vanished false"},
		{partial(5), "missed 1, vanished false"},
		{withPorts(pollOf(d, 6), a, b), "missed 0, vanished false"},
		{withPorts(pollOf(d, 7), a), "missed 1, vanished false"},
		{withPorts(pollOf(d, 8), a), "missed 2, vanished true"},
		{withPorts(pollOf(d, 9), a), "missed 2, vanished true"},
		{withPorts(pollOf(d, 10), a, b), "missed 0, vanished false"},
	} {
		save(t, e, step.poll)
		if got := state(); got != step.want {
			t.Errorf("slot %d: %s, want %s", (step.poll.Slot-start.Unix())/300, got, step.want)
		}
	}
	same(t, "events", messages(t, e, d.ID)[2:], []string{
		"interface warning port vanished: b (ifIndex 2)",
		"interface notice port returned: b (ifIndex 2)",
	})
}

func portEvents(t *testing.T, e engine) {
	d := added(t, e)
	one := reading(1, "eth1")
	save(t, e, withPorts(pollOf(d, 1), one, reading(2, "eth2")))
	changed := one
	changed.State.IfOperStatus, changed.State.IfAlias, changed.State.IfSpeed, changed.State.IfLastChange = "down", "", 10_000_000_000, 99
	changed.State.IfMTU, changed.State.IfDescr, changed.State.IfType, changed.State.IfAdminStatus = 9000, "d", "gre", "down"
	changed.State.IfPhysAddress = "020000000099"
	save(t, e, withPorts(pollOf(d, 2), changed, reading(2, "eth2"), reading(3, "eth3")))
	one.State.IfLastChange = 100 // alone it is no event
	save(t, e, withPorts(pollOf(d, 3), changed, reading(2, "eth2"), reading(3, "eth3")))
	same(t, "events", messages(t, e, d.ID), []string{
		"up ok Device status changed from new to up (node node-a)",
		"interface info 2 ports found",
		"interface notice ifDescr: descr eth1 -> d",
		`interface warning ifAlias: alias -> ""`,
		"interface notice ifAdminStatus: up -> down",
		"interface notice ifOperStatus: up -> down",
		"interface notice ifMtu: 1500 -> 9000",
		"interface notice ifSpeed: 1000000000 -> 10000000000",
		"interface notice ifType: ethernetCsmacd -> gre",
		"interface notice ifPhysAddress: 020000000001 -> 020000000099",
		"interface notice port added: eth3 (ifIndex 3)",
	})
	ports := portsOf(t, e, d)
	for i, want := range []int{8, 0, 1} {
		events, err := e.Events(t.Context(), EventFilter{PortID: ports[i].ID})
		if err != nil || len(events) != want {
			t.Errorf("port %d has %d events, want %d, %v", i, len(events), want, err)
		}
	}
}

func portFlood(t *testing.T, e engine) {
	d := added(t, e)
	readings := manyReadings(1200)
	save(t, e, withPorts(pollOf(d, 1), readings...))
	if got := portsOf(t, e, d); len(got) != 1200 {
		t.Fatalf("%d ports", len(got))
	}
	for i := range readings {
		readings[i].State.IfOperStatus = "down"
	}
	save(t, e, withPorts(pollOf(d, 2), readings...))
	got := messages(t, e, d.ID)
	if len(got) != 2+maxPortEvents+1 || got[len(got)-1] != "interface notice 1100 further changes of ports" {
		t.Errorf("%d events, the last %q", len(got), got[len(got)-1])
	}
	for _, port := range portsOf(t, e, d) {
		if port.State.IfOperStatus != "down" {
			t.Fatalf("port %+v", port)
		}
	}
}

func portMoves(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 1), reading(1, "a"), reading(2, "b"), reading(3, "c")))
	before := map[string]int64{}
	for _, port := range portsOf(t, e, d) {
		before[port.State.IfName] = port.ID
	}
	save(t, e, withPorts(pollOf(d, 2), reading(2, "a"), reading(1, "b"), reading(13, "c"))) // two swap, one moves
	for _, port := range portsOf(t, e, d) {
		if before[port.State.IfName] != port.ID || port.Missed != 0 {
			t.Errorf("after the re-index %+v, ids were %v", port, before)
		}
	}
	same(t, "events", messages(t, e, d.ID)[2:], []string{
		"interface notice ifIndex: 1 -> 2", "interface notice ifPhysAddress: 020000000001 -> 020000000002",
		"interface notice ifIndex: 2 -> 1", "interface notice ifPhysAddress: 020000000002 -> 020000000001",
		"interface notice ifIndex: 3 -> 13", "interface notice ifPhysAddress: 020000000003 -> 02000000000d",
	})
}

func portGenerations(t *testing.T, e engine) {
	d := added(t, e)
	r := reading(1, "a")
	for n, step := range []struct {
		generation int
		limit      uint64
		want       string
	}{
		{0, 0, "0 0"}, {0, 100, "0 100"}, {0, 200, "0 100"}, {1, 300, "1 300"}, {0, 100, "1 300"},
	} {
		r.Generation, r.RRDMax = step.generation, step.limit
		save(t, e, withPorts(pollOf(d, n), r))
		port := portsOf(t, e, d)[0]
		if got := fmt.Sprint(port.Generation, " ", port.RRDMax); got != step.want {
			t.Errorf("poll %d: %s, want %s", n, got, step.want)
		}
	}
}
