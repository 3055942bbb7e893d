package poller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/secret"
	"pollux/snmp"
)

func TestFirstRequestDecides(t *testing.T) {
	t.Parallel()
	up := serveOne(t, mib{}.system(100))
	for _, c := range []struct {
		name    string
		status  device.Status
		err     error
		want    device.Outcome
		tries   int
		timeout time.Duration
	}{
		{"silent, was up", device.StatusUp, fmt.Errorf("snmp get: %w", snmp.ErrTimeout), device.OutcomeDown, 6, 3 * time.Second},
		{"silent, new", device.StatusNew, snmp.ErrTimeout, device.OutcomeDown, 6, 3 * time.Second},
		{"silent, was down", device.StatusDown, snmp.ErrTimeout, device.OutcomeDown, 2, time.Second},
		{"keys refused", device.StatusUp, fmt.Errorf("snmp get: %w", snmp.ErrAuth), device.OutcomeAuth, 6, 3 * time.Second},
		{"port unreachable", device.StatusUp, errors.New("connection refused"), device.OutcomeDown, 6, 3 * time.Second},
		{"an error-status is an answer", device.StatusDown, &snmp.StatusError{Status: "genErr"}, device.OutcomeUp, 2, time.Second},
		{"nonsense is an answer", device.StatusUp, snmp.ErrUnexpected, device.OutcomeUp, 6, 3 * time.Second},
		{"answers", device.StatusUp, nil, device.OutcomeUp, 6, 3 * time.Second},
	} {
		s := &scripted{Session: up, probe: func(oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
			if oid != "1.3.6.1.2.1.1.3.0" || tries != c.tries || timeout != c.timeout {
				t.Errorf("%s: probe %s with %d tries of %s", c.name, oid, tries, timeout)
			}
			return snmp.Variable{}, c.err
		}}
		before := time.Now()
		r := Poll(t.Context(), s, Target{
			Device: device.Device{ID: 7, Status: c.status}, Timeout: 3 * time.Second, Retries: 5,
		})
		if r.Poll.Outcome != c.want {
			t.Errorf("%s: outcome %s (%s), want %s", c.name, r.Poll.Outcome, r.Poll.Reason, c.want)
		}
		if dead := c.want != device.OutcomeUp; dead != (r.Poll.Reason != "") || dead != (len(r.Modules) == 0) {
			t.Errorf("%s: reason %q, %d modules", c.name, r.Poll.Reason, len(r.Modules))
		}
		if r.Poll.DeviceID != 7 || r.FirstRequest.Before(before) || r.Poll.At.Before(before) || r.Poll.Duration <= 0 {
			t.Errorf("%s: device %d, first request %s, at %s, duration %s",
				c.name, r.Poll.DeviceID, r.FirstRequest, r.Poll.At, r.Poll.Duration)
		}
	}
}

// A device that answers but has no sysUpTime is up: so do 27 of 150 recorded ones.
func TestMissingUptimeIsUp(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(1).row(1, ethernet("a"))
	delete(objects, "1.3.6.1.2.1.1.3.0")
	dial := serve(t, map[string]mib{"device": objects})
	for _, version := range []snmp.Version{snmp.V1, snmp.V2c} {
		r := Poll(t.Context(), dial("device", version), Target{Timeout: time.Second})
		if r.Poll.Outcome != device.OutcomeUp || len(r.Poll.Ports) != 1 || r.Poll.Facts.SysName != "sw1" {
			t.Errorf("%s: outcome %s (%s), %d ports", version, r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Ports))
		}
		if len(fromSNMP(r)) != 0 {
			t.Errorf("%s: an uptime was measured: %v", version, r.Measurements)
		}
	}
}

// What really happens: a community that is not answered, and a port where nobody listens.
func TestDownOverTheNetwork(t *testing.T) {
	t.Parallel()
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: closed.LocalAddr().(*net.UDPAddr).AddrPort().Port(),
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	refused := Poll(t.Context(), nobody, Target{Timeout: 20 * time.Millisecond})
	if refused.Poll.Outcome != device.OutcomeDown || refused.Poll.Reason == "" {
		t.Errorf("nobody listens: outcome %s, reason %q", refused.Poll.Outcome, refused.Poll.Reason)
	}
	dial := serve(t, map[string]mib{"device": mib{}.system(1)})
	r := Poll(t.Context(), dial("other", snmp.V2c), Target{Timeout: 20 * time.Millisecond, Retries: 1})
	if r.Poll.Outcome != device.OutcomeDown || r.Poll.Reason == "" || len(fromSNMP(r)) > 0 {
		t.Errorf("wrong community: outcome %s, reason %q", r.Poll.Outcome, r.Poll.Reason)
	}
	if r.Poll.Duration < 40*time.Millisecond {
		t.Errorf("gave up after %s, before two tries of 20 ms", r.Poll.Duration)
	}
}

func TestInterruptedFirstRequest(t *testing.T) {
	t.Parallel()
	probe := func(snmp.OID, int, time.Duration) (snmp.Variable, error) {
		return snmp.Variable{}, context.DeadlineExceeded
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if r := Poll(stopped, &scripted{probe: probe}, Target{}); r.Poll.Outcome != device.OutcomeSkipped {
		t.Errorf("a stop of the node gave %s", r.Poll.Outcome)
	}
	late, end := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer end()
	if r := Poll(late, &scripted{probe: probe}, Target{Timeout: time.Second}); r.Poll.Outcome != device.OutcomeSkipped {
		t.Errorf("a deadline before the first try had its time gave %s", r.Poll.Outcome)
	}
	if r := Poll(late, &scripted{probe: probe}, Target{Timeout: time.Nanosecond}); r.Poll.Outcome != device.OutcomeDown {
		t.Errorf("a deadline after all tries gave %s", r.Poll.Outcome)
	}
}

type fakeModule struct {
	name string
	run  func(c *Context) error
}

func (m fakeModule) Name() string                            { return m.name }
func (m fakeModule) Run(_ context.Context, c *Context) error { return m.run(c) }

func TestModulesAreIsolated(t *testing.T) {
	t.Parallel()
	s := serveOne(t, mib{}.system(100))
	var table []int
	measure := func(c *Context) error {
		c.Report.Measurements = append(c.Report.Measurements, measurement.Measurement{Instance: 1})
		return nil
	}
	r, _ := poll(t.Context(), s, Target{}, nil, []Module{
		fakeModule{"broken", func(*Context) error { return errors.New("no\nluck") }},
		fakeModule{"panics", func(*Context) error { _ = table[3]; return nil }},
		fakeModule{"throws", func(*Context) error { panic(strings.Repeat("x", 10_000)) }},
		fakeModule{"works", measure},
	})
	if r.Poll.Outcome != device.OutcomePartial || len(fromSNMP(r)) != 1 || len(r.Modules) != 4 {
		t.Fatalf("outcome %s, %d measurements, %d modules", r.Poll.Outcome, len(fromSNMP(r)), len(r.Modules))
	}
	for i, failed := range []bool{true, true, true, false} {
		m := r.Modules[i]
		if (m.Err != nil) != failed || m.Duration <= 0 {
			t.Errorf("module %s: error %v, duration %s", m.Name, m.Err, m.Duration)
		}
		if failed && (len(m.Err.Error()) > 200 || strings.Contains(m.Err.Error(), "goroutine")) {
			t.Errorf("module %s: error of %d bytes: %.300s", m.Name, len(m.Err.Error()), m.Err)
		}
	}
	reason := r.Poll.Reason
	if !strings.HasPrefix(reason, "module broken: no luck; module panics: panic: runtime error: index out of range") ||
		len(reason) > 200 {
		t.Errorf("reason %q", reason)
	}
}

// A module that fails in earnest: the system group is refused, the ports are read all the same.
func TestFailedCoreLeavesPorts(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, mib{}.system(100).row(1, ethernet("a")))}
	s.get = func(context.Context, []snmp.OID) ([]snmp.Variable, error) {
		return nil, &snmp.StatusError{Status: "genErr"}
	}
	r := Poll(t.Context(), s, Target{Ports: []device.Port{{ID: 3, State: device.PortState{IfIndex: 1, IfName: "a"}}}})
	if r.Poll.Outcome != device.OutcomePartial || r.Poll.Reason != "module core: get the system group: agent answers genErr" {
		t.Errorf("outcome %s, reason %q", r.Poll.Outcome, r.Poll.Reason)
	}
	if r.Poll.Facts != nil || !r.Poll.PortsComplete || len(fromSNMP(r)) != 2 {
		t.Errorf("facts %v, complete %v, %d measurements", r.Poll.Facts, r.Poll.PortsComplete, len(fromSNMP(r)))
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	s := &scripted{Session: serveOne(t, mib{}.system(100).row(1, ethernet("a")))}
	s.table = func(context.Context, snmp.TableRequest, func(snmp.Cell)) error {
		stop()
		return ctx.Err()
	}
	r := Poll(ctx, s, Target{})
	if r.Poll.Outcome != device.OutcomePartial || len(s.tables) != 1 || r.Poll.PortsComplete {
		t.Errorf("outcome %s after %d tables, complete %v", r.Poll.Outcome, len(s.tables), r.Poll.PortsComplete)
	}
	if r.Poll.Facts == nil || len(fromSNMP(r)) != 1 {
		t.Errorf("what was read before the end is lost: facts %v, %d measurements", r.Poll.Facts, len(fromSNMP(r)))
	}
}
