package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/simulator"
)

// object is a JSON object, read without the program's own types: names and forms are the contract.
type object = map[string]any

// list is how every list looks.
type list struct {
	Items []object `json:"items"`
}

var (
	jsonTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// checkNames looks at every name of an object and of those in it.
func checkNames(t testing.TB, value any) {
	t.Helper()
	switch value := value.(type) {
	case object:
		for name, inner := range value {
			if !snakeCase.MatchString(name) {
				t.Errorf("the name %q is not in snake_case", name)
			}
			if _, isNumber := inner.(float64); (name == "id" || strings.HasSuffix(name, "_id")) && name != "sys_object_id" && !isNumber {
				t.Errorf("%s is %v, not a number", name, inner)
			}
			checkNames(t, inner)
		}
	case []any:
		for _, inner := range value {
			checkNames(t, inner)
		}
	}
}

func TestDeviceAddStoresThePortsAtOnce(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t)
	out := s.ok("device", "add", "sw1", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity, "--interval", "60")
	if want := "added sw1 as device 1: 3 ports, polled every 60 s\n"; out != want {
		t.Errorf("device add says %q, want %q", out, want)
	}
	shown := decode[object](s.call("device", "show", "sw1", "--json"))
	checkNames(t, shown)
	for name, want := range (object{
		"id": 1.0, "hostname": "sw1", "address": "127.0.0.1", "transport": "udp", "snmp_version": "v2c", "poller_group": 0.0, "interval": 60.0,
		"disabled": false, "status": "up", "rrd_dir": "sw1", "sys_name": "sim-00000",
	}) {
		if shown[name] != want {
			t.Errorf("%s is %v, want %v", name, shown[name], want)
		}
	}
	if polled, _ := shown["last_polled"].(string); !jsonTime.MatchString(polled) {
		t.Errorf("last_polled is %q", polled)
	}
	ports, _ := shown["ports"].([]any)
	if len(ports) != 3 {
		t.Fatalf("%d ports, want 3", len(ports))
	}
	first, _ := ports[0].(object)
	if first["if_index"] != 1.0 || first["if_speed"] != 1e9 || first["if_name"] == "" || first["vanished"] != false {
		t.Errorf("port %v", first)
	}
	if byID := s.ok("device", "show", "1", "--json"); byID != s.ok("device", "show", "sw1", "--json") {
		t.Errorf("by its id the device is another: %s", byID)
	}
	people := s.ok("device", "show", "sw1")
	for _, word := range []string{"v2c on udp port " + port, "sim-00000", "60 s", "days", "PORT"} {
		if !strings.Contains(people, word) {
			t.Errorf("device show does not say %q:\n%s", word, people)
		}
	}
}

func TestDeviceListShapes(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	if out := s.ok("device", "list", "--json"); strings.Join(strings.Fields(out), "") != `{"items":[]}` {
		t.Errorf("an empty list is %s", out)
	}
	s.ok("device", "add", "sw1", "-f", "-2", "-c", canaryCommunity)
	s.ok("device", "add", "sw2", "-f", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	s.ok("device", "set", "sw2", "--disable")
	found := decode[list](s.call("device", "list", "--json"))
	if len(found.Items) != 2 {
		t.Fatalf("%d devices, want 2", len(found.Items))
	}
	for _, item := range found.Items {
		checkNames(t, item)
		if value, there := item["last_polled"]; !there || value != nil {
			t.Errorf("last_polled of a device that was never polled is %v", value)
		}
	}
	if found.Items[0]["status"] != "new" || found.Items[1]["status"] != "disabled" || found.Items[1]["snmp_version"] != "v3" {
		t.Errorf("devices %v", found.Items)
	}
	if some := decode[list](s.call("device", "list", "--json", "--status", "disabled")); len(some.Items) != 1 || some.Items[0]["hostname"] != "sw2" {
		t.Errorf("disabled are %v", some.Items)
	}
	if out := s.ok("device", "list"); strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, "ID ") || !strings.Contains(out, "never") {
		t.Errorf("the table:\n%s", out)
	}
	if out := s.ok("device", "list"); strings.Contains(out, "GROUP") {
		t.Errorf("the table shows groups while they are off:\n%s", out)
	}
}

func TestDeviceSetChangesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f", "-1", "-c", "CANARY-one")
	s.ok("device", "set", "sw1", "-d", "core1", "--interval", "30", "--address", "192.0.2.7", "-r", "1161")
	shown := decode[object](s.call("device", "show", "core1", "--json"))
	for name, want := range (object{"hostname": "core1", "rrd_dir": "sw1", "interval": 30.0, "address": "192.0.2.7", "port": 1161.0, "snmp_version": "v1"}) {
		if shown[name] != want {
			t.Errorf("%s is %v, want %v", name, shown[name], want)
		}
	}
	s.call("device", "show", "sw1").fails(exitNotFound)
	s.ok("device", "set", "core1", "--disable")
	if shown = decode[object](s.call("device", "set", "core1", "--enable", "--json")); shown["disabled"] != false || shown["interval"] != 30.0 {
		t.Errorf("enabled again: %v", shown)
	}
}

func TestDeviceRemove(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	if out := s.ok("device", "remove", "sw1"); !strings.Contains(out, "removed sw1 (device 1)") || !strings.Contains(out, "stay") {
		t.Errorf("device remove says %q", out)
	}
	s.call("device", "show", "sw1").fails(exitNotFound)
	s.call("device", "remove", "1").fails(exitNotFound)
	again := decode[object](s.call("device", "add", "sw1", "-f", "--json"))
	if again["id"] == 1.0 || again["rrd_dir"] == "sw1" {
		t.Errorf("the second device of the name takes over the files of the first: %v", again)
	}
}

func TestDevicePoll(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket)
	s.ok("device", "add", "sw1", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity)
	polled := decode[object](s.spawn("device", "poll", "sw1", "--json"))
	checkNames(t, polled)
	slot, _ := polled["slot"].(string)
	if polled["outcome"] != "up" || polled["ports"] != 3.0 || polled["journal"] != "accepted" || !jsonTime.MatchString(slot) {
		t.Errorf("device poll says %v", polled)
	}
	if out := s.spawn("device", "poll", "sw1", "-v").works(); !strings.HasPrefix(out, "sw1: up in ") || !strings.Contains(out, "module ports") {
		t.Errorf("device poll says %q", out)
	}
	s.ok("device", "set", "sw1", "-c", "CANARY-wrong")
	s.spawn("device", "poll", "sw1").fails(exitUnreachable, "check address, port, community")
	s.ok("device", "set", "sw1", "-3", "-u", "nobody", "-A", canaryAuth, "-X", canaryPriv)
	r := s.spawn("device", "poll", "sw1", "--json")
	r.fails(exitCredentials, "unknownUserNames")
	var refused object
	if err := json.Unmarshal([]byte(r.out), &refused); err != nil || refused["outcome"] != "auth" {
		t.Errorf("the output beside the error: %v: %s", err, r.out)
	}
	if status := s.credentials("sw1").Status; status != device.StatusAuth {
		t.Errorf("the device's status is %s, want auth", status)
	}
}
