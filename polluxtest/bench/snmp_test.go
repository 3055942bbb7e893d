//go:build gosnmp_nodebug

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pollux/device"
	"pollux/poller"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/snmp"
)

const (
	ports    = 48  // of each device
	agents   = 200 // simulated devices that are asked in turn
	inFlight = 50  // polls at the same time, for each of GOMAXPROCS

	v3User     = "bench"
	v3Password = "correct horse" // of both protocols
)

var (
	v2c = snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")}
	v3  = snmp.Credentials{
		Version: snmp.V3, User: v3User, AuthProtocol: "SHA-256", AuthPassword: secret.New(v3Password),
		PrivProtocol: "AES", PrivPassword: secret.New(v3Password),
	}
)

// BenchmarkSNMP is one poll of a device of 48 ports, from the socket to the
// measurements: packages snmp and poller. The simulated devices are another process.
//
// client-ms/op is the CPU time of this process, agent-ms/op that of the
// simulator; pdus/op are the requests, values/op the objects that were read.
func BenchmarkSNMP(b *testing.B) {
	port := polluxtest.FreePort(b)
	simulator := simulate(b, binary(b), fmt.Sprintf("127.101.0.0/16:%d", port), "--devices", strconv.Itoa(agents), "--ports", strconv.Itoa(ports),
		"--user", v3User, "--auth-protocol", v3.AuthProtocol, "--auth-password", v3Password,
		"--privacy-protocol", v3.PrivProtocol, "--privacy-password", v3Password)
	first := netip.AddrPortFrom(netip.MustParseAddr("127.101.0.1"), uint16(port))
	for _, c := range []struct {
		name        string
		credentials snmp.Credentials
		known       bool // the inventory knows the ports
	}{
		{"v2c-usual", v2c, true}, {"v2c-first", v2c, false}, {"v3-usual", v3, true},
	} {
		f := newFleet(b, first, c.credentials, c.known)
		b.Run(c.name, func(b *testing.B) { f.run(b, simulator.pid) })
	}
}

// fleet are the devices that are polled in turn.
type fleet struct {
	targets []poller.Target
	keys    *snmp.KeyCache
	next    atomic.Int64
	pdus    atomic.Int64
	values  int // of one poll
}

// newFleet polls each device once, and so learns its ports.
func newFleet(b *testing.B, first netip.AddrPort, credentials snmp.Credentials, known bool) *fleet {
	b.Helper()
	f := &fleet{keys: snmp.NewKeyCache()}
	at := first.Addr()
	for i := range agents {
		t := poller.Target{Timeout: time.Second, Retries: 3, Device: device.Device{
			ID: int64(i + 1), Address: at.String(), Port: first.Port(), Credentials: credentials,
		}}
		at = at.Next()
		if known {
			report, err := f.poll(b.Context(), t, nil)
			if err != nil {
				b.Fatal(err)
			}
			t = asKnown(t, report)
		}
		f.targets = append(f.targets, t)
	}
	count := &counting{}
	if _, err := f.poll(b.Context(), f.targets[0], count); err != nil {
		b.Fatal(err)
	}
	f.values = count.values
	return f
}

// asKnown is the target as the inventory has it after the poll.
func asKnown(t poller.Target, r poller.Report) poller.Target {
	t.Device.Status, t.Device.LastOutcome, t.Device.PolledAt, t.Device.Facts = device.StatusUp, r.Poll.Outcome, r.Poll.At, *r.Poll.Facts
	for i, p := range r.Poll.Ports {
		t.Ports = append(t.Ports, device.Port{ID: int64(i + 1), DeviceID: t.Device.ID, State: p.State, Generation: p.Generation, RRDMax: p.RRDMax})
	}
	return t
}

// poll is one poll as the consumer does it.
func (f *fleet) poll(ctx context.Context, t poller.Target, count *counting) (poller.Report, error) {
	s, err := snmp.Dial(ctx, snmp.Target{
		Host: t.Device.Host(), Port: t.Device.Port, Credentials: t.Device.Credentials, Timeout: t.Timeout, Retries: t.Retries, Keys: f.keys,
	}, nil)
	if err != nil {
		return poller.Report{}, err
	}
	defer s.Close()
	var session poller.Session = s
	if count != nil {
		count.Session, session = s, count
	}
	report := poller.Poll(ctx, session, t)
	f.pdus.Add(int64(s.Stats().Requests))
	// Only ports that the inventory knows are measured; besides there is the uptime.
	if report.Poll.Outcome != device.OutcomeUp || len(report.Poll.Ports) != ports || len(report.Measurements) != len(t.Ports)+1 {
		return report, fmt.Errorf("poll of %s: %s (%s), %d ports, %d measurements",
			t.Device.Address, report.Poll.Outcome, report.Poll.Reason, len(report.Poll.Ports), len(report.Measurements))
	}
	return report, nil
}

func (f *fleet) run(b *testing.B, simulator int) {
	b.ReportAllocs()
	b.SetParallelism(inFlight)
	f.pdus.Store(0)
	b.ResetTimer()
	client, agent := cpuOf(b, os.Getpid()), cpuOf(b, simulator)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t := f.targets[int(f.next.Add(1))%len(f.targets)]
			if !t.Device.PolledAt.IsZero() {
				t.Device.PolledAt = time.Now() // the hour of a device in which all is read again must not begin now
			}
			if _, err := f.poll(b.Context(), t, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
	n := float64(b.N)
	b.ReportMetric(milliseconds(cpuOf(b, os.Getpid())-client)/n, "client-ms/op")
	b.ReportMetric(milliseconds(cpuOf(b, simulator)-agent)/n, "agent-ms/op")
	b.ReportMetric(float64(f.pdus.Load())/n, "pdus/op")
	b.ReportMetric(float64(f.values), "values/op")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// counting counts the objects that a session brought.
type counting struct {
	poller.Session
	values int
}

// Get implements poller.Session.
func (c *counting) Get(ctx context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	found, err := c.Session.Get(ctx, oids...)
	c.values += len(found)
	return found, err
}

// Probe implements poller.Session.
func (c *counting) Probe(ctx context.Context, oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
	c.values++
	return c.Session.Probe(ctx, oid, tries, timeout)
}

// Greet implements poller.Session.
func (c *counting) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	found, err := c.Session.Greet(ctx, tries, timeout, oids...)
	c.values += len(found)
	return found, err
}

// Table implements poller.Session.
func (c *counting) Table(ctx context.Context, request snmp.TableRequest, each func(snmp.Cell)) error {
	return c.Session.Table(ctx, request, func(cell snmp.Cell) {
		c.values++
		each(cell)
	})
}
