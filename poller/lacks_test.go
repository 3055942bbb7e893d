package poller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pollux/device"
	"pollux/snmp"
)

// oldSwitch is a device without 64-bit counters, aliases and the time of its engine.
func oldSwitch() mib {
	objects := mib{}.system(360_000)
	for i := range 4 {
		objects.row(i+1, with(ethernet(fmt.Sprint("p", i+1)), "x6", "", "x7", "", "x8", "", "x9", "", "x10", "", "x11", "", "x12", "", "x13", "", "x18", "",
			"10", fmt.Sprint("65|", 1000+i), "16", fmt.Sprint("65|", 2000+i), "11", "65|11", "17", "65|17"))
	}
	return objects
}

const oldSwitchLacks = "snmpEngineTime ifAlias ifCounterDiscontinuityTime ifHCInOctets ifHCInUcastPkts ifHCInMulticastPkts ifHCInBroadcastPkts " +
	"ifHCOutOctets ifHCOutUcastPkts ifHCOutMulticastPkts ifHCOutBroadcastPkts ifInNUcastPkts ifOutNUcastPkts " +
	"ifInMulticastPkts ifInBroadcastPkts ifOutMulticastPkts ifOutBroadcastPkts"

func lacksOf(t *testing.T, s Session) []string {
	t.Helper()
	found, modules := Discover(t.Context(), s, Target{}, defined(t, ""))
	for _, m := range modules {
		if m.Name == "ports" && m.Err != nil {
			t.Error(m.Err)
		}
	}
	return found.Lacks
}

// asked says which of the columns some requests name, with or without a row.
func (s *scripted) asked(names string) (found []string) {
	for _, name := range strings.Fields(names) {
		column := oidSnmpEngineTime
		if f := slices.Index(fieldNames[:], name); f >= 0 {
			column = columns[f]
		}
		of := func(oid snmp.OID) bool { return oid == column || strings.HasPrefix(string(oid), string(column)+".") }
		if slices.ContainsFunc(slices.Concat(slices.Concat(s.tables...), slices.Concat(s.gets...)), of) {
			found = append(found, name)
		}
	}
	return found
}

func TestWhatADeviceLacksIsNotAsked(t *testing.T) {
	t.Parallel()
	dial := serve(t, map[string]mib{"device": oldSwitch()})
	for _, version := range []snmp.Version{snmp.V1, snmp.V2c} {
		lacks := lacksOf(t, dial("device", version))
		slices.Sort(lacks)
		want := strings.Fields(oldSwitchLacks)
		slices.Sort(want)
		if !slices.Equal(lacks, want) {
			t.Errorf("%s: it lacks %q, want %q", version, lacks, want)
		}
		s := &scripted{Session: dial("device", version)}
		first := Poll(t.Context(), s, Target{})
		if got := s.asked(oldSwitchLacks); len(got) < 14 {
			t.Errorf("%s: before it was discovered it is asked for %q", version, got)
		}
		target := polled(first, device.OutcomeUp)
		target.Device.Lacks = lacks
		s.tables, s.gets = nil, nil
		next := Poll(t.Context(), s, target)
		if got := s.asked(oldSwitchLacks); len(got) > 0 {
			t.Errorf("%s: it is asked for %q", version, got)
		}
		if next.Poll.Outcome != device.OutcomeUp || !next.Poll.PortsComplete || len(next.Poll.Ports) != 4 || len(portMeasurements(next)) != 4 {
			t.Errorf("%s: %s %s, %d ports, %d measured", version, next.Poll.Outcome, next.Poll.Reason, len(next.Poll.Ports), len(portMeasurements(next)))
		}
		for i := range next.Poll.Ports {
			if got, want := next.Poll.Ports[i], first.Poll.Ports[i]; got.State != want.State || got.InOctets != want.InOctets || got.OutOctets != want.OutOctets || got.InOctets == 0 {
				t.Errorf("%s: port %+v, was %+v", version, got, want)
			}
		}
		// What started anew may have become another device.
		target.Device.Facts.Uptime *= 2
		s.tables, s.gets = nil, nil
		if Poll(t.Context(), s, target); len(s.asked("ifHCInOctets ifAlias ifCounterDiscontinuityTime")) != 3 {
			t.Errorf("%s: after a restart it is asked for %q", version, s.asked(oldSwitchLacks))
		}
	}
}

// A port of another kind that is plugged in between two discoveries is counted as it can be.
func TestANewPortIsAskedForWhatTheOthersLack(t *testing.T) {
	t.Parallel()
	dial := serve(t, map[string]mib{"before": oldSwitch(), "after": oldSwitch().row(9, ethernet("te1"))})
	target := polled(Poll(t.Context(), dial("before", snmp.V2c), Target{}), device.OutcomeUp)
	target.Device.Lacks = lacksOf(t, dial("before", snmp.V2c))
	s := &scripted{Session: dial("after", snmp.V2c)}
	report := Poll(t.Context(), s, target)
	if len(report.Poll.Ports) != 5 || report.Poll.Ports[4].InOctets != 5_000_000_006 || !report.Poll.PortsComplete {
		t.Fatalf("%s: ports %+v", report.Poll.Reason, report.Poll.Ports)
	}
	for _, oids := range s.tables {
		if slices.Contains(oids, columns[wideInOctets]) {
			t.Error("all ports are asked for 64-bit octets")
		}
	}
	// Until the next discovery it stays so that the port's own counters are not known to be there.
	target.Device.Lacks = nil
	if s.tables = nil; !Poll(t.Context(), s, target).Poll.PortsComplete || len(s.asked("ifHCInOctets")) != 1 {
		t.Error("after a discovery that found them the columns are not read")
	}
}

// A column is not lost to an agent that answers one of two questions wrongly, nor to one that does not answer at all.
func TestAColumnIsNotLostToAFault(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(360_000)
	for i := range 4 {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	session := serveOne(t, objects)
	early := &scripted{Session: session}
	early.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		return session.Table(ctx, r, func(c snmp.Cell) {
			if r.FirstRows == 0 || r.Columns[c.Column] != columns[wideInOctets] {
				each(c)
			}
		})
	}
	if lacks := lacksOf(t, early); lacks == nil || slices.Contains(lacks, "ifHCInOctets") || !slices.Contains(lacks, "ifInOctets") {
		t.Errorf("the device lacks %q", lacks)
	}
	silent := &scripted{Session: session, table: func(context.Context, snmp.TableRequest, func(snmp.Cell)) error { return snmp.ErrTimeout }}
	if found, _ := Discover(t.Context(), silent, Target{}, defined(t, "")); found.Lacks != nil {
		t.Errorf("a silent device lacks %q", found.Lacks)
	}
	refuses := &scripted{Session: session, get: func(_ context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		if slices.Contains(oids, columns[narrowInOctets]+".1") {
			return nil, &snmp.StatusError{Status: "genErr"}
		}
		return session.Get(t.Context(), oids...)
	}}
	if lacks := lacksOf(t, refuses); lacks != nil {
		t.Errorf("a device that refuses to say lacks %q", lacks)
	}
}

// A device without any port does not lack the columns: it may get one.
func TestADeviceWithoutPortsLacksNoColumn(t *testing.T) {
	t.Parallel()
	if lacks := lacksOf(t, serveOne(t, mib{}.system(1))); !slices.Equal(lacks, []string{nameEngineTime}) {
		t.Errorf("it lacks %q", lacks)
	}
}
