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

// halfDown is a switch with eight ports; the odd ones are up, and a row is no port.
func halfDown() mib {
	objects := mib{}.system(360_000).row(20, with(ethernet("p20"), "2", "4|Null qos"))
	for i := range 8 {
		cells := ethernet(fmt.Sprint("p", i+1))
		if i%2 == 1 {
			cells = with(cells, "8", "2|2")
		}
		objects.row(i+1, cells)
	}
	return objects
}

// counted are the rows whose octets some requests named.
func (s *scripted) counted() string {
	var rows []string
	for _, oid := range slices.Concat(s.gets...) {
		if row, ok := strings.CutPrefix(string(oid), string(columns[wideInOctets])+"."); ok {
			rows = append(rows, row)
		}
	}
	for _, table := range s.tables {
		if slices.Contains(table, columns[wideInOctets]) {
			rows = append(rows, "all")
		}
	}
	return strings.Join(rows, " ")
}

// unknownOctets are the ports whose measurement says nothing, by ifIndex.
func unknownOctets(r Report) (list []int64) {
	for _, m := range portMeasurements(r) {
		if m.Values[inOctets].IsUnknown() {
			list = append(list, m.Instance)
		}
	}
	return list
}

func TestSelectedPortsAreReadOneByOne(t *testing.T) {
	t.Parallel()
	dial := serve(t, map[string]mib{
		"before": halfDown(),
		"after":  halfDown().row(2, ethernet("p2")).row(3, with(ethernet("p3"), "7", "2|2")).row(9, ethernet("p9")),
		"moved":  halfDown().row(5, ethernet("p6")).row(6, ethernet("p5")),
	})
	first := Poll(t.Context(), dial("before", snmp.V2c), Target{})
	target := polled(first, device.OutcomeUp)
	target.Memory, target.Selection = first.Memory, device.SelectAlways
	for _, c := range []struct {
		name, device string
		change       func(*Target)
		counted      string
		unknown      int
	}{
		{"all ports, and no other rows", "before", func(*Target) {}, "1 2 3 4 5 6 7 8", 0},
		{"whole columns by choice", "before", func(t *Target) { t.Selection = device.SelectNever }, "all", 0},
		{"by cost, of which nothing is known", "before", func(t *Target) { t.Selection = device.SelectAuto }, "all", 0},
		{"ports that are not measured are left out", "before", func(t *Target) { t.Ports[0].Disabled = true }, "2 3 4 5 6 7 8", 0},
		{"ports that stay down are left out", "before", func(t *Target) { t.SkipDown = true }, "1 3 5 7", 4},
		{"one that comes up is read, one that goes down a last time, a new one at once", "after", func(t *Target) { t.SkipDown = true }, "1 2 3 5 7 9", 3},
		{"numbers that changed are seen", "moved", func(t *Target) { t.SkipDown = true }, "1 3 5 6 7", 3},
		{"what restarted is read as a whole", "before", func(t *Target) { t.Device.Facts.Uptime = 48 * time.Hour }, "all", 0},
	} {
		changed := target
		changed.Ports = slices.Clone(target.Ports)
		c.change(&changed)
		s := &scripted{Session: dial(c.device, snmp.V2c)}
		report := Poll(t.Context(), s, changed)
		if got := s.counted(); got != c.counted {
			t.Errorf("%s: octets of %q are read, want %q", c.name, got, c.counted)
		}
		if got := unknownOctets(report); len(got) != c.unknown {
			t.Errorf("%s: unknown are %v, want %d", c.name, got, c.unknown)
		}
		want := 8
		if c.device == "after" {
			want = 9
		}
		if report.Poll.Outcome != device.OutcomeUp || !report.Poll.PortsComplete || len(report.Poll.Ports) != want {
			t.Errorf("%s: %s %s, %d ports", c.name, report.Poll.Outcome, report.Poll.Reason, len(report.Poll.Ports))
		}
		for _, p := range report.Poll.Ports {
			if p.State.IfIndex == 2 && p.State.IfOperStatus != map[string]string{"before": "down", "after": "up", "moved": "down"}[c.device] {
				t.Errorf("%s: the state of port 2 is %s", c.name, p.State.IfOperStatus)
			}
			if p.State.IfAlias == "" || p.State.IfType == "" || p.State.IfSpeed == 0 {
				t.Errorf("%s: port %+v", c.name, p.State)
			}
		}
	}
}

// An agent that refuses the objects of ports is asked for the columns.
func TestSelectedPortsOfAnAgentThatRefuses(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, halfDown())}
	target := polled(Poll(t.Context(), s, Target{}), device.OutcomeUp)
	target.Selection = device.SelectAlways
	s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		if strings.HasPrefix(string(oids[0]), string(ifXEntry)) {
			return nil, &snmp.StatusError{Status: "genErr"}
		}
		return s.Session.Get(ctx, oids...)
	}
	report := Poll(t.Context(), s, target)
	if report.Poll.Outcome != device.OutcomeUp || len(report.Poll.Ports) != 8 || len(unknownOctets(report)) != 0 {
		t.Errorf("%s %s, %d ports, unknown %v", report.Poll.Outcome, report.Poll.Reason, len(report.Poll.Ports), unknownOctets(report))
	}
}

// Each way is tried, the clearly cheaper one stays, and the other is tried again now and then.
func TestPortsAreReadTheWayThatTakesLess(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	var c costs
	take := func(polls int, walked, selected time.Duration) (ones string) {
		for range polls {
			one := c.next()
			c.spent(one, map[bool]time.Duration{false: walked, true: selected}[one])
			ones += map[bool]string{false: "w", true: "s"}[one]
		}
		return ones
	}
	if got := take(8, 100*ms, 90*ms); got != "wwwsssww" {
		t.Errorf("a way that takes hardly less: %s", got)
	}
	if got := take(99, 100*ms, 90*ms); strings.Count(got, "s") != 1 {
		t.Errorf("it is tried again: %s", got)
	}
	// It takes much less from now on: after as many tries as a median needs it stays.
	if got := take(400, 100*ms, 20*ms); strings.Count(got[:250], "s") > 60 || !strings.HasSuffix(got, strings.Repeat("s", 80)) {
		t.Errorf("a way that takes much less: %s", got)
	}
	// One poll that was held up changes nothing; a way that has become dearer does.
	c.spent(true, time.Minute)
	if !c.next() {
		t.Error("one slow poll changed the way")
	}
	if got := take(6, 100*ms, 300*ms); !strings.HasSuffix(got, "www") {
		t.Errorf("a way that takes more: %s", got)
	}
}

// A device of which ports are not read completely one by one is read by its columns from then on.
func TestPortsThatFailOneByOneAreWalked(t *testing.T) {
	t.Parallel()
	var s costs
	for range len(s.walked) {
		if s.next() {
			t.Fatal("it reads one by one before it knows what a walk takes")
		}
		s.spent(false, time.Second)
	}
	if !s.next() {
		t.Fatal("it does not try to read one by one")
	}
	s.failed(time.Millisecond)
	for n := range retestEvery {
		if s.next() {
			t.Fatalf("it reads one by one again after %d polls", n)
		}
		s.spent(false, time.Second)
	}
	if !s.next() {
		t.Error("it never tries again")
	}
}
