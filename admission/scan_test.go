package admission_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/admission"
	"pollux/ping"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/simulator"
)

func prefixes(t *testing.T, text string) []netip.Prefix {
	t.Helper()
	list, err := settings.ParseNets(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTargets(t *testing.T) {
	t.Parallel()
	nets := settings.NewValues(map[string]string{
		"nets": "192.0.2.0/24,198.51.100.0/22,2001:db8::/64,10.0.0.0/8,127.0.0.0/8", "nets.allow": "127.1.0.0/16", "autodiscovery.nets-exclude": "127.0.0.0/8,192.0.2.4/31",
	}).Nets()
	for networks, want := range map[string]string{
		"192.0.2.0/29":               "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.6 - 2",
		"192.0.2.8/31":               "192.0.2.8 192.0.2.9 - 0",
		"192.0.2.9":                  "192.0.2.9 - 0",
		"192.0.2.8/30,192.0.2.9/32":  "192.0.2.9 192.0.2.10 - 0",
		"192.0.2.11/32,192.0.2.8/30": "192.0.2.11 192.0.2.9 192.0.2.10 - 0", // somebody named the last one
		"2001:db8::/126":             "2001:db8::1 2001:db8::2 2001:db8::3 - 0",
		"127.1.0.4/30":               "127.1.0.5 127.1.0.6 - 0",
	} {
		addresses, excluded, err := admission.Targets(prefixes(t, networks), nets)
		got := strings.Trim(fmt.Sprint(addresses), "[]") + fmt.Sprintf(" - %d", excluded)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", networks, got, err, want)
		}
	}
	for networks, says := range map[string]string{
		"192.0.3.0/24": "pollux config set nets", "192.0.0.0/16": "not inside a network", "127.0.0.0/30": "autodiscovery.nets-exclude", "::1/128": "not inside", "192.0.2.0/24,8.8.8.8/32": "8.8.8.8/32",
	} {
		addresses, _, err := admission.Targets(prefixes(t, networks), nets)
		if !errors.Is(err, settings.ErrNet) || !strings.Contains(err.Error(), says) || len(addresses) > 0 {
			t.Errorf("%s: %d addresses, %v", networks, len(addresses), err)
		}
	}
	for _, networks := range []string{"10.0.0.0/15", "10.0.0.0/16,10.1.0.0/32", "2001:db8::/64"} {
		if addresses, _, err := admission.Targets(prefixes(t, networks), nets); err == nil || errors.Is(err, settings.ErrNet) || len(addresses) > 0 {
			t.Errorf("%s: %d addresses, %v", networks, len(addresses), err)
		}
	}
	if addresses, _, err := admission.Targets(prefixes(t, "10.0.0.0/16"), nets); err != nil || len(addresses) != 65_534 {
		t.Errorf("a whole /16: %d addresses, %v", len(addresses), err)
	}
}

// search runs a scan to its end and returns the addresses that were found, in their order.
func (w *world) search(scan admission.Scan) (found []string, agents []admission.Agent, tally admission.Tally, err error) {
	w.t.Helper()
	scan.Found = func(a admission.Agent) { agents = append(agents, a) }
	if scan.Parallel = 64; scan.Rate == 0 {
		scan.Rate = 1000
	}
	tally, err = w.open(false).Search(w.t.Context(), scan)
	slices.SortFunc(agents, func(a, b admission.Agent) int { return a.Address.Compare(b.Address) })
	for _, a := range agents {
		found = append(found, a.Address.String())
	}
	return found, agents, tally, err
}

func TestSearchFindsExactlyTheAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.72.0.0/24")
	agent := simulate(t, simulator.Config{Listen: "127.72.0.0/24:0", Devices: 20})
	addresses, _, err := admission.Targets(prefixes(t, "127.72.0.0/26"), settings.NewValues(w.values).Nets())
	if err != nil || len(addresses) != 62 {
		t.Fatal(len(addresses), err)
	}
	for i := 5; i < 20; i += 5 { // three agents, and an address without one, do not answer ICMP
		w.pinger.silent = append(w.pinger.silent, agent.Addr(i).Addr())
	}
	w.pinger.silent = append(w.pinger.silent, addresses[60])
	candidates := []admission.Candidate{{Set: "wrong", Credentials: v2c(canary + "-wrong")}, {Set: "right", Credentials: v2c(community)}}
	found, agents, tally, err := w.search(admission.Scan{Addresses: addresses, Device: of("", agent.Addr(0)), Candidates: candidates})
	if err != nil || len(found) != 17 || slices.Contains(found, "127.72.0.6") || found[0] != "127.72.0.1" || found[16] != "127.72.0.20" {
		t.Errorf("found %v, %v", found, err)
	}
	if want := (admission.Tally{Addresses: 62, Done: 62, Alive: 58, Agents: 17}); tally != want {
		t.Errorf("%+v, want %+v", tally, want)
	}
	for _, a := range agents {
		if a.Candidate.Set != "right" || !strings.HasPrefix(a.SysName, "sim-") || a.SysObjectID == "" || a.SysDescr == "" {
			t.Errorf("%+v", a)
		}
	}
	w.values["icmp_check"] = "false"
	w.pinger.asked = nil
	if found, _, tally, err = w.search(admission.Scan{Addresses: addresses, Device: of("", agent.Addr(0)), Candidates: candidates[1:]}); err != nil || len(found) != 20 || tally.Alive != 0 || len(w.pinger.asked) != 0 {
		t.Errorf("without ICMP: found %v, %+v, %v", found, tally, err)
	}
	w.values["icmp_check"] = "true"
	w.pinger.mode = ping.Off
	if found, _, _, err = w.search(admission.Scan{Addresses: addresses[:3], Device: of("", agent.Addr(0)), Candidates: candidates[1:]}); err != nil || len(found) != 3 || len(w.pinger.asked) != 0 {
		t.Errorf("where ICMP cannot be sent: found %v, %v", found, err)
	}
}

// Credentials go to no address that is not listed, whatever a caller puts among the addresses; and to none that is excluded.
func TestSearchSendsNothingElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.73.0.0/25", "nets.allow", "127.73.0.0/26")
	agent := simulate(t, simulator.Config{Listen: "127.73.0.0/24:0"})
	for _, address := range []string{"127.73.0.130", "127.73.0.70", "127.74.0.1"} { // not listed, excluded, neither
		scan := admission.Scan{Addresses: []netip.Addr{netip.MustParseAddr(address)}, Device: of("", agent.Addr(0)), Candidates: []admission.Candidate{{Credentials: v2c(community)}}}
		if found, _, _, err := w.search(scan); !errors.Is(err, settings.ErrNet) || len(found) > 0 {
			t.Errorf("%s: found %v, %v", address, found, err)
		}
	}
	if n := agent.Stats().Requests; n != 0 || len(w.pinger.asked) != 0 {
		t.Errorf("%d requests, asked by ICMP %v", n, w.pinger.asked)
	}
}

func TestSearchTellsRefusalsAndClosedPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.0.0.0/8")
	agent := simulate(t, simulator.Config{Listen: "127.75.0.0/24:0", Devices: 5})
	scan := admission.Scan{Device: of("", agent.Addr(0)), Candidates: []admission.Candidate{{Credentials: v3(canary + "-another")}}}
	for i := range 5 {
		scan.Addresses = append(scan.Addresses, agent.Addr(i).Addr())
	}
	if found, _, tally, err := w.search(scan); err != nil || len(found) != 0 || tally.Refused != 5 || tally.Agents != 0 {
		t.Errorf("with a wrong password: found %v, %+v, %v", found, tally, err)
	}
	scan.Candidates = append(scan.Candidates, admission.Candidate{Credentials: v3(authPass)})
	if found, agents, tally, err := w.search(scan); err != nil || len(found) != 5 || tally.Refused != 0 || agents[0].Candidate.Credentials.User != "monitor" {
		t.Errorf("with the right one after it: found %v, %+v, %v", found, tally, err)
	}
	scan.Device.Port = uint16(polluxtest.FreePort(t)) // the kernel says that nobody is there
	scan.Candidates = []admission.Candidate{{Credentials: v2c(community)}}
	if found, _, tally, err := w.search(scan); err != nil || len(found) != 0 || tally.Done != 5 {
		t.Errorf("closed: found %v, %+v, %v", found, tally, err)
	}
}

func TestSearchKeepsItsRateAndEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.76.0.0/24")
	agent := simulate(t, simulator.Config{Listen: "127.76.0.0/24:0", Devices: 30})
	scan := admission.Scan{Device: of("", agent.Addr(0)), Candidates: []admission.Candidate{{Credentials: v2c(community)}}, Rate: 100}
	for i := range 30 {
		scan.Addresses = append(scan.Addresses, agent.Addr(i).Addr())
	}
	ticks := 0
	scan.Tick = func(tally admission.Tally) {
		ticks++
		if tally.Addresses != 30 || tally.Done > 30 {
			t.Errorf("%+v", tally)
		}
	}
	began := time.Now()
	found, _, _, err := w.search(scan) // 30 by ICMP and 30 by SNMP, of which 5 may go at once
	if took := time.Since(began); err != nil || len(found) != 30 || took < 540*time.Millisecond || ticks == 0 {
		t.Errorf("%d found after %v and %d ticks: %v", len(found), took, ticks, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	scan.Rate, scan.Parallel, scan.Tick = 1, 1, nil
	scan.Found = func(admission.Agent) { cancel() }
	tally, err := w.open(false).Search(ctx, scan)
	if !errors.Is(err, context.Canceled) || tally.Agents != 1 || tally.Done > 2 {
		t.Errorf("ended: %+v, %v", tally, err)
	}
}
