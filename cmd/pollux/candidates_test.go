package main

import (
	"testing"

	"pollux/simulator"
)

// What is not given comes from the settings; without asking, the first candidate is stored.
func TestDeviceAddFollowsTheSettings(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	user := []string{"-u", "monitor", "-A", canaryAuth}
	for i, c := range []struct {
		versions string
		args     []string
		want     string
	}{
		{"v2c,v3,v1", nil, "v2c"},
		{"v2c,v3,v1", user, "v3"}, // a user alone names v3
		{"v2c,v3,v1", append([]string{"-c", canaryCommunity}, user...), "v2c"},
		{"v3,v2c", append([]string{"-c", canaryCommunity}, user...), "v3"},
		{"v3,v1", []string{"-c", canaryCommunity}, "v1"},
		{"v1,v2c", nil, "v1"},
		{"v1,v2c", []string{"-2"}, "v2c"}, // a version that is named is the only one
		{"v1", user, "v3"},
		{"v1", append([]string{"-3", "-c", canaryCommunity}, user...), "v3"},
	} {
		s.ok("config", "set", "snmp.version", c.versions)
		name := "sw" + string(rune('a'+i))
		if got := decode[object](s.call(append([]string{"device", "add", name, "-f", "--json"}, c.args...)...)); got["snmp_version"] != c.want {
			t.Errorf("snmp.version %s, flags %q: %v, want %s", c.versions, c.args, got["snmp_version"], c.want)
		}
	}
	s.ok("config", "set", "snmp.version", "v3")
	s.call("device", "add", "new", "-f").fails(exitUsage, "-u NAME")
	s.ok("config", "unset", "snmp.version")
	s.ok("config", "set", "snmp.port", "1161")
	s.ok("config", "set", "snmp.transports", "tcp,udp")
	if got := decode[object](s.call("device", "add", "placed", "-f", "--json")); got["port"] != 1161.0 || got["transport"] != "tcp" {
		t.Errorf("placed by the settings: %v", got)
	}
	if got := decode[object](s.call("device", "add", "named", "-f", "--json", "-r", "162", "-t", "udp")); got["port"] != 162.0 || got["transport"] != "udp" {
		t.Errorf("placed by flags: %v", got)
	}
	before := dump(t, s.database())
	s.call("device", "add", "new", "-f", "-t", "udp6").fails(exitUsage, "snmp.transports", "tcp,udp")
	s.call("device", "set", "named", "-t", "tcp6").fails(exitUsage, "snmp.transports")
	s.call("device", "add", "new", "-f", "-t", "").fails(exitUsage, "udp, udp6, tcp or tcp6")
	s.unchanged(before)
	if got := decode[object](s.call("device", "set", "placed", "--interval", "60", "--json")); got["port"] != 1161.0 || got["transport"] != "tcp" {
		t.Errorf("a change of something else: %v", got)
	}
}

// The versions are tried on the device, in the order of the setting.
func TestDeviceAddTriesBothKinds(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t)
	got := decode[object](s.call("device", "add", "sw1", "--address", "127.0.0.1", "-r", port, "-c", "CANARY-wrong", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv, "--json"))
	if got["snmp_version"] != "v3" || got["status"] != "up" {
		t.Errorf("with a wrong community and the right user: %v", got)
	}
}

// A device has its own timeout and retries until it goes back to the settings.
func TestDeviceSetOwnTimeout(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	own := func(args ...string) (timeout, retries any) {
		shown := decode[object](s.call(append([]string{"device", "set", "sw1", "--json"}, args...)...))
		return shown["snmp_timeout"], shown["snmp_retries"]
	}
	if timeout, retries := own("--timeout", "2500ms", "--retries", "0"); timeout != 2.5 || retries != 0.0 {
		t.Errorf("its own: %v, %v", timeout, retries)
	}
	if timeout, retries := own("--timeout", "0"); timeout != nil || retries != 0.0 {
		t.Errorf("the timeout taken back: %v, %v", timeout, retries)
	}
	if timeout, retries := own("--retries", "-1"); timeout != nil || retries != nil {
		t.Errorf("both taken back: %v, %v", timeout, retries)
	}
}
