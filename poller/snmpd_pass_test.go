package poller

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/secret"
	"pollux/snmp"
)

// passing starts net-snmp's agent with objects that it does not have itself, below some subtrees.
func passing(t *testing.T, objects mib, subtrees ...string) *snmp.Session {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var text, conf strings.Builder
	for _, oid := range slices.SortedFunc(maps.Keys(objects), snmp.CompareIndexes) {
		fmt.Fprintf(&text, "%s|%s\n", oid, objects[oid])
	}
	file := filepath.Join(t.TempDir(), "objects")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, subtree := range subtrees {
		fmt.Fprintf(&conf, "pass_persist .%s %s pass\n", subtree, self)
	}
	s, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: snmpdWith(t, conf.String(), passFile+"="+file), Timeout: 2 * time.Second, Retries: 10,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// switchOf is what a switch with sensors tells beside its ports.
func switchOf() mib {
	const entity, sensor, cdp, bridge = "1.3.6.1.2.1.47.1.1.1.1.", "1.3.6.1.2.1.99.1.1.1.", "1.3.6.1.4.1.9.9.23.1.2.1.1.", "1.3.6.1.2.1.17."
	objects := mib{
		"1.0.8802.1.1.2.1.3.7.1.2.11": "2|5", "1.0.8802.1.1.2.1.3.7.1.3.11": "4|Ethernet1", "1.0.8802.1.1.2.1.3.7.1.4.11": "4|to sw2",
		"1.0.8802.1.1.2.1.4.2.1.3.0.11.1.1.4.192.0.2.2": "2|2",
		cdp + "4.2.1": "4x|c0000203", cdp + "5.2.1": "4|OS, Version 12", cdp + "6.2.1": "4|sw3.example.net", cdp + "7.2.1": "4|GigabitEthernet0/1", cdp + "8.2.1": "4|cisco WS-C2960X",
		bridge + "1.4.1.2.1": "2|1", bridge + "1.4.1.2.2": "2|2", bridge + "7.1.4.5.1.1.1": "66|10", bridge + "7.1.4.5.1.1.2": "66|20",
		bridge + "7.1.4.3.1.1.10": "4|clients", bridge + "7.1.4.3.1.5.10": "2|1", bridge + "7.1.4.3.1.1.20": "4|voice", bridge + "7.1.4.3.1.5.20": "2|2",
	}.lldpRow(string(lldpRem), 4, "0.11.1", "4", "4x|001122334455", "5", "4|Gi0/24", "4|uplink", "4|sw2", "4|Switch OS 7")
	for i, row := range []map[string]string{
		{"2": "4|Chassis", "4": "2|0", "5": "2|3", "7": "4|Chassis 1", "8": "4|V1", "11": "4|SN1", "12": "4|Acme", "13": "4|M9", "16": "2|1"},
		{"2": "4|Inlet", "4": "2|1", "5": "2|8", "7": "4|Inlet temperature"},
		{"2": "4|Fan", "4": "2|1", "5": "2|8", "7": "4|Fan 1"},
		{"2": "4|12 V rail", "4": "2|1", "5": "2|8", "7": "4|12 V rail"},
	} {
		for column, value := range row {
			objects[fmt.Sprintf("%s%s.%d", entity, column, i+1)] = value
		}
	}
	for i, row := range [][5]string{{"8", "9", "1", "385", "1"}, {"10", "9", "0", "4200", "1"}, {"4", "8", "0", "12050", "1"}} {
		for column, value := range row {
			objects[fmt.Sprintf("%s%d.%d", sensor, column+1, i+2)] = "2|" + value
		}
	}
	return objects
}

// What net-snmp's agent cannot give by itself (sensors, physical parts, neighbours, VLANs), it is told by a process of this test.
func TestSwitchBehindARealAgent(t *testing.T) {
	t.Parallel()
	s := passing(t, switchOf(), "1.0.8802.1.1.2", "1.3.6.1.2.1.17", "1.3.6.1.2.1.47", "1.3.6.1.2.1.99", "1.3.6.1.4.1.9.9.23")
	set, _, err := definitions.Load("")
	if err != nil {
		t.Fatal(err)
	}
	ports := []device.Port{portOf(1, "Ethernet1", "Ethernet1", "to sw2"), portOf(2, "Gi1/0/2", "GigabitEthernet1/0/2", "")}
	d, _ := Discover(t.Context(), s, Target{Ports: ports, Retries: 10}, set)
	if d.Outcome != device.OutcomeUp {
		t.Fatalf("%s: %s", d.Outcome, d.Reason)
	}
	whole(t, d, everything()...)
	lines(t, "neighbours", neighbourLines(d), `
lldp|1|Ethernet1|00:11:22:33:44:55|sw2|Gi0/24|uplink||Switch OS 7|192.0.2.2
cdp|2|Gi1/0/2|sw3.example.net|sw3.example.net|GigabitEthernet0/1||cisco WS-C2960X|OS, Version 12|192.0.2.3`)
	lines(t, "vlans", vlanLines(d), "10 clients active\n20 voice suspended\nport 1: 10\nport 2: 20")
	var parts []string
	for _, e := range d.Entities {
		parts = append(parts, fmt.Sprintf("%d in %d %s %s %s %s %s %s %t", e.Index, e.Parent, e.Class, e.Name, e.Hardware, e.Serial, e.Vendor, e.Model, e.FRU))
	}
	lines(t, "entities", strings.Join(parts, "\n"), `
1 in 0 chassis Chassis 1 V1 SN1 Acme M9 true
2 in 1 sensor Inlet temperature     false
3 in 1 sensor Fan 1     false
4 in 1 sensor 12 V rail     false`)
	var sensors []device.Component
	for i := range d.Components {
		if c := d.Components[i]; c.Kind == device.KindSensor && c.Type == "entity-sensor" {
			c.ID = int64(i + 1)
			sensors = append(sensors, c)
		}
	}
	measured := make(map[int64][]measurement.Value)
	for _, m := range Poll(t.Context(), s, Target{Components: sensors, Retries: 10}).Measurements {
		if m.Kind == measurement.KindSensor {
			measured[m.Instance] = m.Values
		}
	}
	var told []string
	for _, c := range sensors {
		values := measured[c.ID]
		if len(values) != 1 {
			t.Fatalf("%s is measured as %v", c.Descr, values)
		}
		filed, _ := values[0].AsGauge()
		told = append(told, fmt.Sprintf("%s %s: found %v, filed %v", c.Class, c.Descr, c.Value, filed))
	}
	slices.Sort(told)
	lines(t, "sensors", strings.Join(told, "\n"), `
fanspeed Fan 1: found 4200, filed 4200
temperature Inlet temperature: found 38.5, filed 38.5
voltage 12 V rail: found 12.05, filed 12.05`)
}
