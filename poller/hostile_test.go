package poller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pollux/device"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

const (
	hostilePorts = 48
	sickTimeout  = 100 * time.Millisecond
	sickRetries  = 5
	sickDeadline = 30 * time.Second // of a poll that ends by itself; 0.8 of the interval in the product
	slowDeadline = 4 * time.Second
	deadWorker   = 8 * time.Second // that a dead device may hold
	sickRequests = 2000            // that a poll may send: 4,192 rows of 6 columns and 30,000 of one, 60 variables each
)

// sick is an agent on 127.0.0.1 that plays a script.
type sick struct {
	*simulator.Agent
	t        *testing.T
	timeout  time.Duration
	deadline time.Duration
}

func startSick(t *testing.T, script string) sick {
	t.Helper()
	return startSickOf(t, script, hostilePorts)
}

func startSickOf(t *testing.T, script string, ports int) sick {
	t.Helper()
	agent, err := simulator.New(simulator.Config{
		Listen: "127.0.0.1:0", Ports: ports, Hostile: []string{script}, HostileSeed: 1, V3: &simulator.User{
			Name: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("first password"), PrivProtocol: "AES", PrivPassword: secret.New("second password"),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-agent.Ready()
	return sick{agent, t, sickTimeout, sickDeadline}
}

// poll polls as a consumer does: a session of its own, and a deadline.
func (s sick) poll(v snmp.Version, target Target) Report {
	s.t.Helper()
	credentials := snmp.Credentials{Version: v, Community: secret.New("public")}
	if v == snmp.V3 {
		credentials = snmp.Credentials{
			Version: v, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("first password"),
			PrivProtocol: "AES", PrivPassword: secret.New("second password"),
		}
	}
	target.Timeout, target.Retries = s.timeout, sickRetries
	session, err := snmp.Dial(s.t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: s.Addr(0).Port(), Timeout: s.timeout, Retries: sickRetries, Credentials: credentials,
	}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.deadline)
	defer cancel()
	return Poll(ctx, session, target)
}

// TestHostileDevices polls a device of each script in two slots. Whatever it
// does, the poll ends in time with a short reason, and no port is lost or filed wrongly.
func TestHostileDevices(t *testing.T) {
	t.Parallel()
	inventory := startSick(t, simulator.Honest).poll(snmp.V2c, Target{})
	if len(inventory.Poll.Ports) != hostilePorts {
		t.Fatalf("%d ports: %s", len(inventory.Poll.Ports), inventory.Poll.Reason)
	}
	for _, c := range []struct {
		script   string
		version  snmp.Version
		outcome  device.Outcome // "" for any of up and partial
		reason   string
		measured int // ports, at least
	}{
		{simulator.Honest, snmp.V2c, device.OutcomeUp, "", hostilePorts},
		{simulator.EndlessTable, snmp.V2c, device.OutcomePartial, "table too large: more than 30000 rows", 0},
		{simulator.MillionRows, snmp.V2c, device.OutcomePartial, "table too large: more than 30000 rows", 0},
		{simulator.FallingOIDs, snmp.V2c, device.OutcomePartial, "names do not increase", 0},
		{simulator.RepeatedRows, snmp.V2c, device.OutcomePartial, "names do not increase", 0},
		{simulator.SkippedRows, snmp.V2c, device.OutcomePartial, "which the device has", hostilePorts / 2},
		{simulator.HugeStrings, snmp.V2c, device.OutcomeUp, "", hostilePorts},
		{simulator.WrongOID, snmp.V2c, device.OutcomePartial, "unexpected answer: 1.3.6.1.4.1.8072.9999.9999.1 in place of 1.3.6.1.2.1.1.1.0", 0},
		{simulator.WrongCommunity, snmp.V2c, device.OutcomeDown, "messages refused", 0},
		{simulator.RequestID0, snmp.V2c, device.OutcomeDown, "messages refused", 0},
		{simulator.RequestID0, snmp.V3, device.OutcomePartial, "no response to this request", 0},
		{simulator.GenErrMidWalk, snmp.V2c, device.OutcomePartial, "agent answers genErr", 2},
		{simulator.TooBigPingPong, snmp.V2c, "", "", 0},
		{simulator.CraftedLength, snmp.V2c, device.OutcomePartial, "a length points outside of its message", 0},
		{simulator.CraftedLength, snmp.V3, device.OutcomeAuth, "", 0},
		{simulator.V3TimeJump, snmp.V3, device.OutcomeUp, "", hostilePorts},
		{simulator.V3Reboot, snmp.V3, device.OutcomeUp, "", hostilePorts},
		{simulator.V3EngineChange, snmp.V3, device.OutcomeAuth, "agent reports unknownEngineIDs", 0},
		{simulator.V3Reports, snmp.V3, device.OutcomeAuth, "agent reports", 0},
		{simulator.TooLate, snmp.V2c, device.OutcomeDown, "no answer", 0},
		{simulator.Lossy, snmp.V2c, "", "", 0},
		{simulator.BlackHole, snmp.V2c, device.OutcomeDown, "no answer", 0},
	} {
		t.Run(c.script+" "+string(c.version), func(t *testing.T) {
			t.Parallel()
			agent := startSick(t, c.script)
			target := polled(inventory, device.OutcomeUp)
			for range 2 {
				r := agent.poll(c.version, target)
				checkSick(t, agent, inventory, r)
				p := r.Poll
				either := c.outcome == "" && (p.Outcome == device.OutcomeUp || p.Outcome == device.OutcomePartial)
				if p.Outcome != c.outcome && !either || !strings.Contains(p.Reason, c.reason) || len(portMeasurements(r)) < c.measured {
					t.Errorf("%s: %s; %d ports measured", p.Outcome, p.Reason, len(portMeasurements(r)))
				}
				target.Device.LastOutcome, target.Device.Status = p.Outcome, device.StatusUp
				if p.Outcome == device.OutcomeDown {
					target.Device.Status = device.StatusDown
				}
			}
		})
	}
}

// checkSick holds what is true of every poll, however the device behaves.
func checkSick(t *testing.T, agent sick, inventory, r Report) {
	t.Helper()
	p := r.Poll
	if p.Duration > agent.deadline+time.Second || agent.Stats().Requests > 2*sickRequests {
		t.Errorf("%d requests, %v", agent.Stats().Requests, p.Duration)
	}
	if p.Outcome == device.OutcomeDown && p.Duration > deadWorker {
		t.Errorf("a dead device took %v", p.Duration)
	}
	if len(p.Reason) > 200 || !utf8.ValidString(p.Reason) || strings.ContainsFunc(p.Reason, func(c rune) bool { return c < ' ' }) ||
		strings.Contains(p.Reason, "goroutine") || strings.Contains(p.Reason, "panic") {
		t.Errorf("reason of %d bytes: %q", len(p.Reason), p.Reason)
	}
	known := knownAs(inventory)
	for _, port := range known {
		i := slices.IndexFunc(p.Ports, func(r device.PortReading) bool { return r.PortID == port.ID })
		switch {
		case i < 0 && p.PortsComplete:
			t.Errorf("port %d is taken for missing", port.ID)
		case i < 0:
		case p.Ports[i].State.IfIndex != port.State.IfIndex || p.Ports[i].State.IfOperStatus != port.State.IfOperStatus ||
			p.Ports[i].State.IfType != port.State.IfType || p.Ports[i].State.IfMTU != port.State.IfMTU:
			t.Errorf("port %d became %+v", port.ID, p.Ports[i].State)
		case len(p.Ports[i].State.IfName) > maxText || len(p.Ports[i].State.IfAlias) > maxText:
			t.Errorf("port %d has the name %q", port.ID, p.Ports[i].State.IfName)
		}
	}
	if p.Facts != nil && p.Facts.SysName[:min(len(p.Facts.SysName), 9)] != "sim-00000" {
		t.Errorf("facts %+v", p.Facts)
	}
	model := agent.Model()
	for id, m := range portMeasurements(r) {
		number := int(id-known[0].ID) + 1
		in, ok := m.Values[0].AsCounter()
		least := model.Counter(0, number, simulator.InOctets, m.Time.Add(-time.Second))
		most := model.Counter(0, number, simulator.InOctets, m.Time.Add(time.Second))
		if in >= narrowBase { // a counter of 32 bits
			in -= narrowBase
			in |= least &^ (1<<32 - 1)
			if in < least {
				in += 1 << 32
			}
		}
		if ok && (in < least || in > most) {
			t.Errorf("port %d has %d octets, and between %d and %d are right", number, in, least, most)
		}
	}
}

// A device that takes 1.9 s for each answer is cut off at the deadline, and what it said by then is kept.
func TestSlowDevice(t *testing.T) {
	t.Parallel()
	inventory := startSick(t, simulator.Honest).poll(snmp.V2c, Target{})
	agent := startSick(t, simulator.Slow)
	agent.deadline = slowDeadline
	agent.timeout = time.Second // the answer comes during the second try
	r := agent.poll(snmp.V2c, polled(inventory, device.OutcomeUp))
	checkSick(t, agent, inventory, r)
	if r.Poll.Outcome != device.OutcomePartial || r.Poll.Facts == nil || len(fromSNMP(r)) != 1 ||
		!strings.Contains(r.Poll.Reason, "the device is too slow for its interval") || r.Poll.Duration > slowDeadline+time.Second {
		t.Errorf("%s after %v: %s; %d measurements, want the uptime", r.Poll.Outcome, r.Poll.Duration, r.Poll.Reason, len(fromSNMP(r)))
	}
}

// A chassis that the inventory does not know yet is read, although its tables are taken for endless at first.
func TestLargeDeviceIsReadAtOnce(t *testing.T) {
	t.Parallel()
	const ports = likelyRows + 500
	agent := startSickOf(t, simulator.Honest, ports)
	r := agent.poll(snmp.V2c, Target{})
	if r.Poll.Outcome != device.OutcomeUp || !r.Poll.PortsComplete || len(r.Poll.Ports) != ports {
		t.Fatalf("%s, %d ports: %s", r.Poll.Outcome, len(r.Poll.Ports), r.Poll.Reason)
	}
	first := agent.Stats().Requests
	r = agent.poll(snmp.V2c, polled(r, device.OutcomeUp))
	if r.Poll.Outcome != device.OutcomeUp || len(portMeasurements(r)) != ports || agent.Stats().Requests > 2*first {
		t.Errorf("%s: %s; %d ports measured, %d requests after %d", r.Poll.Outcome, r.Poll.Reason, len(portMeasurements(r)), agent.Stats().Requests-first, first)
	}
}

// What a table without end has brought is not what the next poll gets ready for.
func TestAnEndlessTableIsNotExpected(t *testing.T) {
	t.Parallel()
	honest := startSick(t, simulator.Honest)
	inventory := honest.poll(snmp.V2c, Target{})
	target := polled(inventory, device.OutcomeUp)
	target.Memory = honest.poll(snmp.V2c, target).Memory
	agent := startSick(t, simulator.EndlessTable)
	least := 0
	for range 4 {
		before := int(agent.Stats().Requests)
		r := agent.poll(snmp.V2c, target)
		asked := int(agent.Stats().Requests) - before
		if least == 0 || asked < least {
			least = asked
		}
		if r.Memory.rows > hostilePorts || asked > 3*least/2 {
			t.Errorf("%d requests, at least %d in another poll; the next one expects %d rows", asked, least, r.Memory.rows)
		}
		target.Memory, target.Device.LastOutcome = r.Memory, r.Poll.Outcome
	}
}

// In the other versions each script is survived too.
func TestHostileDevicesInOtherVersions(t *testing.T) {
	t.Parallel()
	inventory := startSick(t, simulator.Honest).poll(snmp.V2c, Target{})
	for _, script := range simulator.HostileNames() {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			for _, v := range []snmp.Version{snmp.V1, snmp.V3} {
				agent := startSick(t, script)
				agent.deadline = time.Second
				r := agent.poll(v, polled(inventory, device.OutcomeUp))
				if script == simulator.Mutate || v == snmp.V1 && (script == simulator.EndlessTable || script == simulator.MillionRows) {
					continue // anything may come of it; GETNEXT needs a request for each row
				}
				checkSick(t, agent, inventory, r)
			}
		})
	}
}
