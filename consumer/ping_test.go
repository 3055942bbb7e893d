package consumer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
	"pollux/ping"
)

// TestPingOnlyDeviceGetsNoSNMP: its address is asked by ICMP as often as SNMP
// would ask it, no session is opened, and what it finds is its status.
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
		if want := []string{"127.0.0.1 6 1s", "127.0.0.1 6 1s", "127.0.0.1 2 1s"}; !slices.Equal(r.pinger.asked, want) {
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
		for _, entry := range r.journal.appended() {
			if len(entry.Measurements) > 0 {
				t.Errorf("measured %+v", entry)
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
