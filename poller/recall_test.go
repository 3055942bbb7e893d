package poller

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// polled makes the target of the poll after a report.
func polled(r Report, outcome device.Outcome) Target {
	d := device.Device{ID: 7, Status: device.StatusUp, LastOutcome: outcome, PolledAt: r.Poll.At, Facts: *r.Poll.Facts}
	// No hour of the device begins before the next poll.
	for window(d.ID, d.PolledAt) != window(d.ID, d.PolledAt.Add(time.Minute)) {
		d.ID++
	}
	return Target{Device: d, Ports: knownAs(r)}
}

// askedFixed says for which ifIndex ifDescr was asked: "all" when by its column.
func (s *scripted) askedFixed() string {
	for _, oids := range s.tables {
		if slices.Contains(oids, columns[fieldDescr]) {
			return "all"
		}
	}
	found := ""
	for _, oids := range s.gets {
		for _, oid := range oids {
			if len(oid) > len(columns[fieldDescr]) && oid[:len(columns[fieldDescr])+1] == columns[fieldDescr]+"." {
				found += " " + string(oid[len(columns[fieldDescr])+1:])
			}
		}
	}
	return found
}

func TestFixedColumnsAreReadWhenNeeded(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(360_000)
	for i := range 8 {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	objects.row(9, with(ethernet("p9"), "2", "4|Null qos")).row(10, with(ethernet("p10"), "8", "2|6"))
	s := &scripted{Session: serveOne(t, objects)}
	first := Poll(t.Context(), s, Target{})
	if len(first.Poll.Ports) != 8 {
		t.Fatalf("%d ports", len(first.Poll.Ports))
	}
	for _, c := range []struct {
		name   string
		change func(*Target)
		want   string
	}{
		// Row 9 is hidden by its ifDescr, which the inventory does not hold; row 10 by its state.
		{"nothing changed", func(*Target) {}, " 9"},
		{"another name", func(t *Target) { t.Ports[2].State.IfName = "eth3" }, " 3 9"},
		{"an unknown port", func(t *Target) { t.Ports = t.Ports[:7] }, " 8 9"},
		{"a vanished port came back", func(t *Target) { t.Ports[0].Vanished = true }, " 1 9"},
		{"a port of which the type was never read", func(t *Target) { t.Ports[4].State.IfType = "" }, " 5 9"},
		{"many unknown ports", func(t *Target) { t.Ports = nil; t.Ports = []device.Port{} }, " 1 2 3 4 5 6 7 8 9"},
		{"last poll incomplete", func(t *Target) { t.Device.LastOutcome = device.OutcomePartial }, "all"},
		{"last poll down", func(t *Target) { t.Device.LastOutcome = device.OutcomeDown }, "all"},
		{"restarted", func(t *Target) { t.Device.Facts.Uptime = 48 * time.Hour }, "all"},
		{"an hour later", func(t *Target) { t.Device.PolledAt = t.Device.PolledAt.Add(-time.Hour) }, "all"},
		{"never polled", func(t *Target) { t.Device.PolledAt = time.Time{} }, "all"},
	} {
		target := polled(first, device.OutcomeUp)
		c.change(&target)
		s.tables, s.gets = nil, nil
		r := Poll(t.Context(), s, target)
		if got := s.askedFixed(); got != c.want {
			t.Errorf("%s: ifDescr asked for %q, want %q", c.name, got, c.want)
		}
		if r.Poll.Outcome != device.OutcomeUp || !r.Poll.PortsComplete || len(r.Poll.Ports) != 8 {
			t.Errorf("%s: %s %s, %d ports", c.name, r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Ports))
			continue
		}
		for i := range r.Poll.Ports {
			if r.Poll.Ports[i].State != first.Poll.Ports[i].State {
				t.Errorf("%s: state %+v, was %+v", c.name, r.Poll.Ports[i].State, first.Poll.Ports[i].State)
			}
		}
	}
}

// After a poll that was cut short the counters come before what hardly ever
// changes: a device that is too slow for its interval would never get to them.
func TestFixedColumnsComeLastAfterAPartialPoll(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(360_000)
	for i := range 30 {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	s := &scripted{Session: serveOne(t, objects)}
	first := Poll(t.Context(), s, Target{})
	s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		if slices.Contains(r.Columns, columns[fieldDescr]) {
			return context.DeadlineExceeded
		}
		return s.Session.Table(ctx, r, each)
	}
	target := polled(first, device.OutcomePartial)
	r := Poll(t.Context(), s, target)
	if len(portMeasurements(r)) != 30 || r.Poll.Outcome != device.OutcomePartial || r.Poll.PortsComplete ||
		r.Poll.Reason != "module ports: read descriptions: the device is too slow for its interval" {
		t.Errorf("%d ports measured; %s: %s", len(portMeasurements(r)), r.Poll.Outcome, r.Poll.Reason)
	}
	for i := range r.Poll.Ports {
		if r.Poll.Ports[i].State != first.Poll.Ports[i].State {
			t.Errorf("state became %+v", r.Poll.Ports[i].State)
		}
	}
	// In time again, it is read: another MTU is seen.
	s.table, target.Ports[0].State.IfMTU = nil, 9000
	if r = Poll(t.Context(), s, target); r.Poll.Outcome != device.OutcomeUp || r.Poll.Ports[0].State.IfMTU != 1500 {
		t.Errorf("%s: MTU %d", r.Poll.Outcome, r.Poll.Ports[0].State.IfMTU)
	}
}

// Each device reads its fixed columns once in an hour, and not all devices at the same minute.
func TestHoursOfDevicesAreSpread(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_795_340_000, 0)
	var begin [60]int
	for id := range int64(6000) {
		changes := 0
		for minute := range 60 {
			at := start.Add(time.Duration(minute) * time.Minute)
			if window(id, at) != window(id, at.Add(time.Minute)) {
				changes++
				begin[minute]++
			}
		}
		if changes != 1 {
			t.Fatalf("device %d has %d new hours within an hour", id, changes)
		}
	}
	if least, most := slices.Min(begin[:]), slices.Max(begin[:]); least < 80 || most > 120 {
		t.Errorf("between %d and %d of 6,000 devices begin their hour in the same minute", least, most)
	}
}

// The plan of a known switch must stay cheap: 19 requests for 48 ports, 23 with the fixed columns.
func TestRequestsOfAPoll(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(360_000)
	for i := range 48 {
		objects.row(10101+i, ethernet(fmt.Sprint("Gi1/0/", i+1)))
	}
	dial := serve(t, map[string]mib{"device": objects})
	first := Poll(t.Context(), dial("device", snmp.V2c), Target{})
	for _, c := range []struct {
		last device.Outcome
		most int
	}{{device.OutcomeUp, 19}, {device.OutcomePartial, 24}} {
		target := polled(first, c.last)
		s := dial("device", snmp.V2c)
		r := Poll(t.Context(), s, target)
		if got := s.Stats().Requests; got > c.most || len(portMeasurements(r)) != 48 {
			t.Errorf("%d requests for 48 ports after a poll that was %s, want at most %d; %d measured",
				got, c.last, c.most, len(portMeasurements(r)))
		}
	}
}
