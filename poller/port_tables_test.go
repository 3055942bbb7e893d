package poller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// The objects of TIMETRA-VRTR-MIB by the names of the IF-MIB.
var vrtrColumns = map[string]string{
	"type": "4.1.3", "name": "4.1.4", "admin": "4.1.8", "oper": "4.1.9", "alias": "4.1.10", "mac": "4.1.11", "descr": "4.1.34",
	"change": "4.1.61", "mtu": "4.1.62", "inPkts": "54.1.40", "in": "54.1.43", "speed": "54.1.103", "outPkts": "74.1.1", "out": "74.1.4",
}

const vrtr = "1.3.6.1.4.1.6527.3.1.2.3."

// vrtrRow is a row of that MIB by names, with index vRtrID and vRtrIfIndex.
func (m mib) vrtrRow(index string, cells map[string]string) mib {
	for name, value := range cells {
		m[vrtr+vrtrColumns[name]+"."+index] = value
	}
	return m
}

// routed is a complete row.
func routed(name string) map[string]string {
	return map[string]string{
		"name": "4|" + name, "type": "2|5", "admin": "2|2", "oper": "2|2", "alias": "4|", "descr": "4|to " + name, "mac": "4x|0200000000EE",
		"change": "67|77", "mtu": "66|9000", "speed": "70|100000000000", "in": "70|5000000001", "out": "70|5000000002", "inPkts": "70|3", "outPkts": "70|4",
	}
}

// router has ports 1 and 2 in the IF-MIB. Of the rows beside it 2.2 has the number of a port there; 2.3 and 5.3 have the same number and name.
func router() mib {
	objects := mib{}.system(360_000).row(1, ethernet("system")).row(2, ethernet("to-core"))
	objects["1.3.6.1.2.1.1.1.0"] = "4|TiMOS-C-20.10.R5 cpm/hops64 Nokia 7750 SR Copyright (c) 2000-2020 Nokia."
	objects["1.3.6.1.2.1.1.2.0"] = "6|1.3.6.1.4.1.6527.1.3.4"
	return objects.vrtrRow("1.1", routed("system")).vrtrRow("1.2", routed("to-core")).vrtrRow("2.2", routed("ce1")).
		vrtrRow("2.3", routed("ce2")).vrtrRow("5.3", with(routed("ce2"), "in", "70|9")).
		vrtrRow("4095.1280", with(routed("management"), "type", "2|1", "oper", "2|3", "descr", "4|"))
}

// withoutVrtr takes columns away.
func (m mib) withoutVrtr(names ...string) mib {
	maps.DeleteFunc(m, func(oid, _ string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(oid, vrtr+vrtrColumns[name]+".") })
	})
	return m
}

func embeddedSet(t testing.TB) *definitions.Set {
	t.Helper()
	set, problems, err := definitions.Load("")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return set
}

// routerTarget is the router as it is known after a report.
func routerTarget(t testing.TB, r Report) Target {
	target := polled(r, device.OutcomeUp)
	target.Definitions, target.Device.Facts.OS = embeddedSet(t), "timos"
	return target
}

func numbered(r Report) (found []string) {
	for _, p := range r.Poll.Ports {
		found = append(found, fmt.Sprintf("%s %s %d", p.State.Row, p.State.IfName, min(p.State.IfIndex, beyondIfIndex)))
	}
	slices.Sort(found)
	return found
}

var routerPorts = []string{
	" system 1", " to-core 2", fmt.Sprint("vrtr:2.2 ce1 ", int64(beyondIfIndex)), fmt.Sprint("vrtr:2.3 ce2 ", int64(beyondIfIndex)), "vrtr:4095.1280 management 1280", "vrtr:5.3 ce2 3",
}

func TestPortsBesideTheIFMIB(t *testing.T) {
	t.Parallel()
	s := serveOne(t, router())
	first := Poll(t.Context(), s, Target{Definitions: embeddedSet(t)})
	if got := numbered(first); !first.Poll.PortsComplete || !slices.Equal(got, routerPorts) {
		t.Fatalf("%s %s: ports\n%q, want\n%q", first.Poll.Outcome, first.Poll.Reason, got, routerPorts)
	}
	target := routerTarget(t, first)
	r := Poll(t.Context(), s, target)
	if r.Poll.Outcome != device.OutcomeUp || !r.Poll.PortsComplete || len(r.Poll.Ports) != len(routerPorts) {
		t.Fatalf("%s %s: %d ports", r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Ports))
	}
	measured := portMeasurements(r)
	for i, p := range r.Poll.Ports {
		if p.State != first.Poll.Ports[i].State || p.PortID != target.Ports[i].ID {
			t.Errorf("the next poll says\n%+v, the first\n%+v", p, first.Poll.Ports[i].State)
		}
		m := measured[p.PortID]
		want, octets := "5000000001 5000000002 - - 3 4 - - - - - - - - -", uint64(5000000001)
		switch p.State.Row {
		case "":
			want, octets = "5000000006 5000000010 14 20 7 11 - - 13 19 15 9 13 8 12", 5000000006
		case "vrtr:5.3":
			want, octets = strings.Replace(want, "5000000001", "9", 1), 9
		}
		if got := valuesOf(m); got != want || m.Break || m.Time.IsZero() || p.InOctets != octets {
			t.Errorf("%s %s: break %v, values\n%s, want\n%s", p.State.Row, p.State.IfName, m.Break, got, want)
		}
		if p.State.Row != "vrtr:2.3" {
			continue
		}
		state := p.State
		state.IfIndex = 0
		want2 := device.PortState{
			Row: "vrtr:2.3", IfName: "ce2", IfDescr: "to ce2", IfAlias: "to ce2", IfType: "serviceVprn", IfMTU: 9000, IfSpeed: 100_000_000_000,
			IfAdminStatus: "up", IfOperStatus: "up", IfPhysAddress: "0200000000ee", IfLastChange: 77,
		}
		if state != want2 || m.Max != measurement.PortMax(100_000_000_000) {
			t.Errorf("state %+v, maximum %d", state, m.Max)
		}
	}
	if p := r.Poll.Ports; p[len(p)-1].State.IfIndex <= beyondIfIndex || p[3].State.IfOperStatus != "down" || p[3].State.IfAlias != "management" {
		t.Errorf("ports %+v", p)
	}
}

// A port keeps its number, its file and its history, whatever the numbers of others are; what is another port never goes on from it.
func TestPortsBesideTheIFMIBStayThemselves(t *testing.T) {
	t.Parallel()
	target := routerTarget(t, Poll(t.Context(), serveOne(t, router()), Target{Definitions: embeddedSet(t)}))
	ids := make(map[string]int64)
	numbers := make(map[string]int64)
	for _, p := range target.Ports {
		ids[p.State.Row+p.State.IfName], numbers[p.State.Row+p.State.IfName] = p.ID, p.State.IfIndex
	}
	without := func(m mib, index string) mib {
		maps.DeleteFunc(m, func(oid, _ string) bool { return strings.HasPrefix(oid, vrtr) && strings.HasSuffix(oid, "."+index) })
		return m
	}
	for name, c := range map[string]struct {
		objects mib
		moves   string // the row whose number the IF-MIB claims
		created int    // ports
	}{
		"the row that has the number goes":    {without(router(), "5.3"), "", 0},
		"the other row with its number goes":  {without(router(), "2.3"), "", 0},
		"the IF-MIB gets its number and name": {router().row(3, ethernet("ce2")), "vrtr:5.3", 1},
		"the IF-MIB gets its number":          {router().row(3, ethernet("new")), "vrtr:5.3", 1},
		"rows go and another comes":           {without(without(router(), "5.3"), "2.3").vrtrRow("6.9", routed("ce1")), "", 1},
	} {
		r := Poll(t.Context(), serveOne(t, c.objects), target)
		created, measured := 0, portMeasurements(r)
		for _, p := range r.Poll.Ports {
			if p.PortID == 0 {
				created++
				continue
			}
			if known := ids[p.State.Row+p.State.IfName]; p.PortID != known || measured[known].Break {
				t.Errorf("%s: %s %s is taken for port %d, and was %d; break %v", name, p.State.Row, p.State.IfName, p.PortID, known, measured[known].Break)
			}
			moved := p.State.IfIndex != numbers[p.State.Row+p.State.IfName]
			if moved != (p.State.Row == c.moves && c.moves != "") || moved && p.State.IfIndex < beyondIfIndex {
				t.Errorf("%s: %s %s has the number %d", name, p.State.Row, p.State.IfName, p.State.IfIndex)
			}
		}
		if created != c.created || !r.Poll.PortsComplete {
			t.Errorf("%s: %d new ports, complete %v %s", name, created, r.Poll.PortsComplete, r.Poll.Reason)
		}
	}
}

// What a poll asks for: the names of all rows, and of those that the IF-MIB lacks what changes. Columns that the discovery did not find are left out.
func TestPollsOfPortsBesideTheIFMIBAskForLittle(t *testing.T) {
	t.Parallel()
	set := embeddedSet(t)
	objects := router().withoutVrtr("change", "mtu", "oper")
	s := &scripted{Session: serveOne(t, objects)}
	found, _ := Discover(t.Context(), s, Target{}, set)
	for _, column := range []string{"vrtr.ifLastChange", "vrtr.ifMtu", "vrtr.ifOperStatus"} {
		if !slices.Contains(found.Lacks, column) {
			t.Errorf("%s is not among what it lacks: %q", column, found.Lacks)
		}
	}
	if slices.Contains(found.Lacks, "vrtr.ifName") || slices.Contains(found.Lacks, "vrtr.ifHCInOctets") {
		t.Errorf("it lacks %q", found.Lacks)
	}
	target := routerTarget(t, Poll(t.Context(), s, Target{Definitions: set}))
	target.Device.Lacks = found.Lacks
	s.tables, s.gets = nil, nil
	r := Poll(t.Context(), s, target)
	asked := 0
	for _, oids := range s.gets {
		for _, oid := range oids {
			if !strings.HasPrefix(string(oid), vrtr) {
				continue
			}
			asked++
			if strings.Contains(string(oid), ".4.1.9.") || strings.Contains(string(oid), ".4.1.34.") || strings.HasSuffix(string(oid), ".1.1") || strings.HasSuffix(string(oid), ".1.2") {
				t.Errorf("asked for %s", oid)
			}
		}
	}
	if want := 4 * len([]string{"name", "admin", "alias", "in", "out", "inPkts", "outPkts", "speed"}); asked != want || len(r.Poll.Ports) != len(routerPorts) {
		t.Errorf("asked for %d objects of 4 rows, want %d", asked, want)
	}
	for _, columns := range s.tables {
		for _, column := range columns {
			if strings.HasPrefix(string(column), vrtr) && string(column) != vrtr+"4.1.4" {
				t.Errorf("read the column %s", column)
			}
		}
	}
	bare := &scripted{Session: serveOne(t, router().withoutVrtr(slices.Collect(maps.Keys(vrtrColumns))...))}
	found, _ = Discover(t.Context(), bare, Target{}, set)
	target = routerTarget(t, Poll(t.Context(), bare, Target{Definitions: set}))
	target.Device.Lacks, bare.tables = found.Lacks, nil
	if r := Poll(t.Context(), bare, target); len(r.Poll.Ports) != 2 || !r.Poll.PortsComplete {
		t.Errorf("without the table: %+v", r.Poll)
	}
	if slices.ContainsFunc(bare.tables, func(oids []snmp.OID) bool { return strings.HasPrefix(string(oids[0]), vrtr) }) {
		t.Error("a table that the device does not have is asked for")
	}
}

// A fault of the agent makes no port and takes none away.
func TestFaultsBesideTheIFMIB(t *testing.T) {
	t.Parallel()
	set := embeddedSet(t)
	good, renamed := serveOne(t, router()), serveOne(t, router().vrtrRow("5.3", map[string]string{"name": "4|other"}))
	target := routerTarget(t, Poll(t.Context(), good, Target{Definitions: set}))
	isNames := func(r snmp.TableRequest) bool { return strings.HasPrefix(string(r.Columns[0]), vrtr) }
	ofVrtr := func(oids []snmp.OID) bool {
		return slices.ContainsFunc(oids, func(o snmp.OID) bool { return strings.HasPrefix(string(o), vrtr) })
	}
	for name, c := range map[string]struct {
		session scripted
		known   bool // with the inventory
		ports   int
	}{
		"the names cannot be read": {scripted{table: func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			if isNames(r) {
				return snmp.ErrUnexpected
			}
			return good.Table(ctx, r, each)
		}}, true, 2},
		"a row is left out, which the device has": {scripted{table: func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			return good.Table(ctx, r, func(c snmp.Cell) {
				if !isNames(r) || c.Index != "5.3" {
					each(c)
				}
			})
		}}, true, 5},
		"the counters cannot be read": {scripted{get: func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
			if ofVrtr(oids) {
				return nil, snmp.ErrTimeout
			}
			return good.Get(ctx, oids...)
		}}, true, 2},
		"a row changes its name meanwhile": {scripted{table: func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			if isNames(r) {
				return renamed.Table(ctx, r, each)
			}
			return good.Table(ctx, r, each)
		}}, true, 5},
		"the IF-MIB cannot be read": {scripted{table: func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			if !isNames(r) {
				return snmp.ErrUnexpected
			}
			return good.Table(ctx, r, each)
		}}, false, 0},
	} {
		from := Target{Definitions: set}
		if c.known {
			from = target
		}
		c.session.Session = good
		r := Poll(t.Context(), &c.session, from)
		if r.Poll.PortsComplete || len(r.Poll.Ports) != c.ports || r.Poll.Outcome != device.OutcomePartial {
			t.Errorf("%s: %s %s, complete %v, ports %q", name, r.Poll.Outcome, r.Poll.Reason, r.Poll.PortsComplete, numbered(r))
		}
	}
}

// Whatever an agent says in the table, ports have numbers of their own and values are right or unknown.
func TestBadDataBesideTheIFMIB(t *testing.T) {
	t.Parallel()
	objects := router().
		vrtrRow("0", routed("zero")).vrtrRow("4294967295.4294967295", routed("huge")).vrtrRow("2", routed("short")).vrtrRow("2.3.4", routed("long")).
		vrtrRow("9."+strings.Repeat("4294967295.", 20)+"1", routed("endless")).
		vrtrRow("7.1", with(routed("types"), "in", "4|12", "out", "2|-5", "inPkts", "6|1.3", "outPkts", "64|10.0.0.1", "speed", "70|18446744073709551615", "mtu", "2|-1", "mac", "4|"+strings.Repeat("x", 300))).
		vrtrRow("7.2", with(routed("states"), "oper", "2|99", "admin", "4|up", "type", "2|4711")).
		vrtrRow("7.3", with(routed(""), "name", "4|")).vrtrRow("7.4", with(routed(""), "name", "4x|1B5B324A0A006162")).
		vrtrRow("7.5", with(routed("c"), "name", "4|"+strings.Repeat("n", 4000))).vrtrRow("7.6", map[string]string{"in": "70|1"}).
		vrtrRow("7.7", map[string]string{"name": "4|alone"}).vrtrRow("7.8", with(routed("n"), "name", "2|5"))
	set := embeddedSet(t)
	s := serveOne(t, objects)
	first := Poll(t.Context(), s, Target{Definitions: set})
	target := routerTarget(t, first)
	r := Poll(t.Context(), s, target)
	if !r.Poll.PortsComplete || r.Poll.Outcome != device.OutcomeUp || len(r.Poll.Ports) != len(first.Poll.Ports) {
		t.Fatalf("%s %s, %d ports, then %d", r.Poll.Outcome, r.Poll.Reason, len(first.Poll.Ports), len(r.Poll.Ports))
	}
	numbers, found := make(map[int64]bool), make(map[string]device.PortState)
	for i, p := range r.Poll.Ports {
		if numbers[p.State.IfIndex] || p.State.IfIndex < 1 || p.PortID != target.Ports[i].ID || len(p.State.Row) > 64 || len(p.State.IfName) > maxText {
			t.Errorf("port %+v", p)
		}
		numbers[p.State.IfIndex], found[p.State.Row] = true, p.State
		if p.State.Row == "vrtr:7.1" {
			if got, want := valuesOf(portMeasurements(r)[p.PortID]), "- - - - - - - - - - - - - - -"; got != want && got != "" {
				t.Errorf("wrong types are filed as %s", got)
			}
		}
	}
	for row, there := range map[string]bool{
		"vrtr:0": true, "vrtr:4294967295.4294967295": true, "vrtr:2": true, "vrtr:2.3.4": true, "vrtr:7.1": true, "vrtr:7.2": true,
		"vrtr:7.3": false, "vrtr:7.4": true, "vrtr:7.5": true, "vrtr:7.6": false, "vrtr:7.7": false, "vrtr:7.8": false, "vrtr:1.1": false,
	} {
		if _, ok := found[row]; ok != there {
			t.Errorf("%s is a port: %v", row, ok)
		}
	}
	if p := found["vrtr:7.1"]; p.IfSpeed != maxSpeed || p.IfMTU != 0 || p.IfPhysAddress != "" {
		t.Errorf("bad types: %+v", p)
	}
	if p := found["vrtr:7.2"]; p.IfOperStatus != "" || p.IfAdminStatus != "" || p.IfType != "4711" {
		t.Errorf("bad states: %+v", p)
	}
	if p := found["vrtr:7.4"]; strings.ContainsAny(p.IfName, "\x1b\n\x00") || !strings.Contains(p.IfName, "ab") {
		t.Errorf("a name of control characters: %q", p.IfName)
	}
}

// The poller's names and those of definitions are the same.
func TestColumnsOfDefinitionsAreFields(t *testing.T) {
	t.Parallel()
	if !slices.Equal(slices.Sorted(slices.Values(definitions.PortColumns())), slices.Sorted(slices.Values(fieldNames[:narrowInOctets]))) {
		t.Errorf("definitions know %q, polls %q", definitions.PortColumns(), fieldNames[:narrowInOctets])
	}
	if !slices.Equal(definitions.AdminStatuses(), adminStatus[:]) || !slices.Equal(definitions.OperStatuses(), operStatus[:]) {
		t.Error("the states are not the same")
	}
}
