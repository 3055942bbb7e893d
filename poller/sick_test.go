package poller

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

const sickPorts = 3

// ward is simulated devices whose counters fail, at a time of its own.
type ward struct {
	t       *testing.T
	agent   *simulator.Agent
	ahead   atomic.Int64 // of the ward's time, in ns
	version snmp.Version
}

func newWard(t *testing.T, c simulator.Config) *ward {
	t.Helper()
	w := &ward{t: t, version: snmp.V2c}
	c.Listen, c.Ports, c.Now = "127.0.0.1:0", sickPorts, w.now
	var err error
	if w.agent, err = simulator.New(c, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-w.agent.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal("the simulator ended:", err)
	}
	return w
}

func (w *ward) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// dated is a session whose times are those of the ward.
type dated struct {
	Session
	ahead time.Duration
}

func (d dated) Probe(ctx context.Context, oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
	v, err := d.Session.Probe(ctx, oid, tries, timeout)
	v.At = v.At.Add(d.ahead)
	return v, err
}

func (d dated) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars, err := d.Session.Greet(ctx, tries, timeout, oids...)
	for i := range vars {
		vars[i].At = vars[i].At.Add(d.ahead)
	}
	return vars, err
}

func (d dated) Get(ctx context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars, err := d.Session.Get(ctx, oids...)
	for i := range vars {
		vars[i].At = vars[i].At.Add(d.ahead)
	}
	return vars, err
}

func (d dated) Table(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
	return d.Session.Table(ctx, r, func(c snmp.Cell) {
		c.At = c.At.Add(d.ahead)
		each(c)
	})
}

// poll polls the device at a time.
func (w *ward) poll(at time.Time, target Target) Report {
	w.t.Helper()
	w.ahead.Store(int64(time.Until(at)))
	session, err := snmp.Dial(w.t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: w.agent.Addr(0).Port(), Timeout: 10 * time.Second,
		Credentials: snmp.Credentials{Version: w.version, Community: secret.New("public")},
	}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer session.Close()
	return Poll(w.t.Context(), dated{session, time.Duration(w.ahead.Load())}, target)
}

// memory is what a node knows of the device: with a database all have the same, without each has its own.
type memory struct {
	device device.Device
	ports  []device.Port
}

// take takes a report over as the store does.
func (m *memory) take(slot int64, r Report) {
	d := &m.device
	d.PolledAt, d.PolledSlot, d.LastOutcome, d.Facts = r.Poll.At, slot, r.Poll.Outcome, *r.Poll.Facts
	found := matched(m.ports, r)
	for i, reading := range r.Poll.Ports {
		if k := found[i]; k >= 0 {
			m.ports[k].State, m.ports[k].Vanished, m.ports[k].Missed = reading.State, false, 0
			continue
		}
		var number int64
		if _, err := fmt.Sscanf(reading.State.IfName, "GigabitEthernet0/%d", &number); err != nil {
			_, _ = fmt.Sscanf(reading.State.IfName, "FastEthernet0/%d", &number)
		}
		m.ports = append(m.ports, device.Port{ID: number, State: reading.State})
	}
}

// matched is which known port each reading of a report is.
func matched(known []device.Port, r Report) []int { return device.MatchPorts(known, r.Poll.Ports) }

// filed is what the file of a port got: its samples, in their order.
type filed map[int64][]measurement.Measurement

func (f filed) take(list []measurement.Measurement, last time.Time) (newest time.Time) {
	for _, m := range measurement.Part(list, last, 1000) {
		if m.Kind == measurement.KindPort {
			f[m.Instance] = append(f[m.Instance], m)
		}
		newest = later(newest, m.Time)
	}
	return newest
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// derive is the rate that RRDtool makes of two samples of a DERIVE source with minimum 0 (rrd_update.c).
func derive(a, b measurement.Measurement, source int) float64 {
	from, ok := a.Values[source].AsCounter()
	to, known := b.Values[source].AsCounter()
	if !ok || !known || to < from {
		return math.NaN()
	}
	rate := float64(to-from) / b.Time.Sub(a.Time).Seconds()
	if rate > float64(b.Max) {
		return math.NaN()
	}
	return rate
}

// sources are those whose closed form is compared.
var sources = map[int]simulator.Column{
	inOctets: simulator.InOctets, outOctets: simulator.OutOctets, 2: simulator.InErrors, 4: simulator.InUcastPkts, 5: simulator.OutUcastPkts,
}

// judge compares each stretch between two samples with what was counted in it.
// It returns the seconds in which the octets of a port were unknown.
func (f filed) judge(t *testing.T, model simulator.Model, port int) (unknown float64) {
	t.Helper()
	list := f[int64(port)]
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		seconds := b.Time.Sub(a.Time).Seconds()
		for source, column := range sources {
			got := derive(a, b, source)
			want := float64(model.Traffic(0, port, column, a.Time, b.Time)) / seconds
			switch {
			case math.IsNaN(got) && source == inOctets:
				unknown += seconds
			case math.Abs(got-want) > 0.01*want+2/seconds:
				t.Errorf("port %d, %v: %.0f/s from %v to %v, want %.0f", port, column, got, a.Time, b.Time, want)
			}
		}
	}
	return unknown
}

// Whatever befalls the counters, each rate is right or unknown. Two nodes
// alternate, with the database and without it. Unknown are the slots around the failure alone.
func TestSickCountersAreRightOrUnknown(t *testing.T) {
	t.Parallel()
	const slots = 14
	for _, c := range []struct {
		name    string
		every   int           // seconds; 0 is 60
		ago     time.Duration // of the counters' begin
		only32  bool
		sick    []simulator.Sickness // At and Until are slots here
		want    int                  // slots that are unknown, of the first port
		exactly bool
	}{
		{name: "healthy", ago: time.Hour, exactly: true},
		{name: "healthy, 32 bits", every: 10, ago: 10 * time.Second, only32: true, exactly: true},
		{name: "wrap of 32 bits", every: 10, ago: time.Minute, only32: true, sick: sickness(simulator.Wrap32, 4, 0), want: 1, exactly: true},
		{name: "wrap of 64 bits", ago: time.Hour, sick: sickness(simulator.Wrap64, 4, 0), want: 1, exactly: true},
		{name: "the low half of 64 bits wraps", ago: time.Minute, sick: sickness(simulator.Wrap32, 4, 0), exactly: true},
		{name: "reset", ago: time.Hour, sick: sickness(simulator.Reset, 4, 0), want: 1, exactly: true},
		{name: "reset, already higher", ago: 5 * time.Second, sick: sickness(simulator.Reset, 0.1, 0), want: 1, exactly: true},
		{name: "hidden reset", ago: time.Hour, sick: sickness(simulator.HiddenReset, 4, 0), want: 1, exactly: true},
		{name: "discontinuity", ago: time.Hour, sick: sickness(simulator.Discontinuity, 4, 0), want: 1, exactly: true},
		{name: "frozen", ago: time.Hour, sick: sickness(simulator.Frozen, 4, 8), exactly: true},
		{name: "reboot", ago: time.Hour, sick: sickness(simulator.Reboot, 4, 0), want: 1, exactly: true},
		{name: "reboot, already higher", ago: 5 * time.Second, sick: sickness(simulator.Reboot, 0.1, 0), want: 1, exactly: true},
		{name: "two reboots in one slot", ago: time.Hour, want: 1, exactly: true,
			sick: append(sickness(simulator.Reboot, 4, 0), sickness(simulator.Reboot, 4.3, 0)...)},
		{name: "reboots in each slot", ago: time.Hour, sick: append(sickness(simulator.Reboot, 4, 0), sickness(simulator.Reboot, 5, 0)...), want: 2, exactly: true},
		{name: "uptime wraps", ago: time.Hour, sick: sickness(simulator.UptimeWrap, 4, 0), exactly: true},
		{name: "uptime wraps, then a reset", ago: time.Hour, want: 1, exactly: true,
			sick: append(sickness(simulator.UptimeWrap, 4, 0), sickness(simulator.Discontinuity, 7, 0)...)},
		{name: "ports renumbered", ago: time.Hour, sick: sickness(simulator.Shuffle, 4, 0), want: 1},
		{name: "ports renumbered by a reboot", ago: time.Hour, sick: append(sickness(simulator.Shuffle, 4, 0), sickness(simulator.Reboot, 4, 0)...), want: 1},
		{name: "no 64 bits for a while", every: 10, ago: 24 * time.Hour, sick: sickness(simulator.Narrow, 4, 6), want: 2, exactly: true},
		{name: "32 bits that may wrap twice in a slot", ago: 24 * time.Hour, sick: sickness(simulator.Narrow, 4, 8), want: 5, exactly: true},
	} {
		for nodes := 1; nodes <= 2; nodes++ { // memories: 1 is a database
			t.Run(fmt.Sprintf("%s, %d memories", c.name, nodes), func(t *testing.T) {
				t.Parallel()
				interval := c.every
				if interval == 0 {
					interval = 60
				}
				begin := time.Now().Truncate(time.Second)
				offset := func(slot time.Time) time.Time {
					return begin.Add(time.Duration(slot.UnixNano()) * time.Duration(interval))
				}
				config := simulator.Config{Epoch: begin.Add(-c.ago), Only32Bit: c.only32}
				for _, s := range c.sick {
					if s.At = offset(s.At); !s.Until.IsZero() {
						s.Until = offset(s.Until)
					}
					config.Sick = append(config.Sick, s)
				}
				w := newWard(t, config)
				files, memories := filed{}, make([]memory, nodes)
				for i := range memories {
					memories[i] = w.admit(begin.Add(-time.Second/2), interval)
				}
				w.visit(begin, slots, interval, memories, files)
				for port := 1; port <= sickPorts; port++ {
					unknown := files.judge(t, w.agent.Model(), port) / float64(interval)
					least, most := float64(c.want)-0.2, float64(c.want*nodes)+0.2
					if c.exactly {
						most = float64(c.want) + 0.2
					} else {
						least = 0
					}
					if unknown < least || unknown > most {
						t.Errorf("port %d: %.1f slots are unknown, want %.1f to %.1f", port, unknown, least, most)
					}
					if len(files[int64(port)]) < slots {
						t.Errorf("port %d: %d samples", port, len(files[int64(port)]))
					}
				}
			})
		}
	}
}

// sickness befalls all ports in a slot, 0.4 of it after its beginning; until is a slot too, 0 for none.
func sickness(a simulator.Ailment, slot, until float64) []simulator.Sickness {
	at := func(slot float64) time.Time { return time.Unix(0, int64((slot+0.4)*1e9)) }
	s := simulator.Sickness{Ailment: a, At: at(slot)}
	if until > 0 {
		s.Until = at(until)
	}
	return []simulator.Sickness{s}
}

// admit learns the ports of the device.
func (w *ward) admit(at time.Time, interval int) (m memory) {
	m.device = device.Device{ID: 7, Interval: interval}
	m.take(0, w.poll(at, Target{Device: m.device}))
	m.device.PolledSlot, m.device.LastOutcome, m.device.PolledAt = 0, "", time.Time{}
	return m
}

// visit polls slot after slot, somewhere in the first second of each, by one node after the other.
func (w *ward) visit(begin time.Time, slots, interval int, memories []memory, files filed) {
	w.t.Helper()
	var last time.Time
	var lastSlot time.Time
	for k := range slots {
		slot := begin.Add(time.Duration(k*interval) * time.Second)
		at := slot.Add(time.Duration(k*370%1000) * time.Millisecond)
		m := &memories[k%len(memories)]
		target := Target{Device: m.device, Ports: m.ports, Timeout: 10 * time.Second}
		if !lastSlot.IsZero() {
			target.Since, target.Sampled = lastSlot.Add(-2*time.Second), last
		}
		r := w.poll(at, target)
		if r.Poll.Outcome != device.OutcomeUp || len(r.Poll.Ports) != sickPorts {
			w.t.Fatalf("slot %d: %s %s, %d ports", k, r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Ports))
		}
		last, lastSlot = files.take(r.Measurements, last), slot
		m.take(slot.Unix(), r)
	}
}
