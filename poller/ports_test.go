package poller

import (
	"fmt"
	"strings"
	"testing"

	"pollux/device"
	"pollux/measurement"
	"pollux/snmp"
)

// knownAs makes an inventory of the ports that a report found.
func knownAs(r Report) []device.Port {
	var ports []device.Port
	for i, p := range r.Poll.Ports {
		ports = append(ports, device.Port{ID: int64(100 + i), State: p.State})
	}
	return ports
}

// valuesOf writes the values of a port's measurement down; "-" is unknown, and n stands before 32 bits instead of 64.
func valuesOf(m measurement.Measurement) string {
	var text []string
	for _, v := range m.Values {
		switch n, ok := v.AsCounter(); {
		case !ok:
			text = append(text, "-")
		case n >= narrowBase && n < narrowBase+1<<32:
			text = append(text, fmt.Sprint("n", n-narrowBase))
		default:
			text = append(text, fmt.Sprint(n))
		}
	}
	return strings.Join(text, " ")
}

func portMeasurements(r Report) map[int64]measurement.Measurement {
	found := map[int64]measurement.Measurement{}
	for _, m := range fromSNMP(r) {
		if m.Kind == measurement.KindPort {
			found[m.Instance] = m
		}
	}
	return found
}

// narrow is a row of a device without ifXTable.
func narrow(descr string) map[string]string {
	return map[string]string{
		"2": "4|" + descr, "3": "2|6", "4": "2|1500", "5": "66|10000000", "6": "4x|0200000000FF", "7": "2|1", "8": "2|1",
		"9": "67|100", "10": "65|10", "11": "65|11", "12": "65|12", "13": "65|13", "14": "65|14", "15": "65|15",
		"16": "65|16", "17": "65|17", "18": "65|18", "19": "65|19", "20": "65|20",
	}
}

// The 15 values in the order of the RRD file, whatever width a device counts in.
func TestCountersOfAllWidths(t *testing.T) {
	t.Parallel()
	wide := ethernet("a")
	for _, c := range []struct {
		name    string
		version snmp.Version
		cells   []map[string]string
		want    string // of the first port
	}{
		{"64 bits", snmp.V2c, []map[string]string{wide},
			"5000000006 5000000010 14 20 7 11 - - 13 19 15 9 13 8 12"},
		{"32 bits", snmp.V2c, []map[string]string{narrow("a")}, "n10 n16 14 20 n11 n17 12 18 13 19 15 - - - -"},
		{"32 bits over v1", snmp.V1, []map[string]string{narrow("a")}, "n10 n16 14 20 n11 n17 12 18 13 19 15 - - - -"},
		{"32-bit multicasts and broadcasts", snmp.V2c,
			[]map[string]string{with(narrow("a"), "x1", "4|a", "x2", "65|2", "x3", "65|3", "x4", "65|4", "x5", "65|5")},
			"n10 n16 14 20 n11 n17 - - 13 19 15 n3 n5 n2 n4"},
		{"64-bit octets alone", snmp.V2c,
			[]map[string]string{with(narrow("a"), "x1", "4|a", "x6", "70|5000000006", "x10", "70|5000000010", "x15", "66|10")},
			"5000000006 5000000010 14 20 n11 n17 12 18 13 19 15 - - - -"},
		{"one port of two lacks 64 bits", snmp.V2c,
			[]map[string]string{with(narrow("a"), "x1", "4|a", "x15", "66|10"), with(wide, "2", "4|b", "x1", "4|b", "10", "65|99")},
			"n10 n16 14 20 n11 n17 12 18 13 19 15 - - - -"},
		{"64 bits that only pretend", snmp.V2c,
			[]map[string]string{with(narrow("a"), "x1", "4|a", "x6", "70|0", "x10", "70|0", "x15", "66|10")},
			"n10 n16 14 20 n11 n17 12 18 13 19 15 - - - -"},
		{"an idle port beside a busy one", snmp.V2c,
			[]map[string]string{with(wide, "x6", "70|0", "x10", "70|0", "10", "65|99"), with(wide, "2", "4|b", "x1", "4|b")},
			"0 0 14 20 7 11 - - 13 19 15 9 13 8 12"},
		{"a port that is down and never counted", snmp.V2c,
			[]map[string]string{with(wide, "8", "2|2", "x6", "70|0", "x10", "70|0", "10", "65|99")},
			"0 0 14 20 7 11 - - 13 19 15 9 13 8 12"},
		{"wrong types", snmp.V2c,
			[]map[string]string{with(wide, "14", "4|14", "20", "2|-20", "13", "6|1.3", "x7", "64|10.0.0.1", "x11", "2|11")},
			"5000000006 5000000010 - - - 11 - - - 19 15 9 13 8 12"},
		{"huge", snmp.V2c, []map[string]string{with(wide, "x6", "70|18446744073709551615")},
			"18446744073709551615 5000000010 14 20 7 11 - - 13 19 15 9 13 8 12"},
	} {
		objects := mib{}.system(100)
		for i, cells := range c.cells {
			objects.row(i+1, cells)
		}
		s := serve(t, map[string]mib{"device": objects})("device", c.version)
		known := knownAs(Poll(t.Context(), s, Target{}))
		r := Poll(t.Context(), s, Target{Ports: known})
		m, ok := portMeasurements(r)[100]
		if got := valuesOf(m); !ok || got != c.want || len(m.Values) != len(measurement.KindPort.Sources()) {
			t.Errorf("%s: %s %s\n got %s\nwant %s", c.name, r.Poll.Outcome, r.Poll.Reason, got, c.want)
		}
		if !r.Poll.PortsComplete || len(r.Poll.Ports) != len(c.cells) {
			t.Errorf("%s: complete %v, %d ports", c.name, r.Poll.PortsComplete, len(r.Poll.Ports))
		}
		in, _ := m.Values[0].AsCounter()
		if in >= narrowBase && in < narrowBase+1<<32 {
			in -= narrowBase // a reading has it as it was read
		}
		if p := r.Poll.Ports[0]; p.InOctets != in || p.PortID != 100 {
			t.Errorf("%s: reading %+v", c.name, p)
		}
	}
}

func TestStateOfPorts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cells map[string]string
		want  device.PortState
	}{
		{"all there", ethernet("a"), device.PortState{IfIndex: 1, IfName: "a", IfDescr: "Ethernet a", IfAlias: "to a",
			IfType: "ethernetCsmacd", IfMTU: 1500, IfSpeed: 10_000_000_000, IfAdminStatus: "up", IfOperStatus: "up",
			IfPhysAddress: "0200000000ff", IfLastChange: 100}},
		{"names filled", with(narrow("a"), "6", "4x|000000000000", "8", "2|7", "7", "2|3"), device.PortState{IfIndex: 1,
			IfName: "a", IfDescr: "a", IfAlias: "a", IfType: "ethernetCsmacd", IfMTU: 1500, IfSpeed: 10_000_000,
			IfAdminStatus: "testing", IfOperStatus: "lowerLayerDown", IfLastChange: 100}},
		{"ifDescr empty", with(ethernet("a"), "2", "4|", "x18", "4|"), device.PortState{IfIndex: 1, IfName: "a", IfDescr: "a",
			IfAlias: "a", IfType: "ethernetCsmacd", IfMTU: 1500, IfSpeed: 10_000_000_000, IfAdminStatus: "up",
			IfOperStatus: "up", IfPhysAddress: "0200000000ff", IfLastChange: 100}},
		{"ifHighSpeed 0 is speed 0", with(ethernet("a"), "x15", "66|0"), device.PortState{IfIndex: 1, IfName: "a",
			IfDescr: "Ethernet a", IfAlias: "to a", IfType: "ethernetCsmacd", IfMTU: 1500, IfAdminStatus: "up",
			IfOperStatus: "up", IfPhysAddress: "0200000000ff", IfLastChange: 100}},
		{"hostile", with(ethernet("a"), "2", "4x|07610D0A62", "3", "2|99999", "4", "2|-1", "6", "4x|"+strings.Repeat("AB", 500),
			"7", "2|77", "8", "4|up", "9", "70|18446744073709551615", "x1", "4x|FF", "x15", "70|18446744073709551615",
			"x18", "4|"+strings.Repeat("y", 900)),
			device.PortState{IfIndex: 1, IfName: "ÿ", IfDescr: "ab", IfAlias: strings.Repeat("y", 255), IfType: "99999",
				IfSpeed: 4_294_967_295_000_000, IfAdminStatus: "77", IfLastChange: 1<<32 - 1}},
	} {
		r := Poll(t.Context(), serveOne(t, mib{}.system(100).row(1, c.cells)), Target{})
		if len(r.Poll.Ports) != 1 {
			t.Errorf("%s: %d ports; %s %s", c.name, len(r.Poll.Ports), r.Poll.Outcome, r.Poll.Reason)
			continue
		}
		if got := r.Poll.Ports[0].State; got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
		if p := r.Poll.Ports[0]; p.PortID != 0 || p.Generation != 0 || p.RRDMax != 0 || len(portMeasurements(r)) != 0 {
			t.Errorf("%s: an unknown port is measured: %+v, %v", c.name, p, r.Measurements)
		}
	}
}

func TestWhichRowsArePorts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cells map[string]string
		want  bool
	}{
		{"ethernet", ethernet("a"), true},
		{"down", with(ethernet("a"), "8", "2|2"), true},
		{"not present", with(ethernet("a"), "8", "2|6"), false},
		{"no state", with(ethernet("a"), "8", ""), true},
		{"no name at all", with(ethernet("a"), "2", "4|", "x1", "4|"), false},
		{"only a name", with(ethernet("a"), "2", ""), true},
		{"bad word", with(ethernet("a"), "2", "4|Unrouted VLAN 5"), false},
		{"bad word in the middle", with(ethernet("a"), "2", "4|EOBC0/1"), false},
		{"two words", with(ethernet("a"), "2", "4|SPAN RP Interface"), false},
		{"bad pattern", with(ethernet("a"), "2", "4|ng12"), false},
		{"not quite the pattern", with(ethernet("a"), "2", "4|ng12x"), true},
		{"a product with a bad word", with(ethernet("a"), "2", "4|Extreme Networks Virtual Services Platform 7432CQ - Port 1/1"), true},
		{"bad type", with(ethernet("a"), "3", "2|104"), false},
		{"bad word in the type's name", with(ethernet("a"), "3", "2|150"), false},
		{"a tunnel", with(ethernet("a"), "3", "2|131"), true},
		{"no type", with(ethernet("a"), "3", ""), true},
	} {
		objects := mib{}.system(100).row(7, c.cells).row(9, ethernet("other"))
		r := Poll(t.Context(), serveOne(t, objects), Target{})
		if got := len(r.Poll.Ports) == 2; got != c.want || len(r.Poll.Ports) == 0 {
			t.Errorf("%s: port %v, want %v; %s", c.name, got, c.want, r.Poll.Reason)
		}
	}
}

func TestRowsThatAreNoIndex(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(100).row(1, ethernet("a")).row(0, ethernet("zero"))
	objects[string(ifEntry)+".2.5.6"] = "4|two arcs"
	objects[string(ifEntry)+".2.4294967295"] = "4|largest"
	r := Poll(t.Context(), serveOne(t, objects), Target{})
	if len(r.Poll.Ports) != 2 || r.Poll.Ports[0].State.IfIndex != 1 || r.Poll.Ports[1].State.IfIndex != 1<<32-1 {
		t.Errorf("ports %+v, %s", r.Poll.Ports, r.Poll.Reason)
	}
}

func TestMeasuredPorts(t *testing.T) {
	t.Parallel()
	s := serveOne(t, mib{}.system(100).row(1, ethernet("a")).row(2, ethernet("b")).row(3, ethernet("c")).row(4, ethernet("d")))
	known := knownAs(Poll(t.Context(), s, Target{}))[:3]
	known[1].Disabled, known[2].Vanished = true, true
	known = append(known, device.Port{ID: 999, State: device.PortState{IfIndex: 77, IfName: "absent"}})
	r := Poll(t.Context(), s, Target{Ports: known})
	if m := portMeasurements(r); len(m) != 2 || m[100].Instance != 100 || m[100].Break || !m[102].Break {
		t.Errorf("measurements %v", m)
	}
	ids := []int64{}
	for _, p := range r.Poll.Ports {
		ids = append(ids, p.PortID)
	}
	if fmt.Sprint(ids) != "[100 101 102 0]" {
		t.Errorf("ports %v", ids)
	}
}

// A device that numbered its ports anew files each under the port of its name.
func TestRenumberedPortsKeepTheirFiles(t *testing.T) {
	t.Parallel()
	s := serveOne(t, mib{}.system(100).row(1, with(ethernet("b"), "x6", "70|222")).row(2, with(ethernet("a"), "x6", "70|111")))
	r := Poll(t.Context(), s, Target{Ports: []device.Port{
		{ID: 10, State: device.PortState{IfIndex: 1, IfName: "a"}}, {ID: 20, State: device.PortState{IfIndex: 2, IfName: "b"}},
	}})
	m := portMeasurements(r)
	if in, _ := m[10].Values[0].AsCounter(); in != 111 {
		t.Errorf("port a got %d octets", in)
	}
	if in, _ := m[20].Values[0].AsCounter(); in != 222 {
		t.Errorf("port b got %d octets", in)
	}
	if r.Poll.Ports[0].PortID != 20 || r.Poll.Ports[1].PortID != 10 {
		t.Errorf("ports %+v", r.Poll.Ports)
	}
}

func TestSpeedThatOutgrowsItsFile(t *testing.T) {
	t.Parallel()
	const gigabit = 1_000_000_000
	known := device.Port{Generation: 3}
	for _, c := range []struct {
		name       string
		max, speed uint64
		disabled   bool
		generation int
		want       uint64
	}{
		{"no file yet", 0, 10 * gigabit, false, 3, 12_500_000_000},
		{"no file yet, fast", 0, 400 * gigabit, false, 3, 62_500_000_000},
		{"fits", 12_500_000_000, 10 * gigabit, false, 3, 12_500_000_000},
		{"fits just", 15_625_000_000, 100 * gigabit, false, 3, 15_625_000_000},
		{"outgrown", 12_500_000_000, 400 * gigabit, false, 4, 62_500_000_000},
		{"slower again", 62_500_000_000, gigabit, false, 3, 62_500_000_000},
		{"not measured", 12_500_000_000, 400 * gigabit, true, 3, 12_500_000_000},
	} {
		s := serveOne(t, mib{}.system(100).row(1, with(ethernet("a"), "x15", fmt.Sprint("66|", c.speed/1_000_000))))
		port := known
		port.ID, port.RRDMax, port.Disabled, port.State = 5, c.max, c.disabled, device.PortState{IfIndex: 1, IfName: "a"}
		r := Poll(t.Context(), s, Target{Ports: []device.Port{port}})
		reading := r.Poll.Ports[0]
		if reading.Generation != c.generation || reading.RRDMax != c.want {
			t.Errorf("%s: generation %d, maximum %d, want %d and %d", c.name, reading.Generation, reading.RRDMax, c.generation, c.want)
		}
		m, ok := portMeasurements(r)[5]
		if ok == c.disabled || ok && (m.Generation != c.generation || m.Max != c.want) {
			t.Errorf("%s: measurement %+v", c.name, m)
		}
	}
	endless := device.Port{Generation: maxGeneration, RRDMax: 12_500_000_000}
	if generation, limit := file(&endless, 400*gigabit); generation != maxGeneration || limit != endless.RRDMax {
		t.Errorf("a device that claims ever higher speeds got generation %d", generation)
	}
}
