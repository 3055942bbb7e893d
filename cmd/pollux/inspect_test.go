package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/simulator"
)

// inspected has the fields of the exchange format that inspect --json is for.
var (
	inspectedFields = []string{"os", "sysName", "sysObjectID", "sysDescr", "hardware", "version", "serial", "features", "ports", "processors", "mempools", "storage", "sensors"}
	inspectedPort   = []string{"ifIndex", "ifName", "ifDescr", "ifAlias", "ifType", "ifMtu", "ifSpeed", "ifAdminStatus", "ifOperStatus", "ifPhysAddress", "ifInOctets", "ifOutOctets"}
)

func TestInspectNeedsNoConfiguration(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null", "DB_DATABASE=")
	found := decode[object](s.call("inspect", "127.0.0.1:"+port, "-2", "-c", canaryCommunity, "--json"))
	for name := range found {
		if !slices.Contains(inspectedFields, name) {
			t.Errorf("the format has no field %s", name)
		}
	}
	ports, _ := found["ports"].([]any)
	if found["sysName"] != "sim-00000" || len(ports) != 3 {
		t.Fatalf("inspect says %v", found)
	}
	first, _ := ports[0].(object)
	for _, name := range inspectedPort {
		if _, there := first[name]; !there {
			t.Errorf("the port has no %s: %v", name, slices.Sorted(maps.Keys(first)))
		}
	}
	if first["ifIndex"] != 1.0 || first["ifType"] != "ethernetCsmacd" || first["ifSpeed"] != 1e9 || first["ifOperStatus"] != "up" || first["ifPhysAddress"] != "020000000001" {
		t.Errorf("port %v", first)
	}
	twin, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Ports: 3}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	octets, _ := first["ifInOctets"].(float64)
	now := float64(twin.Model().Counter(0, 1, simulator.InOctets, time.Now()))
	if since := (now - octets) / twin.Model().Rate(0, 1, simulator.InOctets, time.Now()); since < 0 || since > 60 { // seconds
		t.Errorf("ifInOctets is %.0f, the device's counter is %.0f by now", octets, now)
	}
	if out := s.ok("inspect", "127.0.0.1:"+port, "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv); !strings.Contains(out, "sim-00000") || !strings.Contains(out, "ifIndex") {
		t.Errorf("inspect with v3 says:\n%s", out)
	}
	if out := s.ok("inspect", "127.0.0.1", "-r", port, "-1", "-c", canaryCommunity); !strings.Contains(out, fmt.Sprintf("%-12s 3", "ports")) {
		t.Errorf("inspect with v1 says:\n%s", out)
	}
}

// What a device says of itself reaches a terminal without control characters.
func TestInspectShowsNoControlCharacters(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null")
	s.write("evil.snmprec", strings.Join([]string{
		"1.3.6.1.2.1.1.1.0|4x|1b5d303b70776e65641b5b324a0d0a6576696c09feff" + "e280ae", "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1.1", "1.3.6.1.2.1.1.3.0|67|100",
		"1.3.6.1.2.1.1.5.0|4x|1b5b33316d6e616d65", "1.3.6.1.2.1.2.2.1.1.1|2|1", "1.3.6.1.2.1.2.2.1.2.1|4x|65746830071b5b41",
		"1.3.6.1.2.1.2.2.1.3.1|2|6", "1.3.6.1.2.1.2.2.1.8.1|2|1", "1.3.6.1.2.1.31.1.1.1.1.1|4x|9b33316d", "1.3.6.1.2.1.31.1.1.1.18.1|4|=cmd|x",
	}, "\n")+"\n")
	port := agents(t, simulator.Config{Recordings: s.dir})
	for _, args := range [][]string{{}, {"--json"}} {
		out := s.call(append([]string{"inspect", "127.0.0.1:" + port, "-2", "-c", "evil"}, args...)...).out
		if !strings.Contains(out, "name") || strings.ContainsAny(out, "\x1b\x07\r\u009b") || strings.Contains(out, "\u202e") && len(args) == 0 {
			t.Errorf("inspect %q shows %q", args, out)
		}
	}
}
