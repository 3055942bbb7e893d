package main

import (
	"fmt"
	"strings"
	"testing"
)

// fleetSite has four devices in groups 1 and 2: sw-a (60 s), sw-b (v3), rt-a (disabled) and rt-b.
func fleetSite(t testing.TB) *site {
	t.Helper()
	s := grouped(t)
	s.ok("device", "add", "sw-a", "-f", "-2", "-c", canaryCommunity, "-g", "south", "--interval", "60")
	s.ok("device", "add", "sw-b", "-f", "-3", "-u", "monitor", "-A", canaryAuth, "-g", "south")
	s.ok("device", "add", "rt-a", "-f", "-1", "-g", "north")
	s.ok("device", "add", "rt-b", "-f", "-2", "-g", "north")
	s.ok("device", "set", "rt-a", "--disable")
	return s
}

// hostnames are those of a result of device set --where.
func hostnames(many object) string {
	var names []string
	found, _ := many["items"].([]any)
	for _, item := range found {
		names = append(names, fmt.Sprint(item.(object)["hostname"]))
	}
	return strings.Join(names, " ")
}

func TestDeviceSetWhereChooses(t *testing.T) {
	t.Parallel()
	s := fleetSite(t)
	before := dump(t, s.database())
	for where, want := range map[string]string{
		"group=south": "sw-a sw-b", "group=2": "rt-a rt-b", "hostname=sw-*": "sw-a sw-b", "hostname=??-A": "sw-a rt-a", "hostname=rt-b": "rt-b", "interval=60": "sw-a",
		"disabled=true": "rt-a", "disabled=false": "sw-a sw-b rt-b", "version=v3": "sw-b", "version=v1": "rt-a", "status=new": "sw-a sw-b rt-b", "status=disabled": "rt-a",
		"status=up": "", "group=south hostname=*-b": "sw-b", "hostname=*a hostname=rt*": "rt-a", "group=north disabled=false version=v2c": "rt-b",
	} {
		args := []string{"device", "set", "--interval", "30", "--dry-run", "--json"}
		for condition := range strings.FieldsSeq(where) {
			args = append(args, "--where", condition)
		}
		many := decode[object](s.call(args...))
		checkNames(t, many)
		if got := hostnames(many); got != want || many["dry_run"] != true || many["changed"] != 0.0 || many["matched"] != float64(len(strings.Fields(want))) {
			t.Errorf("%s: %v, want %s", where, many, want)
		}
	}
	if out := s.ok("device", "set", "--where", "group=south", "--group", "north", "--dry-run"); !strings.HasPrefix(out, "devices that fit: 2; nothing was changed\nID ") || !strings.Contains(out, "sw-a") {
		t.Errorf("a dry run says:\n%s", out)
	}
	if out := s.ok("device", "set", "--where", "status=up", "--group", "north"); out != "devices that fit: 0; nothing was changed\n" {
		t.Errorf("when none fits: %q", out)
	}
	s.unchanged(before)
}

func TestDeviceSetWhereChanges(t *testing.T) {
	t.Parallel()
	s := fleetSite(t)
	if out := s.ok("device", "set", "--where", "group=1", "--group", "north", "--interval", "120", "--yes"); out != "devices that fit: 2, changed: 2\n" {
		t.Errorf("device set says %q", out)
	}
	for _, item := range decode[list](s.call("device", "list", "--json", "-g", "2")).Items {
		moved := strings.HasPrefix(item["hostname"].(string), "sw-")
		if moved != (item["interval"] == 120.0) {
			t.Errorf("now %v", item)
		}
	}
	if left := decode[list](s.call("device", "list", "--json", "-g", "south")).Items; len(left) != 0 {
		t.Errorf("left in the group: %v", left)
	}
	s.ok("device", "set", "--where", "hostname=*", "--disable", "--yes")
	if left := decode[list](s.call("device", "list", "--json", "--status", "new")).Items; len(left) != 0 {
		t.Errorf("not disabled: %v", left)
	}
	s.ok("device", "set", "--where", "hostname=*", "--enable", "-r", "1161", "-t", "tcp", "--timeout", "3s", "--retries", "1", "--yes")
	for _, item := range decode[list](s.call("device", "list", "--json")).Items {
		if item["port"] != 1161.0 || item["transport"] != "tcp" || item["snmp_timeout"] != 3.0 || item["snmp_retries"] != 1.0 || item["disabled"] != false {
			t.Errorf("now %v", item)
		}
	}
	// A secret is read once for all of them.
	s.callWith("CANARY-line\n", "device", "set", "--where", "version=v2c", "-c", "-", "--yes").works()
	for _, name := range []string{"sw-a", "rt-b"} {
		if got := s.credentials(name).Credentials; got.Community.Reveal() != "CANARY-line" {
			t.Errorf("the community of %s did not change", name)
		}
	}
}

// Each device is changed by itself, and what fails is told.
func TestDeviceSetWhereTellsFailures(t *testing.T) {
	t.Parallel()
	s := fleetSite(t)
	s.execute("UPDATE devices SET auth_password = 'not sealed' WHERE hostname = 'sw-b'")
	r := s.call("device", "set", "--where", "hostname=sw-*", "--interval", "90", "--yes")
	r.fails(exitCredentials, "changed 1, failed 1: sw-b: ")
	if !strings.Contains(r.out, "devices that fit: 2, changed: 1\nsw-b: change the device 2: ") {
		t.Errorf("it says %q", r.out)
	}
	r = s.call("device", "set", "--where", "hostname=sw-*", "--interval", "100", "--yes", "--json")
	r.fails(exitCredentials, "changed 1, failed 1: sw-b: ")
	r.code, r.errout = exitOK, ""
	many := decode[object](r)
	if many["matched"] != 2.0 || many["changed"] != 1.0 || many["failed"] != 1.0 || hostnames(many) != "sw-a sw-b" {
		t.Errorf("as JSON: %v", many)
	}
	if shown := decode[object](s.call("device", "show", "sw-a", "--json")); shown["interval"] != 100.0 {
		t.Errorf("the other one: %v", shown)
	}
}

func TestBadBulkChangesNothing(t *testing.T) {
	t.Parallel()
	s := fleetSite(t)
	before := dump(t, s.database())
	where := func(condition string, more ...string) []string {
		return append([]string{"device", "set", "--yes", "--interval", "60", "--where", condition}, more...)
	}
	for _, m := range []mistake{
		{name: "no yes", args: []string{"device", "set", "--where", "group=1", "--group", "2"}, code: exitUsage, says: []string{"devices that fit: 2", "say --yes"}},
		{name: "yes in a pipe", in: "y\n", args: []string{"device", "set", "--where", "group=1", "--group", "2"}, code: exitUsage, says: []string{"say --yes"}},
		{name: "with a host", args: where("group=1", "sw-a"), code: exitUsage, says: []string{"not both"}},
		{name: "two hosts", args: []string{"device", "set", "sw-a", "sw-b", "--interval", "60"}, code: exitUsage, says: []string{"2 arguments"}},
		{name: "neither", args: []string{"device", "set", "--interval", "60"}, code: exitUsage, says: []string{"pollux device set [HOST]", "--where KEY=VALUE"}},
		{name: "yes without where", args: []string{"device", "set", "sw-a", "--interval", "60", "--yes"}, code: exitUsage, says: []string{"belong to --where"}},
		{name: "dry run without where", args: []string{"device", "set", "sw-a", "--interval", "60", "--dry-run"}, code: exitUsage, says: []string{"belong to --where"}},
		{name: "hostname for all", args: where("group=1", "-d", "new"), code: exitUsage, says: []string{"of one device"}},
		{name: "address for all", args: where("group=1", "--address", "192.0.2.1"), code: exitUsage, says: []string{"of one device"}},
		{name: "nothing to change", args: []string{"device", "set", "--where", "group=1", "--yes"}, code: exitUsage, says: []string{"say what to change"}},
		{name: "no condition", args: where(""), code: exitUsage, says: []string{"KEY=VALUE"}},
		{name: "no value", args: where("group"), code: exitUsage, says: []string{"KEY=VALUE"}},
		{name: "unknown key", args: where("os=ios"), code: exitUsage, says: []string{"group, status, hostname", `"os"`}},
		{name: "twice", args: where("group=1", "--where", "group=2"), code: exitUsage, says: []string{"twice"}},
		{name: "unknown group", args: where("group=west"), code: exitNotFound, says: []string{"no poller group west"}},
		{name: "unknown target", args: []string{"device", "set", "--yes", "--where", "group=1", "--group", "77"}, code: exitNotFound, says: []string{"no poller group 77"}},
		{name: "unknown status", args: where("status=broken"), code: exitUsage, says: []string{"up, down, auth"}},
		{name: "empty status", args: where("status="), code: exitUsage, says: []string{"up, down, auth"}},
		{name: "bad interval", args: where("interval=5"), code: exitUsage, says: []string{"10 to 3600"}},
		{name: "bad disabled", args: where("disabled=yes"), code: exitUsage, says: []string{"true or false"}},
		{name: "bad version", args: where("version=4"), code: exitUsage, says: []string{"v1, v2c or v3"}},
		{name: "empty pattern", args: where("hostname="), code: exitUsage, says: []string{"pattern"}},
		{name: "bad pattern", args: where("hostname=sw'%"), code: exitUsage, says: []string{"pattern", "* and ?"}},
		{name: "new interval", args: []string{"device", "set", "--yes", "--where", "group=1", "--interval", "5"}, code: exitUsage, says: []string{"10 to 3600"}},
		{name: "new port", args: where("group=1", "-r", "0"), code: exitUsage, says: []string{"1 to 65535"}},
		{name: "new timeout", args: where("group=1", "--timeout", "1ms"), code: exitUsage, says: []string{"100ms to 1m"}},
		{name: "new retries", args: where("group=1", "--retries", "21"), code: exitUsage, says: []string{"0 to 20"}},
		{name: "on and off", args: where("group=1", "--enable", "--disable"), code: exitUsage, says: []string{"one of --enable and --disable"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			r := s.callWith(m.in, m.args...)
			r.fails(m.code, m.says...)
			if r.out != "" {
				t.Errorf("the standard output is not empty: %s", r.out)
			}
			s.unchanged(before)
		})
	}
}
