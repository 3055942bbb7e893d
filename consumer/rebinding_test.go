package consumer

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pollux/device"
	"pollux/poller"
	"pollux/snmp"
)

// A name that was judged when its device was added may lead elsewhere later. What
// it leads to is judged at each poll and discovery, and is what is asked.
func TestANameMayNotLeadToAnExcludedAddressLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	var answer netip.Addr
	var dialled []string
	r.deps.Resolve = func(_ context.Context, _, host string) (netip.Addr, error) {
		if host != "sw.example.net" {
			return netip.ParseAddr(host)
		}
		return answer, nil
	}
	r.deps.Dial = func(ctx context.Context, target snmp.Target) (Session, error) {
		dialled = append(dialled, target.Host)
		return r.dial(ctx, target)
	}
	discovering(t, r)
	change(r, func(d *device.Device) { d.Address = "sw.example.net" })
	for _, c := range []struct {
		answer, allow string
		asked         bool
	}{
		{"192.0.2.7", "", true}, {"127.0.0.1", "", false}, {"::ffff:169.254.169.254", "", false}, {"64:ff9b::7f00:1", "", false},
		{"fe80::1%eth0", "", false}, {"::1", "", false}, {"127.0.0.1", "127.0.0.0/8", true}, {"2001:db8::7", "", true},
	} {
		answer, dialled = netip.MustParseAddr(c.answer), nil
		r.set("nets.allow", c.allow)
		target := r.apply(poller.Target{Device: r.store.devices[1]})
		polled, read := r.ask(t.Context(), target, func() {}).Poll, r.discoverTarget(t.Context(), target)
		if want := "[" + c.answer + " " + c.answer + "]"; c.asked && fmt.Sprint(dialled) != want {
			t.Errorf("%s: asked %v, want %s: %s", c.answer, dialled, want, polled.Reason)
		}
		if c.asked {
			continue
		}
		for _, reason := range []string{polled.Reason, read.Reason} {
			if !strings.Contains(reason, "sw.example.net") || !strings.Contains(reason, "nets.allow would lift") {
				t.Errorf("%s: the reason is %q", c.answer, reason)
			}
		}
		if polled.Outcome != device.OutcomeDown || read.Outcome != device.OutcomeDown || len(dialled) != 0 {
			t.Errorf("%s: %s and %s, asked %v", c.answer, polled.Outcome, read.Outcome, dialled)
		}
	}
	// The same for ICMP; an address that somebody gave as such is asked.
	r.set("nets.allow", "")
	answer = netip.MustParseAddr("127.0.0.1")
	pingOnly(r, nil)
	r.pinger.asked = nil
	if p := r.ask(t.Context(), r.apply(poller.Target{Device: r.store.devices[1]}), func() {}).Poll; p.Outcome != device.OutcomeDown || len(r.pinger.asked) != 0 || !strings.Contains(p.Reason, "nets.allow would") {
		t.Errorf("by ICMP: %s %s, asked %v", p.Outcome, p.Reason, r.pinger.asked)
	}
	change(r, func(d *device.Device) { d.Address = "127.0.0.1" })
	if p := r.ask(t.Context(), r.apply(poller.Target{Device: r.store.devices[1]}), func() {}).Poll; len(r.pinger.asked) == 0 {
		t.Errorf("an address: %s %s, asked %v", p.Outcome, p.Reason, r.pinger.asked)
	}
}
