package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/admission"
	"pollux/simulator"
)

// searched is what discover --json prints, read without the program's own type.
type searched struct {
	Addresses int      `json:"addresses"`
	Excluded  int      `json:"excluded"`
	Items     []object `json:"items"`
}

func (r result) searched() (found searched, addresses []string) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), &found); err != nil {
		r.t.Fatalf("%s: %v:\n%s%s", r.line, err, r.out, r.errout)
	}
	for _, item := range found.Items {
		checkNames(r.t, item)
		addresses = append(addresses, fmt.Sprint(item["address"]))
	}
	return found, addresses
}

func TestDiscoverListsAndAdds(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{Listen: "127.83.0.0/24:0", Devices: 4})
	s := migrated(t)
	s.ok("config", "set", "nets", "127.83.0.0/24")
	s.ok("credential", "add", "wrong", "-3", "-u", "monitor", "-A", "CANARY-wrong-one", "-X", canaryPriv)
	s.ok("credential", "add", "right", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	s.ok("device", "add", "known", "--address", "127.83.0.2", "-r", port)
	before := dump(t, s.database())
	r := s.call("discover", "127.83.0.0/29", "-r", port, "--json")
	r.works()
	found, addresses := r.searched()
	if want := []string{"127.83.0.1", "127.83.0.2", "127.83.0.3", "127.83.0.4"}; !slices.Equal(addresses, want) || found.Addresses != 6 || found.Excluded != 0 {
		t.Errorf("found %v of %+v", addresses, found)
	}
	if first, second := found.Items[0], found.Items[1]; first["credential_set"] != "right" || first["sys_name"] != "sim-00000" || first["device_id"] != nil || second["hostname"] != "known" || second["device_id"] != 1.0 {
		t.Errorf("%v, %v", first, second)
	}
	page := s.ok("discover", "127.83.0.0/29", "-r", port)
	for _, part := range []string{"ADDRESS", "known (device 1)", "6 addresses, 4 agents, 1 of them known", "--add adds"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	s.unchanged(before)
	page = s.ok("discover", "127.83.0.1", "127.83.0.2/31", "-r", port, "--add", "--interval", "30")
	if !strings.Contains(page, "added as device 2") || !strings.Contains(page, "added as device 3") || !strings.Contains(page, "3 addresses, 3 agents, 1 of them known") {
		t.Errorf("added:\n%s", page)
	}
	if got := decode[object](s.call("device", "show", "127.83.0.3", "--json")); got["interval"] != 30.0 || got["status"] != "up" || got["snmp_version"] != "v3" || got["sys_name"] != "sim-00002" {
		t.Errorf("added: %v", got)
	}
	// What cannot be added is told, and the rest is added.
	s.ok("device", "rename", "127.83.0.3", "moved")
	s.ok("device", "set", "moved", "--address", "127.83.0.77")
	r = s.call("discover", "127.83.0.0/29", "-r", port, "--add", "--json")
	r.fails(exitFailure, "1 of the agents were refused")
	found, _ = r.searched()
	if third, fourth := found.Items[2], found.Items[3]; third["added"] != false || !strings.Contains(fmt.Sprint(third["error"]), `sysName "sim-00002" is that of moved`) || fourth["added"] != true {
		t.Errorf("%v, %v", third, fourth)
	}
}

func TestDiscoverSearchesOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	before := dump(t, s.database())
	for _, m := range []mistake{
		{args: []string{}, code: exitUsage, says: []string{"CIDR"}},
		{args: []string{"127.84.0.0/30"}, code: exitUsage, says: []string{"127.84.0.0/30 is not inside a network of nets", "pollux config set nets"}},
		{args: []string{"10.0.0.0/33"}, code: exitUsage, says: []string{"10.0.0.0/33"}},
		{args: []string{"sw1"}, code: exitUsage, says: []string{"no network"}},
		{args: []string{"10.0.0.1", "--rate", "0"}, code: exitUsage, says: []string{"--rate is from 1"}},
		{args: []string{"10.0.0.1", "--parallel", "5000"}, code: exitUsage, says: []string{"--parallel from 1"}},
	} {
		s.call(append([]string{"discover"}, m.args...)...).fails(m.code, m.says...)
	}
	s.unchanged(before)
	s.ok("config", "set", "nets", "127.0.0.0/8,10.0.0.0/8")
	s.ok("config", "set", "nets.allow", "127.84.0.0/31")
	s.call("discover", "127.84.0.4/30").fails(exitUsage, "127.0.0.0/8, which autodiscovery.nets-exclude excludes")
	s.call("discover", "10.0.0.0/15").fails(exitUsage, "more than 65536 addresses")
	s.call("discover", "127.84.0.0/30", "-3").fails(exitUsage, "-u NAME, or a credential set")
	s.call("discover", "127.84.0.0/30", "-t", "udp6").fails(exitUsage, "udp6 does not lead to addresses of IPv4")
	s.call("discover", "127.84.0.0/30", "-2", "--interval", "5").fails(exitUsage, "invalid interval: 5 s, want 10 to 3600")
	s.call("discover", "127.84.0.0/30", "-1", "-2").fails(exitUsage, "one of -1, -2 and -3")
	if page := s.ok("discover", "127.84.0.0/30", "-r", freeUDP(t), "-2"); page != "1 addresses, 0 agents, 0 of them known, 1 left out by autodiscovery.nets-exclude\n" {
		t.Errorf("nobody there: %q", page)
	}
}

func TestProgressBar(t *testing.T) {
	t.Parallel()
	for want, tally := range map[string]admission.Tally{
		"[..............................] 0/0, 0 agents, 1m5s":           {},
		"[###############...............] 31/62, 7 agents, 1m5s":         {Addresses: 62, Done: 31, Agents: 7},
		"[##############################] 65534/65534, 900 agents, 1m5s": {Addresses: 65_534, Done: 65_534, Agents: 900},
	} {
		if got := barText(tally, 65*time.Second); got != want || len(got) > 79 {
			t.Errorf("%+v is %q, want %q", tally, got, want)
		}
	}
	var seen buffer
	p := &program{errout: &seen}
	bar := p.newBar(10)
	bar.show(admission.Tally{})
	bar.clear()
	if text := seen.String(); text != "" {
		t.Errorf("a bar where nobody sees it: %q", text)
	}
}
