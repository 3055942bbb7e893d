package main

import (
	"path/filepath"
	"strings"
	"testing"

	"pollux/polluxtest"
	"pollux/simulator"
)

const ownDefinition = `os: acmeswitch
text: Acme switch
type: network
detect:
  - sysObjectID: 1.3.6.1.4.1.99999.1
processors:
  - scalars: 1.3.6.1.4.1.99999.3
    columns: {usage: 1}
    value: usage
    descr: "Control plane"
sensors:
  - table: 1.3.6.1.4.1.99999.4.1
    columns: {name: 2, celsius: 3}
    class: temperature
    value: celsius
    divisor: 10
    descr: "{name}"
    limits: {high: 60}
`

// acme answers for a device that only the user's own definition knows.
func acme(s *site) (port string) {
	s.write("acme.snmprec", strings.Join([]string{
		"1.3.6.1.2.1.1.1.0|4|Acme switch 7", "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1.7", "1.3.6.1.2.1.1.3.0|67|100000", "1.3.6.1.2.1.1.5.0|4|acme1",
		"1.3.6.1.4.1.99999.3.1.0|66|37", "1.3.6.1.4.1.99999.4.1.2.1|4|Inlet", "1.3.6.1.4.1.99999.4.1.2.2|4|Outlet",
		"1.3.6.1.4.1.99999.4.1.3.1|2|215", "1.3.6.1.4.1.99999.4.1.3.2|2|655",
	}, "\n")+"\n")
	return agents(s.t, simulator.Config{Recordings: s.dir})
}

func TestDefinitionsAreCheckedWithTheirLines(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null")
	good := s.write("os/acmeswitch.yaml", ownDefinition)
	if out := s.ok("definitions", "check", good); !strings.Contains(out, good+": ok") {
		t.Errorf("check says %q", out)
	}
	bad := s.write("other/os/bad.yaml", strings.NewReplacer("acmeswitch", "bad", "divisor: 10", "divisor: ten%", "{name}", "{name").Replace(ownDefinition))
	result := s.call("definitions", "check", good, bad)
	result.fails(2, "1 of 2 files")
	for _, line := range []string{bad + ": line 16:", bad + ": line 17:"} {
		if !strings.Contains(result.out, line) {
			t.Errorf("check does not say %q:\n%s", line, result.out)
		}
	}
	s.call("definitions", "check", filepath.Join(s.dir, "nowhere.yaml")).fails(2, "1 of 1 files")
	s.call("definitions", "check").fails(2, "pollux definitions check FILE...", "no FILE was given")
	list := decode[items[listedOS]](s.call("definitions", "list", "--definitions", s.dir, "--json")).Items
	found := 0
	for _, o := range list {
		if o.OS == "acmeswitch" && o.File == good || o.OS == "linux" && o.Text != "" {
			found++
		}
	}
	if found != 2 || len(list) < 100 {
		t.Errorf("%d operating systems are listed, %d of the two that are looked for", len(list), found)
	}
}

func TestAnOwnDefinitionIsUsed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null")
	port := acme(s)
	if out := s.ok("inspect", "127.0.0.1:"+port, "-2", "-c", "acme"); !strings.Contains(out, "generic") {
		t.Errorf("without the definition inspect says:\n%s", out)
	}
	s.write("definitions/os/acmeswitch.yaml", ownDefinition)
	s.write("definitions/os/broken.yaml", "os: broken\n")
	result := s.with("POLLUX_DEFINITIONS_DIR="+filepath.Join(s.dir, "definitions")).call("inspect", "127.0.0.1:"+port, "-2", "-c", "acme")
	if result.code != exitOK {
		t.Errorf("inspect: exit code %d", result.code)
	}
	for _, word := range []string{"acmeswitch", "Control plane", "37 %", "Inlet", "21.5", "Outlet", "65.5"} {
		if !strings.Contains(result.out, word) {
			t.Errorf("inspect does not say %q:\n%s", word, result.out)
		}
	}
	if !strings.Contains(result.errout, "broken.yaml") {
		t.Errorf("the broken file is not told of: %q", result.errout)
	}
}

// What is a port is the same for a device that is inspected, added and polled by hand.
func TestOwnRulesOfPortsHoldEverywhere(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.write("acme.snmprec", strings.Join([]string{
		"1.3.6.1.2.1.1.1.0|4|Acme switch 7", "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1.7", "1.3.6.1.2.1.1.3.0|67|100000",
		"1.3.6.1.2.1.2.2.1.2.1|4|front1", "1.3.6.1.2.1.2.2.1.2.2|4|cpu2", "1.3.6.1.2.1.2.2.1.8.1|2|1", "1.3.6.1.2.1.2.2.1.8.2|2|1",
	}, "\n")+"\n")
	port := agents(t, simulator.Config{Recordings: s.dir})
	s.write("definitions/os/acmeswitch.yaml", ownDefinition+"ports: {skip_ifDescr: [cpu]}\n")
	s = s.with("POLLUX_DEFINITIONS_DIR=" + filepath.Join(s.dir, "definitions"))
	if out := s.ok("device", "add", "acme1", "--address", "127.0.0.1", "-r", port, "-2", "-c", "acme"); !strings.Contains(out, "1 ports") {
		t.Errorf("add says %q", out)
	}
	if out := s.spawn("device", "poll", "acme1").works(); !strings.Contains(out, " 1 ports") {
		t.Errorf("poll says %q", out)
	}
	if out := s.ok("inspect", "127.0.0.1:"+port, "-2", "-c", "acme"); !strings.Contains(out, "front1") || strings.Contains(out, "cpu2") {
		t.Errorf("inspect says:\n%s", out)
	}
}

func TestADeviceIsDiscoveredByHand(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	port := acme(s)
	s.write("definitions/os/acmeswitch.yaml", ownDefinition)
	s = s.with("POLLUX_DEFINITIONS_DIR=" + filepath.Join(s.dir, "definitions"))
	s.ok("device", "add", "acme1", "--address", "127.0.0.1", "-r", port, "-2", "-c", "acme")
	if out := s.ok("device", "components", "acme1"); !strings.Contains(out, "none was discovered") {
		t.Errorf("before its discovery:\n%s", out)
	}
	if out := s.spawn("device", "discover", "acme1").works(); !strings.Contains(out, "OS acmeswitch, 1 processors, 0 memory pools, 0 storages, 2 sensors") {
		t.Errorf("discover says %q", out)
	}
	list := decode[items[componentJSON]](s.call("device", "components", "acme1", "--json", "--kind", "sensor")).Items
	if len(list) != 2 || list[0].Value != 21.5 || list[0].Status != "ok" || list[1].Status != "critical" || *list[1].High != 60 {
		t.Errorf("components %+v", list)
	}
	if out := s.ok("device", "show", "acme1"); !strings.Contains(out, "acmeswitch") {
		t.Errorf("show does not name the OS:\n%s", out)
	}
	s.call("device", "components", "acme1", "--kind", "fan").fails(2, "--kind")
	s.spawn("device", "discover", "nobody").fails(3, "nobody")
	s.ok("device", "add", "gone", "--address", "127.0.0.1", "-r", "9", "-2", "-c", "acme", "--force")
	s.spawn("device", "discover", "gone").fails(5)
}
