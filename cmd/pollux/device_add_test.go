package main

import (
	"fmt"
	"strings"
	"testing"

	"pollux/device"
	"pollux/ping"
	"pollux/polluxtest"
	"pollux/simulator"
)

func TestDeviceAddTriesCredentialSets(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{Listen: "127.80.0.0/24:0", Devices: 5})
	s := migrated(t)
	at := func(name string, number int, more ...string) []string {
		return append([]string{"device", "add", name, "--address", fmt.Sprintf("127.80.0.%d", number), "-r", port}, more...)
	}
	s.ok("credential", "add", "wrong", "-2", "-c", "CANARY-wrong")
	s.ok("credential", "add", "core", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	if out := s.ok(at("sw1", 1)...); !strings.Contains(out, "added sw1 as device 1: 3 ports") || !strings.Contains(out, "it has the credentials of the set core\n") {
		t.Errorf("by a set: %q", out)
	}
	s.ok("credential", "add", "old", "-2", "-c", canaryCommunity)
	if got := decode[object](s.call(at("sw2", 2, "--json")...)); got["credential_set"] != "old" || got["snmp_version"] != "v2c" {
		t.Errorf("v2c comes first: %v", got)
	}
	if got := decode[object](s.call(at("sw3", 3, "--json", "-3")...)); got["credential_set"] != "core" {
		t.Errorf("a version that is named: %v", got)
	}
	if got := decode[object](s.call(at("sw4", 4, "--json", "-2", "-c", canaryCommunity)...)); got["credential_set"] != nil {
		t.Errorf("credentials that are given: %v", got)
	}
	before := dump(t, s.database())
	s.call(at("sw5", 5, "--credential", "wrong")...).fails(exitUnreachable, "not added", "tried v2c of set wrong: ")
	s.call(at("sw5", 5, "--credential", "wrong,nobody")...).fails(exitNotFound, "no credential set", "nobody")
	s.call(at("sw5", 5, "-1")...).fails(exitUnreachable, "tried v1: ") // no set is of v1, so public is tried
	s.call(at("sw5", 5, "-1", "--credential", "core")...).fails(exitUsage, "of SNMP v3")
	s.call(at("sw5", 5, "-2", "-c", "CANARY-wrong")...).fails(exitUnreachable, "tried v2c: ")
	s.unchanged(before)
	s.ok("credential", "remove", "old")
	if got := s.credentials("sw2").Credentials; got.Community.Reveal() != canaryCommunity {
		t.Error("a device lost what it got from a set")
	}
}

func TestDeviceAddNamesTheTwin(t *testing.T) {
	t.Parallel()
	port, other := agents(t, simulator.Config{}), agents(t, simulator.Config{})
	s := migrated(t)
	add := func(name, port string, more ...string) []string {
		return append([]string{"device", "add", name, "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity}, more...)
	}
	s.ok(add("sw1", port)...)
	before := dump(t, s.database())
	s.call(add("sw2", port)...).fails(exitFailure, "not added", "the address 127.0.0.1, port "+port+" is that of sw1 (device 1)", "-f")
	s.call(add("sw2", other)...).fails(exitFailure, `the sysName "sim-00000" is that of sw1 (device 1)`, "allow_duplicate_sysName", "-f")
	s.call(add("sw1", other)...).fails(exitFailure, "there is one already", "sw1 is device 1")
	s.call(add("SW1", other, "-f")...).fails(exitFailure, "there is one already")
	s.unchanged(before)
	s.ok(add("sw2", port, "-f")...)
	s.ok("config", "set", "allow_duplicate_sysName", "true")
	s.ok(add("sw3", other)...)
}

// An address that the settings exclude is asked when somebody on this machine names it, with a warning.
func TestDeviceAddWarnsOfExcludedAddresses(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t)
	s.ok("config", "unset", "nets.allow")
	r := s.call("device", "add", "sw1", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity)
	if r.code != exitOK || !strings.HasPrefix(r.errout, "warning: ") || !strings.Contains(r.errout, "127.0.0.0/8, which autodiscovery.nets-exclude excludes") || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.errout)
	}
	r = s.call("device", "set", "sw1", "--address", "169.254.1.1")
	if r.code != exitOK || !strings.HasPrefix(r.errout, "warning: ") || !strings.Contains(r.errout, "169.254.0.0/16") {
		t.Errorf("set: exit code %d: %s%s", r.code, r.out, r.errout)
	}
	if r = s.call("device", "set", "sw1", "--address", "192.0.2.1"); r.code != exitOK || r.errout != "" {
		t.Errorf("set to another one: exit code %d: %s%s", r.code, r.out, r.errout)
	}
}

// A name that leads to an excluded address is not asked by polls, whoever added it:
// that is told when it is added, and once when it goes down.
func TestANameThatLeadsToAnExcludedAddressIsNotPolled(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("config", "set", "nets.allow", "127.0.0.1")
	s.ok("device", "add", "sw1", "--address", "localhost", "-r", port, "-2", "-c", canaryCommunity)
	s.spawn("device", "poll", "sw1").works()
	s.ok("config", "unset", "nets.allow")
	for range 2 {
		s.spawn("device", "poll", "sw1").fails(exitUnreachable, "nets.allow")
	}
	if out := s.ok("device", "why", "sw1"); !strings.Contains(out, "name \"localhost\": the settings keep this address from being asked") {
		t.Errorf("why says:\n%s", out)
	}
	if out := s.ok("event", "list", "--device", "sw1"); strings.Count(out, "keep this address from being asked") != 1 {
		t.Errorf("events:\n%s", out)
	}
	s.ok("config", "set", "allow_duplicate_sysName", "true")
	r := s.call("device", "add", "sw2", "--address", "localhost", "-r", agents(t, simulator.Config{}), "-2", "-c", canaryCommunity)
	if r.code != exitOK || !strings.Contains(r.errout, "Polls do not ask it by a name") {
		t.Errorf("add: exit code %d, %q", r.code, r.errout)
	}
}

// With the check on, a device is asked by ICMP where this user may send it; else that is said.
func TestDeviceAddChecksICMP(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t)
	s.ok("config", "set", "icmp_check", "true")
	r := s.call("device", "add", "sw1", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity)
	off := ping.Detect().Mode() == ping.Off
	if r.code != exitOK || strings.Contains(r.errout, "warning: the ICMP check was left out") != off {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.errout)
	}
	before := dump(t, s.database())
	r = s.call("device", "add", "ups1", "--ping-only", "--address", "127.255.255.255") // a broadcast, which the kernel does not answer
	if !off {
		r.fails(exitUnreachable, "not added", "no answer to ICMP from 127.255.255.255", "-f")
		s.unchanged(before)
	}
}

// TestPingOnlyDevice goes the way of a device without SNMP: added, polled, changed to SNMP and back.
func TestPingOnlyDevice(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket)
	if ping.Detect().Mode() == ping.Off {
		t.Fatal("this test needs root, CAP_NET_RAW or a group inside net.ipv4.ping_group_range")
	}
	if out := s.ok("device", "add", "ups1", "--ping-only", "--address", "127.0.0.1", "-r", port, "--interval", "60"); out != "added ups1 as device 1: ICMP only, polled every 60 s\n" {
		t.Errorf("device add says %q", out)
	}
	shown := decode[object](s.call("device", "show", "ups1", "--json"))
	checkNames(t, shown)
	if shown["ping_only"] != true || shown["snmp_version"] != "" || shown["status"] != "up" || shown["os"] != "ping" {
		t.Errorf("shown as %v", shown)
	}
	if page := s.ok("device", "show", "ups1"); !strings.Contains(page, "ICMP only") || strings.Contains(page, "SNMP") {
		t.Errorf("shown as\n%s", page)
	}
	polled := decode[object](s.spawn("device", "poll", "ups1", "--json"))
	if polled["outcome"] != "up" || polled["ports"] != 0.0 || polled["measurements"] != 7.0 || polled["journal"] != "accepted" {
		t.Errorf("polled: %v", polled)
	}
	// icmp-perf, poller-perf of the poll and of icmp, and four of availability.
	available, _ := decode[object](s.call("device", "show", "ups1", "--json"))["availability"].([]any)
	if first, _ := available[0].(object); len(available) != 4 || first["duration"] != 86400.0 || first["availability_perc"] != 100.0 {
		t.Errorf("available: %v", available)
	}
	if page := s.ok("device", "show", "ups1"); !strings.Contains(page, "available    100.000 % of 1 d, 100.000 % of 7 d, 100.000 % of 30 d, 100.000 % of 365 d\n") {
		t.Errorf("shown as\n%s", page)
	}
	s.spawn("device", "discover", "ups1").fails(exitUsage, "ICMP only")
	s.call("device", "set", "ups1", "--ping-only", "-2").fails(exitUsage, "no credentials")
	s.call("device", "add", "ups2", "--ping-only", "-c", canaryCommunity).fails(exitUsage, "no credentials")
	s.call("device", "add", "ups2", "--ping-only", "--address", "127.0.0.1").fails(exitFailure, "the address 127.0.0.1 is that of ups1")
	s.ok("device", "set", "ups1", "-c", canaryCommunity)
	if got := decode[object](s.spawn("device", "poll", "ups1", "--json")); got["outcome"] != "up" || got["ports"] != 3.0 {
		t.Errorf("asked by SNMP: %v", got)
	}
	s.ok("device", "set", "ups1", "--ping-only")
	if d := s.credentials("ups1"); !d.PingOnly || !d.Credentials.Community.IsEmpty() || d.Credentials.Version != "" || d.Status != device.StatusUp {
		t.Errorf("asked by ICMP only again: %+v", d)
	}
}

func TestDeviceStates(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	s.ok("device", "add", "192.0.2.9", "-f")
	state := func(args ...string) object {
		t.Helper()
		return decode[object](s.call(append(append([]string{"device"}, args...), "--json")...))
	}
	if got := state("disable", "sw1"); got["disabled"] != true || got["status"] != "disabled" {
		t.Errorf("disabled: %v", got)
	}
	if got := state("enable", "sw1"); got["disabled"] != false || got["status"] != "new" {
		t.Errorf("enabled: %v", got)
	}
	if got := state("ignore", "1"); got["ignored"] != true || got["disabled"] != false {
		t.Errorf("ignored: %v", got)
	}
	if page := s.ok("device", "list"); !strings.Contains(page, "new, ignored") {
		t.Errorf("the list:\n%s", page)
	}
	if got := decode[object](s.call("device", "set", "--where", "ignored=true", "--dry-run", "--interval", "60", "--json")); got["matched"] != 1.0 {
		t.Errorf("chosen by ignored: %v", got)
	}
	s.ok("device", "set", "--where", "ignored=false", "--ignore", "--yes")
	if got := state("unignore", "sw1"); got["ignored"] != false {
		t.Errorf("no longer ignored: %v", got)
	}
	if got := state("rename", "192.0.2.9", "core1"); got["hostname"] != "core1" || got["address"] != "192.0.2.9" || got["rrd_dir"] != "192.0.2.9" || got["ignored"] != true {
		t.Errorf("renamed: %v", got)
	}
	if got := state("rename", "core1", "core2"); got["address"] != "192.0.2.9" || got["rrd_dir"] != "192.0.2.9" {
		t.Errorf("renamed again: %v", got)
	}
	before := dump(t, s.database())
	s.call("device", "rename", "core2", "sw1").fails(exitFailure, "there is one already")
	s.call("device", "rename", "core2", "a/b").fails(exitUsage, "letters, digits")
	s.call("device", "rename", "core2").fails(exitUsage, "HOST NAME")
	s.call("device", "set", "core2", "--ignore", "--unignore").fails(exitUsage, "one of --ignore and --unignore")
	for _, word := range []string{"disable", "enable", "ignore", "unignore"} {
		s.call("device", word, "nobody").fails(exitNotFound, "device list")
		s.call("device", word).fails(exitUsage, "HOST")
	}
	s.call("device", "remove", "core2", "--keep-history", "--delete-history").fails(exitUsage, "one of")
	s.unchanged(before)
	if out := s.ok("device", "remove", "core2", "--delete-history"); !strings.Contains(out, "192.0.2.9 are to go") || !strings.Contains(out, "--only-deleted") {
		t.Errorf("removed with its history: %q", out)
	}
	if out := s.ok("device", "remove", "sw1", "--keep-history"); !strings.Contains(out, "stay in sw1") {
		t.Errorf("removed without it: %q", out)
	}
}
