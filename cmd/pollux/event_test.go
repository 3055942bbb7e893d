package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

// logged is a site whose eventlog holds something of every kind; the messages of what the test wrote are letters, in order.
func logged(t testing.TB) *site {
	t.Helper()
	s := migrated(t)
	s.ok("device", "add", "sw1", "-f")
	s.ok("config", "set", "snmp.timeout", "3")
	inventory := s.inventory()
	for i, e := range []device.Event{
		{Type: "down", Severity: device.SeverityError, DeviceID: 1, Node: "c1", Time: time.Now().Add(-8 * 24 * time.Hour)},
		{Type: "up", Severity: device.SeverityOK, DeviceID: 1, Node: "c2", Time: time.Now().Add(-2 * time.Hour)},
		{Type: "interface", Severity: device.SeverityNotice, DeviceID: 1, PortID: 7, Node: "c2"},
		{Type: "coverage", Severity: device.SeverityWarning, DeviceID: 77},
		{Type: "queue", Severity: device.SeverityNotice, Actor: "alice"},
	} {
		e.Message = string(rune('a' + i))
		if err := inventory.AddEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestEventList(t *testing.T) {
	t.Parallel()
	s := logged(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"device":           {[]string{"--device", "sw1"}, "c b a"},
		"device by id":     {[]string{"--device", "1", "--type", "up"}, "b"},
		"node":             {[]string{"--node", "c2"}, "c b"},
		"severity":         {[]string{"--severity", "warning"}, "d a"},
		"since":            {[]string{"--since", "7d", "--node", "c2"}, "c b"},
		"since a while":    {[]string{"--since", "90m", "--device", "sw1"}, "c"},
		"limit":            {[]string{"--limit", "2"}, "e d"},
		"nothing there":    {[]string{"--type", "reboot"}, ""},
		"several together": {[]string{"--type", "down", "--node", "c2"}, ""},
	} {
		var got []string
		for _, item := range decode[list](s.call(append([]string{"event", "list", "--json"}, c.args...)...)).Items {
			got = append(got, fmt.Sprint(item["message"]))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: events %q, want %s", name, got, c.want)
		}
	}
	audit := decode[list](s.call("event", "list", "--type", "settings", "--json")).Items
	if len(audit) != 4 || audit[0]["message"] != "snmp.timeout: 1 (default) -> 3" || audit[0]["actor"] != actor() || audit[0]["device_id"] != nil || audit[0]["severity"] != "notice" {
		t.Errorf("changed settings: %v", audit)
	}
	port := decode[list](s.call("event", "list", "--type", "interface", "--json")).Items[0]
	checkNames(t, port)
	if port["device_id"] != 1.0 || port["hostname"] != "sw1" || port["port_id"] != 7.0 || port["node"] != "c2" || !jsonTime.MatchString(fmt.Sprint(port["time"])) {
		t.Errorf("an event of a port: %v", port)
	}
	out := s.ok("event", "list")
	for _, row := range []string{
		`TIME \(UTC\) +TYPE +SEVERITY +DEVICE +NODE +ACTOR +MESSAGE`, `20.{17} +queue +notice +alice +e`, `20.{17} +coverage +warning +77 \(removed\) +d`,
		`20.{17} +interface +notice +sw1 port 7 +c2 +c`, `20.{17} +settings +notice +\S+ +snmp\.timeout: 1 \(default\) -> 3`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(out) {
			t.Errorf("no row %s in:\n%s", row, out)
		}
	}
}

// At most 100 are listed unless more are asked for, and what a device said cannot steer the terminal.
func TestEventListIsBoundedAndPlain(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	inventory := s.inventory()
	for range defaultEvents + 5 {
		event := device.Event{Type: "system", Message: "sysName: a -> \x1b[2J\u009b31m\u202eb\nc\td"}
		if err := inventory.AddEvent(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]int{"": defaultEvents, "--limit=10000": defaultEvents + 5} {
		words := append([]string{"event", "list", "--type", "system"}, strings.Fields(args)...)
		lines := strings.Split(strings.TrimSpace(s.ok(words...)), "\n")
		if len(lines) != 1+want || !strings.HasSuffix(lines[1], "  sysName: a -> [2J?31m?b c d") {
			t.Errorf("%q: %d lines, the first %q", words, len(lines), lines[1])
		}
	}
}

func TestEventListCompletesWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for flag, want := range map[string][]string{"--severity": severities(), "--type": device.EventTypes()} {
		lines := strings.Fields(s.call("__complete", "event", "list", flag, "").out)
		if len(lines) == 0 || !slices.Equal(lines[:len(lines)-1], want) { // the last one is for the shell
			t.Errorf("%s completes to %q", flag, lines)
		}
	}
}
