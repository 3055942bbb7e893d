package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/ping"
	"pollux/snmp"
)

// pinger answers after a while.
type pinger struct {
	after  time.Duration
	result ping.Result
	err    error
}

func (p pinger) Echo(ctx context.Context) (ping.Result, error) {
	select {
	case <-ctx.Done():
		return ping.Result{Sent: 1}, ctx.Err()
	case <-time.After(p.after):
		return p.result, p.err
	}
}

var (
	fromICMP  = ping.Result{Sent: 3, Received: 2, Min: time.Millisecond, Avg: 1500 * time.Microsecond, Max: 2 * time.Millisecond}
	errSilent = fmt.Errorf("%w from 192.0.2.7", ping.ErrSilent)
)

// icmpOf are the values of icmp-perf.rrd that a report has; nil for none.
func icmpOf(t *testing.T, r Report) []string {
	t.Helper()
	var found []string
	for _, m := range r.Measurements {
		if m.Kind != measurement.KindICMP {
			continue
		}
		if found != nil || m.File("sw", m.Generation) != "sw/icmp-perf-g4.rrd" || len(m.Values) != len(m.Kind.Sources()) {
			t.Errorf("measured %+v", m)
		}
		for i, v := range m.Values {
			text := "?"
			if x, ok := v.AsGauge(); ok {
				text = fmt.Sprint(x)
			}
			found = append(found, m.Kind.Sources()[i]+"="+text)
		}
	}
	return found
}

// quiet answers no SNMP request, other ones do after a while.
type quiet struct {
	Session
	after time.Duration
	err   error
}

func (q quiet) Probe(ctx context.Context, oid snmp.OID, _ int, _ time.Duration) (snmp.Variable, error) {
	select {
	case <-ctx.Done():
		return snmp.Variable{}, ctx.Err()
	case <-time.After(q.after):
		return snmp.Variable{OID: oid, At: time.Now()}, q.err
	}
}

func (q quiet) Get(context.Context, ...snmp.OID) ([]snmp.Variable, error) { return nil, nil }

func (q quiet) Table(context.Context, snmp.TableRequest, func(snmp.Cell)) error { return nil }

// TestICMPBesideSNMP: both are asked at the same time, and both must answer.
func TestICMPBesideSNMP(t *testing.T) {
	t.Parallel()
	some := []string{"avg=1.5", "xmt=3", "rcv=2", "min=1", "max=2"}
	none := []string{"avg=?", "xmt=3", "rcv=0", "min=?", "max=?"}
	for name, c := range map[string]struct {
		pinger  Pinger
		session quiet
		off     []string
		outcome device.Outcome
		reason  string
		icmp    []string
		took    time.Duration
	}{
		"both answer":                   {pinger{time.Second, fromICMP, nil}, quiet{after: 3 * time.Second}, nil, device.OutcomeUp, "", some, 3 * time.Second},
		"ICMP takes longer":             {pinger{4 * time.Second, fromICMP, nil}, quiet{after: time.Second}, nil, device.OutcomeUp, "", some, 4 * time.Second},
		"SNMP only":                     {pinger{time.Second, ping.Result{Sent: 3}, errSilent}, quiet{}, nil, device.OutcomeDown, "icmp: no answer to ICMP from 192.0.2.7", none, time.Second},
		"ICMP only":                     {pinger{0, fromICMP, nil}, quiet{after: 2 * time.Second, err: snmp.ErrTimeout}, nil, device.OutcomeDown, snmp.ErrTimeout.Error(), some, 2 * time.Second},
		"neither":                       {pinger{time.Second, ping.Result{Sent: 3}, errSilent}, quiet{after: 2 * time.Second, err: snmp.ErrTimeout}, nil, device.OutcomeDown, "icmp: no answer to ICMP from 192.0.2.7", none, 2 * time.Second},
		"wrong credentials":             {pinger{0, fromICMP, nil}, quiet{err: snmp.ErrAuth}, nil, device.OutcomeAuth, snmp.ErrAuth.Error(), some, 0},
		"ICMP cannot be sent":           {pinger{0, ping.Result{}, ping.ErrBusy}, quiet{}, nil, device.OutcomePartial, "module icmp: " + ping.ErrBusy.Error(), nil, 0},
		"cut short":                     {pinger{time.Hour, fromICMP, nil}, quiet{}, nil, device.OutcomePartial, "module icmp: the device is too slow for its interval", nil, time.Minute},
		"cut short before SNMP answers": {pinger{time.Hour, fromICMP, nil}, quiet{after: time.Hour}, nil, device.OutcomeDown, context.DeadlineExceeded.Error(), nil, time.Minute},
		"it panics":                     {panicking{}, quiet{}, nil, device.OutcomePartial, "module icmp: panic: oh", nil, 0},
		"switched off":                  {pinger{time.Hour, ping.Result{}, errSilent}, quiet{}, []string{"icmp"}, device.OutcomeUp, "", nil, 0},
		"nobody to ask":                 {nil, quiet{}, nil, device.OutcomeUp, "", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := Poll(ctx, c.session, Target{Device: device.Device{ID: 7, Generation: 4}, Pinger: c.pinger, ModulesOff: c.off})
				if r.Poll.Outcome != c.outcome || r.Poll.Reason != c.reason || r.Poll.Duration != c.took {
					t.Errorf("%s %q after %v, want %s %q after %v", r.Poll.Outcome, r.Poll.Reason, r.Poll.Duration, c.outcome, c.reason, c.took)
				}
				if got := icmpOf(t, r); !slices.Equal(got, c.icmp) {
					t.Errorf("filed %v, want %v", got, c.icmp)
				}
			})
		})
	}
}

type panicking struct{}

func (panicking) Echo(context.Context) (ping.Result, error) { panic("oh") }

// TestSNMPCountsWithoutICMP: what a device answers by SNMP is kept when it does not answer ICMP.
func TestSNMPCountsWithoutICMP(t *testing.T) {
	t.Parallel()
	session := serve(t, map[string]mib{"sw": mib{}.system(5000).row(1, ethernet("Gi1"))})("sw", snmp.V2c)
	target := Target{Device: device.Device{ID: 7}, Ports: []device.Port{{ID: 3, State: device.PortState{IfIndex: 1, IfName: "Gi1"}}}, Pinger: pinger{0, ping.Result{Sent: 3}, errSilent}}
	r := Poll(t.Context(), session, target)
	kinds := map[measurement.Kind]bool{}
	for _, m := range r.Measurements {
		kinds[m.Kind] = true
	}
	if r.Poll.Outcome != device.OutcomeDown || r.Poll.Facts == nil || len(r.Poll.Ports) != 1 || !kinds[measurement.KindPort] || !kinds[measurement.KindUptime] || !kinds[measurement.KindICMP] {
		t.Errorf("%+v", r)
	}
}

func TestPollPing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pinger  pinger
		limit   time.Duration
		outcome device.Outcome
		reason  string
		modules int
		filed   bool
	}{
		"an answer":                         {pinger{time.Second, fromICMP, nil}, time.Minute, device.OutcomeUp, "", 1, true},
		"no answer":                         {pinger{time.Second, ping.Result{Sent: 3}, errSilent}, time.Minute, device.OutcomeDown, "icmp: no answer to ICMP from 192.0.2.7", 0, true},
		"an unknown name":                   {pinger{time.Second, ping.Result{}, errors.New("no such\nhost" + strings.Repeat("!", 300))}, time.Minute, device.OutcomeDown, "icmp: no such host!!!", 0, false},
		"too many wait":                     {pinger{0, ping.Result{}, ping.ErrBusy}, time.Minute, device.OutcomeSkipped, "icmp: " + ping.ErrBusy.Error(), 0, false},
		"cut short after 2 s":               {pinger{time.Hour, fromICMP, nil}, 2 * time.Second, device.OutcomeDown, "icmp: context deadline exceeded", 0, false},
		"cut short before that":             {pinger{time.Hour, fromICMP, nil}, 1900 * time.Millisecond, device.OutcomeSkipped, "icmp: context deadline exceeded", 0, false},
		"an answer at the very last moment": {pinger{2 * time.Second, fromICMP, nil}, 2100 * time.Millisecond, device.OutcomeUp, "", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				began := time.Now()
				report := PollPing(ctx, Target{Device: device.Device{ID: 7, Status: device.StatusUp, Generation: 4}, Pinger: c.pinger})
				p := report.Poll
				if p.Outcome != c.outcome || !strings.HasPrefix(p.Reason, c.reason) || (p.Reason == "") != (c.reason == "") || len(p.Reason) > 200 || len(report.Modules) != c.modules {
					t.Errorf("%+v", report)
				}
				if p.DeviceID != 7 || !p.At.Equal(began) || !report.FirstRequest.Equal(began) || p.Duration != time.Since(began) || p.Facts != nil || (icmpOf(t, report) != nil) != c.filed {
					t.Errorf("%+v", report)
				}
			})
		})
	}
}
