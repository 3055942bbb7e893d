package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pollux/config"
	"pollux/polluxtest"
)

// grouped is a site with poller groups on and two of them: 1, south, and 2, north.
func grouped(t testing.TB) *site {
	t.Helper()
	s := migrated(t)
	s.turnOnGroups()
	s.ok("group", "create", "south", "--description", "the south wing")
	s.ok("group", "create", "north")
	return s
}

func TestGroupCommands(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	s.ok("device", "add", "sw1", "-f", "-g", "south")
	s.ok("device", "add", "sw2", "-f", "-g", "1")
	s.ok("config", "set", "default_poller_group", "2")
	added := decode[object](s.call("device", "add", "sw3", "-f", "--json"))
	if added["poller_group"] != 2.0 {
		t.Errorf("without -g: %v", added)
	}
	want := []object{
		{"id": 0.0, "name": "General", "description": "Devices that are in no other group", "devices": 0.0, "default": false},
		{"id": 1.0, "name": "south", "description": "the south wing", "devices": 2.0, "default": false},
		{"id": 2.0, "name": "north", "description": "", "devices": 1.0, "default": true},
	}
	found := decode[list](s.call("group", "list", "--json")).Items
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("listed %v, want %v", found, want)
	}
	out := s.ok("group", "list")
	for _, row := range []string{`ID +NAME +DEVICES +LIVE NODES`, `1 +south +2 .*the south wing`, `2 +north +1 +default`} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out) {
			t.Errorf("no row %s in:\n%s", row, out)
		}
	}
	renamed := decode[object](s.call("group", "set", "south", "--name", "Süd", "--json"))
	checkNames(t, renamed)
	if renamed["id"] != 1.0 || renamed["name"] != "Süd" || renamed["description"] != "the south wing" || renamed["devices"] != 2.0 {
		t.Errorf("renamed: %v", renamed)
	}
	if out := s.ok("group", "set", "1", "--description", ""); out != "changed poller group 1 (Süd)\n" {
		t.Errorf("group set says %q", out)
	}
	s.execute("INSERT INTO nodes (role, node_id, host, pid, version, assigned_groups, last_seen, started_at) VALUES " +
		"('consumer', 'c1', '', 0, '', '1', 0, 0), ('consumer', 'c2', '', 0, '', NULL, 0, 0), ('producer', 'p1', '', 0, '', NULL, 0, 0)")
	shown := decode[object](s.call("group", "show", "Süd", "--json"))
	checkNames(t, shown)
	if shown["id"] != 1.0 || shown["description"] != "" || fmt.Sprint(shown["nodes"]) != "[c1]" {
		t.Errorf("shown: %v", shown)
	}
	if shown := decode[object](s.call("group", "show", "0", "--json")); fmt.Sprint(shown["nodes"]) != "[c2]" {
		t.Errorf("group 0: %v", shown)
	}
	if out := s.ok("group", "show", "north"); !strings.Contains(out, "default") || !strings.Contains(out, "none: its devices are not polled") {
		t.Errorf("group show says:\n%s", out)
	}
}

func TestDeviceSetMovesOneDevice(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	s.ok("device", "add", "sw1", "-f", "-2", "-c", canaryCommunity)
	s.ok("device", "add", "sw2", "-f")
	for group, want := range map[string]float64{"south": 1, "2": 2, "0": 0} {
		if out := s.ok("device", "set", "sw1", "--group", group); !strings.HasPrefix(out, "changed sw1") {
			t.Errorf("device set says %q", out)
		}
		if shown := decode[object](s.call("device", "show", "sw1", "--json")); shown["poller_group"] != want || shown["snmp_version"] != "v2c" {
			t.Errorf("moved to %s: %v", group, shown)
		}
	}
	if s.credentials("sw1").Credentials.Community.Reveal() != canaryCommunity {
		t.Error("the community changed")
	}
	if other := decode[object](s.call("device", "show", "sw2", "--json")); other["poller_group"] != 0.0 {
		t.Errorf("the other device: %v", other)
	}
}

func TestGroupRemove(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	s.ok("device", "add", "sw1", "-f", "-g", "south")
	s.ok("config", "set", "default_poller_group", "2")
	s.execute("INSERT INTO nodes (role, node_id, host, pid, version, assigned_groups, own_groups, last_seen, started_at) VALUES " +
		"('consumer', 'c1', '', 0, '', '1', NULL, 0, 0), ('consumer', 'c2', '', 0, '', '2,1', NULL, 0, 0), ('consumer', 'c3', '', 0, '', NULL, '1', 0, 0)")
	before := dump(t, s.database())
	s.call("group", "remove", "south").fails(exitUsage, "poller group 1 (south) has 1 devices", "--yes")
	s.callWith("y\n", "group", "remove", "south").fails(exitUsage, "--yes") // a pipe is nobody who was asked
	s.unchanged(before)
	out := s.ok("group", "remove", "south", "--yes")
	for _, says := range []string{
		"removed poller group 1 (south); 1 devices went to group 2 (north)", "no longer assigned to it: c2", "polling nothing: c1; assign with: pollux node set",
		"DISTRIBUTED_POLLER_GROUP in the .env still names it: c3",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("group remove does not say %q:\n%s", says, out)
		}
	}
	gone := decode[object](s.call("group", "remove", "2", "--yes", "--json"))
	checkNames(t, gone)
	if gone["devices"] != 1.0 || gone["to"] != 0.0 || gone["was_default"] != true || fmt.Sprint(gone["idle_nodes"]) != "[c2]" || fmt.Sprint(gone["unassigned_nodes"]) != "[]" {
		t.Errorf("removed: %v", gone)
	}
	if out := s.ok("config", "get", "default_poller_group"); out != "0\n" {
		t.Errorf("the default group is %q", out)
	}
	s.ok("group", "create", "empty")
	if out := s.ok("group", "remove", "empty"); !strings.Contains(out, "removed poller group 3 (empty); 0 devices") { // without devices nothing is asked
		t.Errorf("group remove says %q", out)
	}
	if shown := decode[object](s.call("group", "create", "again", "--json")); shown["id"] != 4.0 {
		t.Errorf("the next group is %v", shown)
	}
	if shown := decode[object](s.call("device", "show", "sw1", "--json")); shown["poller_group"] != 0.0 {
		t.Errorf("the device: %v", shown)
	}
}

// Groups stay out of sight until they are on.
func TestGroupsAreHiddenWhileOff(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	before := dump(t, s.database())
	for _, args := range [][]string{
		{"group", "list"}, {"group", "list", "--json"}, {"group", "create", "south"}, {"group", "show", "0"}, {"group", "set", "0", "--name", "x"}, {"group", "remove", "0", "--yes"},
		{"device", "add", "new", "-f", "-g", "0"}, {"device", "set", "sw1", "-g", "0"}, {"device", "list", "-g", "0"}, {"device", "set", "--where", "group=0", "--disable", "--yes"},
	} {
		s.call(args...).fails(exitUsage, "pollux config set distributed_poller true")
	}
	s.unchanged(before)
	if out := s.ok("device", "list") + s.ok("device", "show", "sw1"); strings.Contains(strings.ToLower(out), "group") {
		t.Errorf("groups are shown:\n%s", out)
	}
	s.turnOnGroups()
	if out := s.ok("device", "list"); !strings.Contains(out, "GROUP") || !strings.Contains(out, "General") {
		t.Errorf("groups are not shown:\n%s", out)
	}
	if out := s.ok("device", "show", "sw1"); !regexp.MustCompile(`(?m)^group +0 \(General\)$`).MatchString(out) {
		t.Errorf("the group is not shown:\n%s", out)
	}
	if out := s.ok("device", "add", "sw2", "-f"); !strings.Contains(out, "by poller group 0") {
		t.Errorf("device add says %q", out)
	}
}

func TestBadGroupsChangeNothing(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	before := dump(t, s.database())
	const form = "1 to 64 bytes of printable text"
	for _, m := range []mistake{
		{name: "empty", args: []string{"group", "create", ""}, code: exitUsage, says: []string{form}},
		{name: "blank", args: []string{"group", "create", "  "}, code: exitUsage, says: []string{form}},
		{name: "escape sequence", args: []string{"group", "create", "a\x1b[2J"}, code: exitUsage, says: []string{form}},
		{name: "right to left", args: []string{"group", "create", "a\u202eb"}, code: exitUsage, says: []string{form}},
		{name: "long", args: []string{"group", "create", strings.Repeat("a", 65)}, code: exitUsage, says: []string{form}},
		{name: "number", args: []string{"group", "create", "12"}, code: exitUsage, says: []string{"would be taken for the id"}},
		{name: "comma", args: []string{"group", "create", "a,b"}, code: exitUsage, says: []string{"a comma stands between"}},
		{name: "renamed with a comma", args: []string{"group", "set", "south", "--name", "a,b"}, code: exitUsage, says: []string{"a comma stands between"}},
		{name: "taken", args: []string{"group", "create", "south"}, code: exitFailure, says: []string{"there is one already", "south"}},
		{name: "no name", args: []string{"group", "create"}, code: exitUsage, says: []string{"pollux group create NAME"}},
		{name: "renamed to another's", args: []string{"group", "set", "south", "--name", "north"}, code: exitFailure, says: []string{"there is one already"}},
		{name: "nothing to change", args: []string{"group", "set", "south"}, code: exitUsage, says: []string{"say what to change"}},
		{name: "group 0 renamed", args: []string{"group", "set", "0", "--name", "x"}, code: exitUsage, says: []string{"group 0 is always there"}},
		{name: "group 0 removed", args: []string{"group", "remove", "0", "--yes"}, code: exitUsage, says: []string{"group 0 is always there"}},
		{name: "unknown shown", args: []string{"group", "show", "77", "--json"}, code: exitNotFound, says: []string{"no poller group 77", "group list"}},
		{name: "unknown set", args: []string{"group", "set", "west", "--name", "x"}, code: exitNotFound, says: []string{"no poller group west"}},
		{name: "unknown removed", args: []string{"group", "remove", "-77", "--yes"}, code: exitUsage, says: []string{"--help"}},
		{name: "unknown and no letter", args: []string{"group", "remove", "\x00", "--yes"}, code: exitNotFound, says: []string{"no poller group ?"}},
		{name: "unknown verb", args: []string{"group", "lisst"}, code: exitUsage, says: []string{"did you mean list?"}},
		{name: "unknown default", args: []string{"config", "set", "default_poller_group", "77"}, code: exitNotFound, says: []string{"no poller group 77", "group list"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			r := s.call(m.args...)
			r.fails(m.code, m.says...)
			if r.out != "" {
				t.Errorf("the standard output is not empty: %s", r.out)
			}
			s.unchanged(before)
		})
	}
}

// The same on the servers for which groups are meant, turned on as an operator does.
func TestGroupsOnServers(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) config.Database{"MariaDB": polluxtest.MariaDB, "PostgreSQL": polluxtest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t, databaseVariables(database(t))...)
			s.call("group", "list").fails(exitUsage, "config set distributed_poller true")
			s.ok("config", "set", "distributed_poller", "true")
			s.ok("group", "create", "Zürich")
			s.ok("group", "create", "Genève")
			s.ok("device", "add", "sw_1", "-f", "-g", "Zürich")
			s.ok("device", "add", "sw-1", "-f", "-g", "Zürich")
			s.ok("config", "set", "default_poller_group", "2")
			if out := s.ok("device", "set", "--where", "hostname=SW_*", "--where", "group=Zürich", "--group", "Genève", "--yes"); out != "devices that fit: 1, changed: 1\n" {
				t.Errorf("device set says %q", out)
			}
			s.call("group", "create", "Genève").fails(exitFailure, "there is one already")
			if out := s.ok("group", "remove", "Zürich", "--yes"); !strings.Contains(out, "1 devices went to group 2 (Genève)") {
				t.Errorf("group remove says %q", out)
			}
			if found := decode[list](s.call("device", "list", "-g", "2", "--json")).Items; len(found) != 2 {
				t.Errorf("in the other group: %v", found)
			}
			if out := s.ok("group", "remove", "Genève", "--yes"); !strings.Contains(out, "went to group 0 (General)") {
				t.Errorf("group remove says %q", out)
			}
			if shown := decode[object](s.call("group", "create", "new", "--json")); shown["id"] != 3.0 {
				t.Errorf("the next group is %v", shown)
			}
			s.ok("config", "set", "distributed_poller", "false")
			s.call("group", "list").fails(exitUsage, "config set distributed_poller true")
		})
	}
}
