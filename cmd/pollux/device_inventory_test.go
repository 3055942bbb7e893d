package main

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

// discoveredSite is a site with a device that was polled and discovered, after which a neighbour, an address and a VLAN vanished.
func discoveredSite(t testing.TB) *site {
	t.Helper()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	inventory, at := s.inventory(), time.Now().Add(-24*time.Hour)
	err := inventory.SavePoll(t.Context(), device.Poll{
		DeviceID: 1, Slot: at.Unix(), At: at, Outcome: device.OutcomeUp, PortsComplete: true,
		Ports: []device.PortReading{{State: device.PortState{IfIndex: 7, IfName: "Gi0/7"}}, {State: device.PortState{IfIndex: 8, IfName: "Gi0/8"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	found := device.Inventory{
		Addresses: []device.Address{{Address: netip.MustParseAddr("192.0.2.1"), IfIndex: 7, Prefix: 24}, {Address: netip.MustParseAddr("2001:db8::9"), IfIndex: 99}},
		Entities: []device.Entity{
			{Index: 1, Class: "chassis", Name: "Chassis", Model: "T-48", Serial: "FOC1234", Software: "12.2", FRU: true}, {Index: 1001, Parent: 1, Class: "fan", Descr: "Fan 1"},
		},
		Neighbours: []device.Neighbour{
			{Protocol: device.ProtocolLLDP, IfIndex: 8, LocalPort: "GigabitEthernet0/8", RemoteID: "00:11:22:33:44:55", RemoteName: "sw2", RemotePort: "Gi0/1", RemoteAddress: netip.MustParseAddr("192.0.2.2")},
			{Protocol: device.ProtocolCDP, LocalPort: "ifIndex 9", RemoteID: "SEP001", RemotePlatform: "phone"},
		},
		VLANs:     []device.VLAN{{VLAN: 1, Name: "default", State: "active"}, {VLAN: 20, Name: "users"}},
		PortVLANs: map[int64]int{7: 1, 8: 1},
		Whole:     map[string]bool{device.ModuleAddresses: true, device.ModuleEntities: true, device.ModuleNeighbours: true, device.ModuleVLANs: true},
	}
	for n := range 3 {
		moment := at.Add(time.Duration(n+1) * 6 * time.Hour)
		d := device.Discovery{DeviceID: 1, Slot: moment.Unix(), At: moment, Outcome: device.OutcomeUp, Inventory: found}
		if err := inventory.SaveDiscovery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		found.Addresses, found.Neighbours, found.VLANs = found.Addresses[:1], found.Neighbours[:1], found.VLANs[:1]
	}
	return s
}

func TestDeviceInventoryIsListed(t *testing.T) {
	t.Parallel()
	s := discoveredSite(t)
	for _, c := range []struct {
		noun, gone string
		first      object
		line       string
	}{
		{"addresses", "2001:db8::9", object{"address": "192.0.2.1", "prefix_length": 24.0, "if_index": 7.0, "if_name": "Gi0/7", "vanished": false}, `^192\.0\.2\.1/24 +Gi0/7 +7 *$`},
		{"neighbours", "SEP001", object{"protocol": "lldp", "local_port": "Gi0/8", "remote_chassis": "00:11:22:33:44:55", "remote_name": "sw2", "remote_address": "192.0.2.2"}, `^Gi0/8 +lldp +sw2 +Gi0/1 +192\.0\.2\.2 *$`},
		{"vlans", "users", object{"vlan": 1.0, "name": "default", "state": "active"}, `^1 +default +active +Gi0/7, Gi0/8 *$`},
	} {
		all := decode[list](s.call("device", c.noun, "sw1", "--json", "--gone")).Items
		present := decode[list](s.call("device", c.noun, "1", "--json")).Items
		if len(all) != 2 || len(present) != 1 || all[1]["vanished"] != true {
			t.Fatalf("%s: %d of %d", c.noun, len(present), len(all))
		}
		checkNames(t, present[0])
		for name, want := range c.first {
			if present[0][name] != want {
				t.Errorf("%s: %s is %v, want %v", c.noun, name, present[0][name], want)
			}
		}
		if at, _ := present[0]["found_at"].(string); !jsonTime.MatchString(at) {
			t.Errorf("%s: found at %q", c.noun, at)
		}
		people := s.ok("device", c.noun, "sw1")
		if !regexp.MustCompile(`(?m)`+c.line).MatchString(people) || strings.Contains(people, c.gone) {
			t.Errorf("%s:\n%s", c.noun, people)
		}
		if people := s.ok("device", c.noun, "sw1", "--gone"); !strings.Contains(people, c.gone) || !strings.Contains(people, "vanished") {
			t.Errorf("%s --gone:\n%s", c.noun, people)
		}
	}
	ports, _ := decode[object](s.call("device", "show", "sw1", "--json"))["ports"].([]any)
	if first, _ := ports[0].(object); first["vlan"] != 1.0 {
		t.Errorf("port %v", first)
	}
}

func TestDeviceEntitiesAreListed(t *testing.T) {
	t.Parallel()
	s := discoveredSite(t)
	all := decode[list](s.call("device", "entities", "sw1", "--json")).Items
	if len(all) != 2 || all[0]["serial"] != "FOC1234" || all[0]["is_fru"] != true || all[1]["contained_in"] != 1.0 || all[1]["class"] != "fan" {
		t.Errorf("entities %v", all)
	}
	for _, item := range all {
		checkNames(t, item)
	}
	if out := s.ok("device", "entities", "sw1", "--class", "chassis"); !regexp.MustCompile(`(?m)^1 +chassis +Chassis +T-48 +FOC1234 +12\.2 *$`).MatchString(out) || strings.Contains(out, "Fan") {
		t.Errorf("entities:\n%s", out)
	}
	s.ok("device", "add", "sw2", "-f")
	for _, noun := range []string{"addresses", "entities", "neighbours", "vlans"} {
		if out := s.ok("device", noun, "sw2"); out != "none was discovered\n" {
			t.Errorf("%s of a new device: %q", noun, out)
		}
		if out := s.ok("device", noun, "sw2", "--json"); strings.Join(strings.Fields(out), "") != `{"items":[]}` {
			t.Errorf("%s of a new device: %s", noun, out)
		}
		s.call("device", noun, "nobody").fails(exitNotFound, "there is no device")
	}
}

func TestDeviceGoesWithoutModulesOfPolls(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	off := func() any { return decode[object](s.call("device", "show", "sw1", "--json"))["poller_off"] }
	s.ok("device", "set", "sw1", "--poller-off", "ports, icmp,ports")
	if list, _ := off().([]any); len(list) != 2 || list[0] != "icmp" || list[1] != "ports" {
		t.Errorf("off: %v", off())
	}
	if out := s.ok("device", "show", "sw1"); !strings.Contains(out, "polls        without icmp, ports\n") || strings.Contains(out, "available") {
		t.Errorf("device show:\n%s", out)
	}
	s.call("device", "set", "sw1", "--poller-off", "core").fails(exitUsage, "availability, host")
	s.call("config", "set", "poller_modules", "ports,core").fails(exitUsage, "poller_modules")
	s.ok("device", "set", "sw1", "--poller-off", "none")
	if off() != nil {
		t.Errorf("off: %v", off())
	}
}

func TestDeviceGoesWithoutModulesOfDiscoveries(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	off := func() any { return decode[object](s.call("device", "show", "sw1", "--json"))["discovery_off"] }
	s.ok("device", "set", "sw1", "--discovery-off", "vlans, neighbours,vlans")
	if list, _ := off().([]any); len(list) != 2 || list[0] != "neighbours" || list[1] != "vlans" {
		t.Errorf("off: %v", off())
	}
	if out := s.ok("device", "show", "sw1"); !strings.Contains(out, "without neighbours, vlans") {
		t.Errorf("device show:\n%s", out)
	}
	s.call("device", "set", "sw1", "--discovery-off", "wireless").fails(exitUsage, "entity-physical")
	s.ok("device", "set", "sw1", "--discovery-off", "none")
	if off() != nil {
		t.Errorf("off: %v", off())
	}
}

func TestADeviceSaysHowItsPortsAreRead(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	for word, want := range map[string]any{"true": "true", "false": "false", "auto": "auto"} {
		s.ok("device", "set", "sw1", "--selected-ports", word)
		if got := decode[object](s.call("device", "show", "sw1", "--json"))["selected_ports"]; got != want {
			t.Errorf("%s: %v", word, got)
		}
	}
	s.call("device", "set", "sw1", "--selected-ports", "some").fails(exitUsage, "auto, true, false or default")
	s.ok("device", "set", "sw1", "--selected-ports", "default")
	if got := decode[object](s.call("device", "show", "sw1", "--json"))["selected_ports"]; got != nil {
		t.Errorf("by default: %v", got)
	}
}
