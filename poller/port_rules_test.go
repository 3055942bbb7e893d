package poller

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pollux/device"
)

const portRules = `
ports:
  skip_ifDescr: ["OPTICAL monitor"]
  skip_ifDescr_regex: ['^Internal \d']
  skip_ifName_regex: ['^npi\d']
  skip_ifType: [macSecControlledIF]
`

// ruled is a device with two ports and a row for each rule of portRules.
func ruled() mib {
	objects := mib{}.system(360_000)
	for i, row := range []map[string]string{
		ethernet("a"), with(ethernet("npi0"), "2", "4|npi0"), with(ethernet("s"), "3", "2|231"), ethernet("b"),
		with(ethernet("d"), "2", "4|INTERNAL 7"), with(ethernet("o"), "2", "4|an Optical Monitor"),
	} {
		objects.row(i+1, row)
	}
	return objects
}

func namesOf(ports []device.PortReading) (found []string) {
	for _, p := range ports {
		found = append(found, p.State.IfName)
	}
	return found
}

// A poll takes the rows for ports that an inspection shows, whatever is known of the OS by then.
func TestRulesOfTheOSHoldInPolls(t *testing.T) {
	t.Parallel()
	session, set := serveOne(t, ruled()), defined(t, portRules)
	seen, _ := Inspect(t.Context(), session, Target{}, set)
	if len(seen.Ports) != 2 || seen.Ports[0].IfName != "a" || seen.Ports[1].IfName != "b" {
		t.Fatalf("inspected %+v", seen.Ports)
	}
	for os, want := range map[string]string{
		"testbox": "[a b]",
		"":        "[a b]", // not discovered yet
		"generic": "[a npi0 s b d o]", "removed": "[a npi0 s b d o]",
	} {
		target := Target{Definitions: set, Device: device.Device{Facts: device.Facts{OS: os}}}
		if r := Poll(t.Context(), session, target); !r.Poll.PortsComplete || fmt.Sprint(namesOf(r.Poll.Ports)) != want {
			t.Errorf("a poll of OS %q finds %v (%s), want %s", os, namesOf(r.Poll.Ports), r.Poll.Reason, want)
		}
	}
	if r := Poll(t.Context(), session, Target{}); len(r.Poll.Ports) != 6 {
		t.Errorf("without definitions: %v", namesOf(r.Poll.Ports))
	}
}

// Ports that were there before the rules go with the next polls, whether their texts are read anew or not.
func TestRulesOfTheOSTakeKnownPortsAway(t *testing.T) {
	t.Parallel()
	s, set := &scripted{Session: serveOne(t, ruled())}, defined(t, portRules)
	target := polled(Poll(context.Background(), s, Target{}), device.OutcomeUp)
	target.Definitions, target.Device.Facts.OS = set, "testbox"
	for _, outcome := range []device.Outcome{device.OutcomeUp, device.OutcomePartial, device.OutcomeDown} {
		target.Device.LastOutcome, s.tables = outcome, nil
		r := Poll(t.Context(), s, target)
		if r.Poll.Outcome != device.OutcomeUp || !r.Poll.PortsComplete || !slices.Equal(namesOf(r.Poll.Ports), []string{"a", "b"}) {
			t.Errorf("after %s: %v, %s %s", outcome, namesOf(r.Poll.Ports), r.Poll.Outcome, r.Poll.Reason)
		}
		if recalled := s.askedFixed() != "all"; recalled != (outcome == device.OutcomeUp) {
			t.Errorf("after %s ifDescr was asked for: %s", outcome, s.askedFixed())
		}
	}
}
