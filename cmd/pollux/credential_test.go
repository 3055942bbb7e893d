package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestCredentialCommands(t *testing.T) {
	t.Parallel()
	s := migrated(t, "COMMUNITY="+canaryCommunity)
	if out := s.ok("credential", "list", "--json"); strings.Join(strings.Fields(out), "") != `{"items":[]}` {
		t.Errorf("an empty list is %s", out)
	}
	if out := s.ok("credential", "add", "old", "-c", "env:COMMUNITY"); out != "added credential set old, order 10\n" {
		t.Errorf("credential add says %q", out)
	}
	s.callWith(canaryAuth+"\n"+canaryPriv+"\n", "credential", "add", "core", "-3", "-u", "monitor", "-A", "-", "-X", "-", "--order", "5").works()
	shown := decode[object](s.call("credential", "show", "core", "--json"))
	checkNames(t, shown)
	for name, want := range (object{"name": "core", "order": 5.0, "snmp_version": "v3", "user": "monitor", "level": "authPriv", "auth_protocol": "SHA-256", "priv_protocol": "AES", "poller_groups": nil, "opens": true}) {
		if shown[name] != want {
			t.Errorf("%s is %v, want %v", name, shown[name], want)
		}
	}
	if page := s.ok("credential", "list"); !regexp.MustCompile(`(?s)^ORDER +NAME +VERSION +USER +LEVEL *\n5 +core +v3 +monitor +authPriv *\n10 +old +v2c *\n$`).MatchString(page) {
		t.Errorf("the list:\n%s", page)
	}
	if page := s.ok("credential", "show", "core"); !strings.Contains(page, "authPriv") || strings.Contains(page, "groups") {
		t.Errorf("shown as\n%s", page)
	}
	s.ok("credential", "set", "core", "--name", "backbone", "--order", "20", "-x", "AES-256")
	if got := decode[object](s.call("credential", "show", "backbone", "--json")); got["order"] != 20.0 || got["priv_protocol"] != "AES-256" || got["auth_protocol"] != "SHA-256" {
		t.Errorf("changed: %v", got)
	}
	s.ok("credential", "set", "old", "-1")
	if got := decode[object](s.call("credential", "show", "old", "--json")); got["snmp_version"] != "v1" {
		t.Errorf("changed: %v", got)
	}
	if held := dump(t, s.database()); strings.Contains(held, canary) {
		t.Error("the database holds a secret that is not sealed")
	}
	told := strings.Join(s.events("credential"), "\n")
	for _, part := range []string{"credential set old (v2c) was added", "credential set core (v3) was added", "core was changed, and is called backbone"} {
		if !strings.Contains(told, part) {
			t.Errorf("the eventlog does not say %q:\n%s", part, told)
		}
	}
	if out := s.ok("credential", "remove", "old"); out != "removed credential set old\n" {
		t.Errorf("credential remove says %q", out)
	}
	before := dump(t, s.database())
	for _, m := range []mistake{
		{args: []string{"credential", "add", "new"}, code: exitUsage, says: []string{"-2 -c -", "-3 -u NAME"}},
		{args: []string{"credential", "add", "new", "-2"}, code: exitUsage, says: []string{"needs a community"}},
		{args: []string{"credential", "add", "new", "-3", "-A", canaryAuth}, code: exitUsage, says: []string{"user"}},
		{args: []string{"credential", "add", "new", "-1", "-2", "-c", "x"}, code: exitUsage, says: []string{"one of -1, -2 and -3"}},
		{args: []string{"credential", "add", "new", "-3", "-u", "m", "-A", "CANARY"}, code: exitUsage, says: []string{"shorter than 8"}},
		{args: []string{"credential", "add", "a b", "-c", "x"}, code: exitUsage, says: []string{"letters, digits"}},
		{args: []string{"credential", "add", "backbone", "-c", "x"}, code: exitFailure, says: []string{"there is one already", "backbone"}},
		{args: []string{"credential", "add", "new", "-c", "x", "--order", "0"}, code: exitUsage, says: []string{"1 to 1000000"}},
		{args: []string{"credential", "add", "new", "-c", "x", "--order", "1000001"}, code: exitUsage, says: []string{"1 to 1000000"}},
		{args: []string{"credential", "add", "new", "-c", "x", "--groups", "south"}, code: exitUsage, says: []string{"distributed_poller"}},
		{args: []string{"credential", "add", "new", "-c", "x", "-r", "161"}, code: exitUsage, says: []string{"unknown shorthand flag", "--help"}},
		{args: []string{"credential", "set", "backbone"}, code: exitUsage, says: []string{"say what to change"}},
		{args: []string{"credential", "set", "nobody", "--order", "3"}, code: exitNotFound, says: []string{"credential list"}},
		{args: []string{"credential", "show", "nobody"}, code: exitNotFound, says: []string{"credential list"}},
		{args: []string{"credential", "remove", "no\x1b[2Jbody"}, code: exitNotFound, says: []string{"credential list"}},
		{args: []string{"credential", "list", "more"}, code: exitUsage, says: []string{"1 arguments"}},
	} {
		s.call(m.args...).fails(m.code, m.says...)
	}
	s.unchanged(before)
}

// Sets can be for some poller groups, and lose one that is removed.
func TestCredentialSetsOfGroups(t *testing.T) {
	t.Parallel()
	s := grouped(t)
	s.ok("credential", "add", "general", "-c", canaryCommunity)
	s.ok("credential", "add", "south", "-c", canaryCommunity, "--groups", "south")
	if page := s.ok("credential", "list"); !regexp.MustCompile(`(?m)^10 +general +v2c +all *$`).MatchString(page) || !regexp.MustCompile(`(?m)^20 +south +v2c +south *$`).MatchString(page) {
		t.Errorf("the list:\n%s", page)
	}
	s.call("credential", "set", "south", "--groups", "77").fails(exitNotFound, "no poller group")
	s.call("credential", "set", "south", "--groups", "").fails(exitUsage, "--groups names poller groups")
	s.ok("credential", "set", "general", "--groups", "0,1")
	s.ok("group", "remove", "south")
	groups := func(name string) string {
		return strings.Join(strings.Fields(s.ok("credential", "show", name)), " ")
	}
	if text := groups("south"); !strings.Contains(text, "groups none") {
		t.Errorf("a set of a group that went: %s", text)
	}
	if text := groups("general"); !strings.Contains(text, "groups General") {
		t.Errorf("a set of two groups: %s", text)
	}
	s.ok("credential", "set", "south", "--groups", "all")
	if text := groups("south"); !strings.Contains(text, "groups all") {
		t.Errorf("a set of all groups again: %s", text)
	}
}
