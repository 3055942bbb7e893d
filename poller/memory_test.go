package poller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// knownBox is a device with ports and components that was polled before, in the same process.
func knownBox(t *testing.T, s Session, components []device.Component) Target {
	t.Helper()
	first := Poll(t.Context(), s, Target{Components: components})
	if first.Poll.Outcome != device.OutcomeUp || first.Memory == nil {
		t.Fatal(first.Poll.Outcome, first.Poll.Reason)
	}
	first.Memory.quick = true // however busy this machine is
	target := polled(first, device.OutcomeUp)
	target.Components, target.Memory, target.Retries = components, first.Memory, 3
	return target
}

func boxWithPorts() mib {
	objects := testBoxObjects()
	for i := range 6 {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	return objects.system(360_000).row(8, with(ethernet("p8"), "2", "4|Null qos")).row(9, with(ethernet("v9"), "x6", "", "x10", "", "x7", ""))
}

// The first request brings what an earlier poll needed several for, and nothing is asked for that was not there.
func TestAKnownDeviceIsAskedForLess(t *testing.T) {
	t.Parallel()
	objects := boxWithPorts()
	components := known(t, objects)
	dial := serve(t, map[string]mib{"device": objects})
	target := knownBox(t, dial("device", snmp.V2c), components)
	session := dial("device", snmp.V2c)
	s := &scripted{Session: session, probe: func(snmp.OID, int, time.Duration) (snmp.Variable, error) {
		t.Error("sysUpTime.0 is asked for alone")
		return snmp.Variable{}, nil
	}}
	without := target
	without.Memory = nil
	before := Poll(t.Context(), dial("device", snmp.V2c), without)
	report := Poll(t.Context(), s, target)
	if report.Poll.Outcome != device.OutcomeUp || len(report.Poll.Ports) != 7 || len(report.Measurements) != len(before.Measurements) || len(s.gets) != 0 {
		t.Errorf("%s %s, %d ports, %d measurements of %d, GETs %v", report.Poll.Outcome, report.Poll.Reason, len(report.Poll.Ports),
			len(report.Measurements), len(before.Measurements), s.gets)
	}
	if got := session.Stats().Replies; got > 5 {
		t.Errorf("%d replies", got)
	}
	if len(s.greets) != 1 || slices.Contains(s.greets[0], oidSysDescr) || *report.Poll.Facts != *before.Poll.Facts {
		t.Errorf("asked first for %v; facts %+v, before %+v", s.greets, report.Poll.Facts, before.Poll.Facts)
	}
	// What restarted may have become another device.
	target.Device.Facts.Uptime, target.Device.Facts.SysLocation = 48*time.Hour, "elsewhere"
	if report = Poll(t.Context(), s, target); report.Poll.Facts.SysLocation != "here" {
		t.Errorf("the location of a device that restarted is %q", report.Poll.Facts.SysLocation)
	}
	// So may what was not looked at for an hour, or was down.
	for _, change := range []func(*device.Device){
		func(d *device.Device) { d.PolledAt = d.PolledAt.Add(-time.Hour) },
		func(d *device.Device) { d.LastOutcome = device.OutcomeDown },
	} {
		changed := target
		changed.Device.Facts.Uptime = time.Minute
		change(&changed.Device)
		s.probe = nil
		if report = Poll(t.Context(), s, changed); report.Poll.Facts.SysLocation != "here" {
			t.Errorf("the location is %q", report.Poll.Facts.SysLocation)
		}
	}
}

// An agent that is silent about a long first request is up, waited for no longer, and soon asked as others are.
func TestAFirstRequestInVainIsNotRepeated(t *testing.T) {
	t.Parallel()
	objects := boxWithPorts()
	s := &scripted{Session: serveOne(t, objects)}
	target := knownBox(t, s, nil)
	s.greet = func(context.Context, []snmp.OID) ([]snmp.Variable, error) { return nil, snmp.ErrTimeout }
	asked := 0
	s.probe = func(oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
		asked = tries
		return s.Session.Probe(t.Context(), oid, tries, timeout)
	}
	for n, want := range []struct{ greets, tries int }{{1, 3}, {2, 3}, {2, 4}} {
		report := Poll(t.Context(), s, target)
		if report.Poll.Outcome != device.OutcomeUp || len(s.greets) != want.greets || asked != want.tries {
			t.Errorf("poll %d: %s, %d long requests, %d tries", n, report.Poll.Outcome, len(s.greets), asked)
		}
		report.Memory.quick = true
		target.Memory = report.Memory
	}
}

// One component whose object the agent is silent about takes no other kind with it.
func TestSilenceAboutOneObjectLosesItsKindOnly(t *testing.T) {
	t.Parallel()
	objects := boxWithPorts()
	components := known(t, objects)
	real := serveOne(t, objects)
	target := knownBox(t, real, components)
	target.Memory = nil
	const silent = "1.3.6.1.4.1.99999.5.1"
	s := &scripted{Session: real}
	s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		if slices.ContainsFunc(oids, func(oid snmp.OID) bool { return strings.HasPrefix(string(oid), silent) }) {
			return nil, snmp.ErrTimeout
		}
		return real.Get(ctx, oids...)
	}
	for range 2 {
		report := Poll(t.Context(), s, target)
		for _, m := range report.Modules {
			if failed := m.Err != nil; failed != (m.Name == "storage") {
				t.Errorf("module %s: %v", m.Name, m.Err)
			}
		}
		if got := filedComponents(report); strings.Count(got, "\n") < 4 || strings.Contains(got, "storage") {
			t.Errorf("measured:\n%s", got)
		}
		report.Memory.quick = true
		target.Memory, s.greets = report.Memory, nil
	}
	// It is known by now: the facts are not asked for together with objects of components.
	if Poll(t.Context(), s, target); len(s.greets) != 1 || len(s.greets[0]) > 4 {
		t.Errorf("the first request asks for %v", s.greets)
	}
}

// A device without ports is asked how many it has; when it gets one, that is found.
func TestADeviceWithoutPortsIsNotWalked(t *testing.T) {
	t.Parallel()
	dial := serve(t, map[string]mib{
		"none": mib{string(oidIfNumber): "2|0"}.system(360_000),
		"one":  mib{string(oidIfNumber): "2|1"}.system(360_000).row(1, ethernet("p1")),
	})
	s := &scripted{Session: dial("none", snmp.V2c)}
	target := knownBox(t, s, nil)
	s.tables = nil
	if report := Poll(t.Context(), s, target); len(s.tables) > 0 || !report.Poll.PortsComplete {
		t.Errorf("%s: tables %v", report.Poll.Reason, s.tables)
	}
	if report := Poll(t.Context(), dial("one", snmp.V2c), target); len(report.Poll.Ports) != 1 || report.Poll.Ports[0].State.IfDescr != "Ethernet p1" {
		t.Errorf("its new port is %+v", report.Poll.Ports)
	}
}

// What a poll after a discovery costs is what it asks for, and no less is found.
func TestCosts(t *testing.T) {
	t.Parallel()
	dial := serve(t, map[string]mib{"device": boxWithPorts()})
	costs, report := MeasureCosts(t.Context(), dial("device", snmp.V2c), dial("device", snmp.V2c), Target{Retries: 1}, defined(t, testBox))
	if report.Poll.Outcome != device.OutcomeUp || costs.Ports != 7 || costs.FirstPorts != 7 || costs.Measurements != costs.FirstMeasurements || costs.Measurements < 12 {
		t.Errorf("%s: %+v", report.Poll.Reason, costs)
	}
	if p := costs.Poll; p.Asked < 7*15 || p.Asked > 250 || p.Fewest < 2 || p.Replies < p.Fewest || p.Replies > p.Fewest+2 || p.Bytes/p.Asked < 12 || p.Bytes/p.Asked > 40 {
		t.Errorf("a poll costs %+v", p)
	}
	if d := costs.Discovery; d.Asked < 100 || d.Replies < 10 {
		t.Errorf("a discovery costs %+v", d)
	}
}
