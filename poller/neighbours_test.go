package poller

import (
	"fmt"
	"strings"
	"testing"

	"pollux/device"
)

// portOf is a port of the inventory.
func portOf(index int64, name, descr, alias string) device.Port {
	return device.Port{ID: index, State: device.PortState{IfIndex: index, IfName: name, IfDescr: descr, IfAlias: alias}}
}

func neighbourLines(d device.Discovery) string {
	var lines []string
	for _, n := range d.Neighbours {
		address := ""
		if n.RemoteAddress.IsValid() {
			address = n.RemoteAddress.String()
		}
		lines = append(lines, strings.Join([]string{
			string(n.Protocol), fmt.Sprint(n.IfIndex), n.LocalPort, n.RemoteID, n.RemoteName, n.RemotePort, n.RemotePortDescr,
			n.RemotePlatform, n.RemoteDescr, address,
		}, "|"))
	}
	return strings.Join(lines, "\n")
}

// lldpRow adds a neighbour: chassis id and port id with their kinds, then what else there is.
func (m mib) lldpRow(entry string, first int, index, chassisKind, chassis, portKind, port, portDescr, name, descr string) mib {
	for i, value := range []string{"2|" + chassisKind, chassis, "2|" + portKind, port, portDescr, name, descr} {
		if value != "" {
			m[fmt.Sprintf("%s.%d.%s", entry, first+i, index)] = value
		}
	}
	return m
}

func lldpMIB() mib {
	const loc, man = "1.0.8802.1.1.2.1.3.7.1.", "1.0.8802.1.1.2.1.4.2.1."
	return mib{
		loc + "2.11": "2|5", loc + "3.11": "4|Ethernet1", loc + "4.11": "4|to sw2",
		loc + "2.12": "2|7", loc + "3.12": "4|12", loc + "4.12": "4|GigabitEthernet0/2",
		loc + "2.13": "2|3", loc + "3.13": "4x|0200000000FF",
		loc + "2.14": "2|7", loc + "3.14": "4|14",
		man + "3.0.11.1.2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.2": "2|2", man + "3.0.11.1.1.4.192.0.2.2": "2|2", man + "3.0.11.1.6.6.0.1.2.3.4.5": "2|2",
		man + "3.500.12.7.1.192.0.2.3": "2|2",            // no length
		man + "2.0.0.9":                "4|198.51.100.9", // the address in a value
		man + "3.0.13.1.1.4.127.0.0.1": "2|2",
		"1.3.6.1.2.1.17.1.4.1.2.15":    "2|5",
		"1.3.6.1.2.1.17.1.4.1.2.0":     "2|2",
	}.
		lldpRow(string(lldpRem), 4, "0.11.1", "4", "4x|001122334455", "5", "4|Gi0/24", "4|uplink", "4|sw2", "4x|5377697463680D0A4F532037").
		lldpRow(string(lldpRem), 4, "500.12.7", "7", "4|pls", "7", "4|port-001", "", "", "4|PLC").
		lldpRow(string(lldpRem), 4, "0.13.1", "5", "4x|01C0000207", "3", "4|AA-BB-CC-00-11-22", "", "", "").
		lldpRow(string(lldpRem), 4, "0.15.1", "7", "4x|0001020304FF", "1", "4|x", "", "4|base port", "").
		lldpRow(string(lldpRem), 4, "0.14.1", "4", "4|02:e8:54:FB:7c:76", "5", "4|y", "", "4|number", "").
		lldpRow(string(lldpRem), 4, "0.77.1", "7", "4|z", "5", "4|z", "", "4|nowhere", "").
		lldpRow(string(lldpRem), 4, "0.0.9", "7", "4|m", "5", "4|ether1", "", "4|mikrotik", "").
		lldpRow(string(lldpRem), 4, "0.3.0", "0", "4|", "0", "4|", "4|", "4|", "4|"). // nobody there
		lldpRow(string(lldpRem), 4, "0.3", "7", "4|bad", "5", "4|bad", "", "4|an index of two arcs", "")
}

func TestNeighboursByLLDP(t *testing.T) {
	t.Parallel()
	ports := []device.Port{
		portOf(1, "Ethernet1", "Ethernet1", "to sw2"), portOf(2, "Gi0/2", "GigabitEthernet0/2", ""), portOf(3, "Et3", "Ethernet 3", "to sw2"),
		portOf(5, "Et5", "", ""), portOf(14, "Et14", "", ""),
	}
	ports[2].State.IfPhysAddress = "0200000000ff"
	d := discover(t, lldpMIB(), Target{Ports: ports})
	whole(t, d, everything()...)
	lines(t, "neighbours", neighbourLines(d), `
lldp|0||m|mikrotik|ether1||||198.51.100.9
lldp|1|Ethernet1|00:11:22:33:44:55|sw2|Gi0/24|uplink||Switch OS 7|192.0.2.2
lldp|3|Et3|192.0.2.7||aa:bb:cc:00:11:22||||
lldp|14|Et14|02:e8:54:fb:7c:76|number|y||||
lldp|5|Et5|00:01:02:03:04:ff|base port|x||||
lldp|0|port 77|z|nowhere|z||||
lldp|2|Gi0/2|pls||port-001|||PLC|192.0.2.3`)
}

// A device that was discovered before it was polled has no ports in the inventory yet.
func TestNeighboursOfADeviceThatWasNeverPolled(t *testing.T) {
	t.Parallel()
	objects := mib{
		"1.3.6.1.4.1.9.9.23.1.2.1.1.4.7.1": "4x|41424344", "1.3.6.1.4.1.9.9.23.1.2.1.1.5.7.1": "4|OS, Version 12", "1.3.6.1.4.1.9.9.23.1.2.1.1.6.7.1": "4|sw3.example.net",
		"1.3.6.1.4.1.9.9.23.1.2.1.1.7.7.1": "4|GigabitEthernet0/1", "1.3.6.1.4.1.9.9.23.1.2.1.1.8.7.1": "4|cisco WS-C2960X",
		"1.3.6.1.4.1.9.9.23.1.2.1.1.4.8.2": "4x|20010DB8000000000000000000000009", "1.3.6.1.4.1.9.9.23.1.2.1.1.6.8.2": "4x|001A2B3C4D5E",
		"1.3.6.1.4.1.9.9.23.1.2.1.1.6.9.1.1": "4|an index of three arcs",
		"1.3.6.1.2.1.31.1.1.1.1.7":           "4|Gi1/0/7",
		"1.3.6.1.2.1.31.1.1.1.1.1":           "4|Gi1/0/1", "1.3.6.1.2.1.2.2.1.2.1": "4|GigabitEthernet1/0/1",
		"1.0.8802.1.1.2.1.3.7.1.3.3": "4|GigabitEthernet1/0/1",
	}.lldpRow(string(lldpRem), 4, "0.3.1", "7", "4|a", "5", "4|b", "", "", "")
	d := discover(t, objects, Target{})
	lines(t, "neighbours", neighbourLines(d), `
lldp|1|Gi1/0/1|a||b||||
cdp|7|Gi1/0/7|sw3.example.net|sw3.example.net|GigabitEthernet0/1||cisco WS-C2960X|OS, Version 12|65.66.67.68
cdp|8|ifIndex 8|00:1a:2b:3c:4d:5e|00:1a:2b:3c:4d:5e|||||2001:db8::9`)
}

func TestNeighboursByTheMIBOf2009(t *testing.T) {
	t.Parallel()
	objects := mib{"1.3.111.2.802.1.1.13.1.4.2.1.3.0.17.1.1.1.4.192.0.2.17": "2|2"}.
		lldpRow(string(lldpV2Rem), 5, "0.17.1.1", "4", "4|20:28:3e:6e:e3:11", "5", "4|10GE2/4/0/7", "4|Core", "4|sr1", "4|Router")
	d := discover(t, objects, Target{Ports: []device.Port{portOf(17, "ethernet1/17", "", "")}})
	whole(t, d, everything()...)
	lines(t, "neighbours", neighbourLines(d), "lldp|17|ethernet1/17|20:28:3e:6e:e3:11|sr1|10GE2/4/0/7|Core||Router|192.0.2.17")
}
