package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/ping"
	"pollux/settings"
	"pollux/snmp"
)

// TestPingOnlyDeviceGetsNoSNMP: its address is asked by ICMP as the settings say,
// no session is opened, and what it finds is its status.
func TestPingOnlyDeviceGetsNoSNMP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, nil)
		pingOnly(r, nil)
		r.shared.agents.Store(&map[string]bool{"127.0.0.1:1": true}) // its port is nobody's
		r.agents.places = 0
		if err := r.handle(r.turn(1, 60)); err != nil {
			t.Fatal(err)
		}
		r.pinger.err = fmt.Errorf("%w from 127.0.0.1", ping.ErrSilent)
		r.clock.offset.Add(int64(60e9))
		if err := r.handle(r.turn(1, 60)); err != nil {
			t.Fatal(err)
		}
		change(r, func(d *device.Device) { d.Status = device.StatusDown })
		r.clock.offset.Add(int64(60e9))
		if err := r.handle(r.turn(1, 60)); err != nil {
			t.Fatal(err)
		}
		if want := slices.Repeat([]string{"127.0.0.1 3 500ms 500ms"}, 3); !slices.Equal(r.pinger.asked, want) {
			t.Errorf("asked %q, want %q", r.pinger.asked, want)
		}
		var got []string
		for _, p := range r.store.saved {
			got = append(got, fmt.Sprintf("%s %q", p.Outcome, p.Reason))
			if p.Facts != nil || len(p.Ports) > 0 || p.At.IsZero() {
				t.Errorf("saved %+v", p)
			}
		}
		if want := []string{`up ""`, `down "icmp: no answer to ICMP from 127.0.0.1"`, `down "icmp: no answer to ICMP from 127.0.0.1"`}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
		for i, entry := range r.journal.appended() {
			if n := icmpReceived(entry); n != float64([]int{2, 0, 0}[i]) {
				t.Errorf("slot %d: %v replies are filed: %+v", i, n, entry)
			}
		}
		if r.polls(1) != 0 || r.stats.closed != 0 || len(r.agents.asked) != 0 {
			t.Errorf("%d sessions were opened, and places asked for at %q", r.polls(1), r.agents.asked)
		}
		if n := r.metric(t, "pollux_poll_duration_seconds", "module=icmp"); n != 1 {
			t.Errorf("%v times of the module icmp, want that of the answer", n)
		}
	})
}

func TestPollOnceByICMP(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	pingOnly(r, nil)
	deps := r.deps
	deps.Registerer = prometheus.NewRegistry()
	once, err := PollOnce(t.Context(), r.config, deps, 1)
	if err != nil || once.Report.Poll.Outcome != device.OutcomeUp || len(r.store.saved) != 1 {
		t.Errorf("%+v, %v", once, err)
	}
	r.pinger.mode, deps.Registerer = ping.Off, prometheus.NewRegistry()
	if _, err := PollOnce(t.Context(), r.config, deps, 1); !errors.Is(err, ping.ErrOff) || len(r.store.saved) != 1 {
		t.Errorf("where ICMP may not be sent: %v", err)
	}
}

// icmpReceived is how many replies an entry files; -1 when it files no ICMP.
func icmpReceived(entry journal.Entry) float64 {
	for _, m := range entry.Measurements {
		if m.Kind == measurement.KindICMP {
			received, _ := m.Values[2].AsGauge()
			return received
		}
	}
	return -1
}

// TestICMPBesideSNMP: a device that answers SNMP but not ICMP is down, unless that
// is switched off for all devices or for this one, or the node may not send ICMP.
func TestICMPBesideSNMP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, value string
		mode       ping.Mode
		interval   int
		outcome    device.Outcome
		asked      []string
	}{
		"as LibreNMS has it":     {"snmp.port", "161", ping.Raw, 300, device.OutcomeDown, []string{"127.0.0.1 3 500ms 500ms"}},
		"at a short interval":    {"snmp.port", "161", ping.UDP, 10, device.OutcomeDown, []string{"127.0.0.1 3 100ms 500ms"}},
		"five requests":          {settings.KeyFpingCount, "5", ping.Raw, 300, device.OutcomeDown, []string{"127.0.0.1 5 500ms 500ms"}},
		"one request":            {settings.KeyFpingCount, "1", ping.Raw, 20, device.OutcomeDown, []string{"127.0.0.1 1 400ms 500ms"}},
		"nearer to each other":   {settings.KeyFpingInterval, "50", ping.Raw, 300, device.OutcomeDown, []string{"127.0.0.1 3 50ms 500ms"}},
		"more time":              {settings.KeyFpingTimeout, "2000", ping.Raw, 300, device.OutcomeDown, []string{"127.0.0.1 3 500ms 2s"}},
		"switched off":           {settings.KeyICMPCheck, "false", ping.Raw, 300, device.OutcomeUp, nil},
		"the node may not do so": {"snmp.port", "161", ping.Off, 300, device.OutcomeUp, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.interval, nil)
			r.set(c.key, c.value)
			r.pinger.mode, r.pinger.err = c.mode, fmt.Errorf("%w from 127.0.0.1", ping.ErrSilent)
			if err := r.handle(r.turn(1, c.interval)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.pinger.asked, c.asked) || len(r.store.saved) != 1 || r.store.saved[0].Outcome != c.outcome || r.polls(1) != 1 {
				t.Errorf("asked %q, saved %+v", r.pinger.asked, r.store.saved)
			}
		})
	}
}

// TestDeadDeviceCostsOneProbe: ICMP is asked while SNMP is, and a device that was down holds a worker no longer than SNMP does.
func TestDeadDeviceCostsOneProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 300, nil)
		change(r, func(d *device.Device) { d.Status = device.StatusDown })
		r.pinger.wait, r.pinger.err = 1500*time.Millisecond, fmt.Errorf("%w from 127.0.0.1", ping.ErrSilent)
		r.session.Store(&fakeSession{stats: r.stats, probe: func(context.Context) error {
			time.Sleep(2 * time.Second) // two tries of 1 s
			return snmp.ErrTimeout
		}})
		began := time.Now()
		if err := r.handle(r.turn(1, 300)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second || len(r.pinger.asked) != 1 || r.polls(1) != 1 || r.store.saved[0].Outcome != device.OutcomeDown {
			t.Errorf("it took %v, asked %q, saved %+v", took, r.pinger.asked, r.store.saved)
		}
		if entries := r.journal.appended(); len(entries) != 1 || icmpReceived(entries[0]) != 0 {
			t.Errorf("filed %+v", entries)
		}
	})
}

// TestPortsAreNotSampledByICMP: a device that was down has newer samples of ICMP than of its ports.
func TestPortsAreNotSampledByICMP(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	now := r.clock.Now()
	for _, c := range []struct {
		outcome device.Outcome
		at, ago time.Duration // of the latest sample, and of the latest one of ports at the latest
	}{
		{device.OutcomeUp, time.Minute, time.Minute}, {device.OutcomePartial, time.Minute, time.Minute},
		{device.OutcomeDown, time.Minute, 10 * time.Minute}, {device.OutcomeAuth, time.Minute, 10 * time.Minute},
		{device.OutcomeDown, time.Hour, time.Hour},
	} {
		turn := r.turn(1, 60)
		turn.last = journal.Last{Slot: turn.Slot - 60, Outcome: c.outcome, SampleAt: now.Add(-c.at)}
		got := now.Sub(r.answeredAt(turn, device.Device{Interval: 60}))
		if (got - c.ago).Abs() > 10*time.Second {
			t.Errorf("after %s, sampled %v ago: %v ago, want %v", c.outcome, c.at, got, c.ago)
		}
	}
}
