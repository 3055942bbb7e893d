package main_test

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/billing"
	"pollux/simulator"
)

// TestStandaloneBills has standalone read billed ports and calculate their bill, as an operator sets it up and looks at it.
func TestStandaloneBills(t *testing.T) {
	t.Parallel()
	in := install(t)
	run := func(words ...string) string {
		t.Helper()
		return cli(t, in.dir, nil, append([]string{"--data-dir", in.data}, words...)...)
	}
	run("config", "set", "service_billing_frequency", "60")
	run("config", "set", "service_billing_calculate_frequency", "60")
	f := startFleet(t, in.dir, 3, 2, 300, 0)
	p := in.run("standalone")
	f.add(in.store)
	words := []string{"bill", "add", "transit", "--type", "quota", "--allowed", "1T", "--direction", "aggregate", "--time-zone", "UTC"}
	for _, id := range f.ids {
		ports, err := in.store.Ports(t.Context(), id)
		if err != nil || len(ports) != 2 {
			t.Fatal(len(ports), err)
		}
		words = append(words, "--port", fmt.Sprint(ports[0].ID))
	}
	run(words...)
	bill, err := in.store.Bill(t.Context(), "transit")
	if err != nil {
		t.Fatal(err)
	}
	var open billing.Standing
	untilEvery(t, time.Second, 6*time.Minute, "two samples of each port are in the figures", func() bool {
		periods, err := in.store.OpenPeriods(t.Context(), []int64{bill.ID})
		if err != nil {
			t.Fatal(err)
		}
		open = periods[bill.ID]
		return open.Got >= 6 && open.In > 0
	})
	if open.Inexact > 3 || open.Implausible > 0 { // the first of each port counts nothing
		t.Errorf("%d of %d samples are inexact, %d implausible", open.Inexact, open.Got, open.Implausible)
	}
	// A port of the simulation carries a steady rate: 60 s of it, or a little more, for each sample but the first.
	var rates float64
	for number := range 3 {
		rates += f.plan.Model().Maximum(number, 1, simulator.InOctets)
	}
	if slots := float64(open.Got/3 - 1); float64(open.In) < 0.5*60*slots*rates || float64(open.In) > 2*60*slots*rates {
		t.Errorf("%d bytes came in during %.0f slots at %.0f bytes per second", open.In, slots, rates)
	}
	for what, form := range map[string]string{
		run("queue", "list"):                             `(?m)^billing .*\b3 +1 *$`,
		run("device", "why", "sim-0000"):                 `(?m)^billed ports +1, read every 60 s; all were read in the slot from `,
		run("node", "show", nodeID(run("node", "list"))): `(?m)^billing +serves the queue billing$`,
		run("doctor"):                                    `(?m)^ok +billing +1 bills, the queue billing is served by `,
		run("bill", "show", "transit"):                   `transit`,
	} {
		if !regexp.MustCompile(form).MatchString(what) {
			t.Errorf("nothing like %s in\n%s", form, what)
		}
	}
	m := p.scrape()
	for _, want := range []struct {
		name, label string
		least       float64
	}{
		{"pollux_billing_samples_total", `result="ok"`, 3}, {"pollux_billing_samples_total", `result="first"`, 3}, {"pollux_billing_collects_total", `result="done"`, 6},
		{"pollux_billing_calculations_total", `result="done"`, 1}, {"pollux_billing_holder", "", 1}, {"pollux_billed_devices", "", 3}, {"pollux_bills", `state="all"`, 1},
	} {
		var labels []string
		if want.label != "" {
			labels = append(labels, want.label)
		}
		if got := m.sum(want.name, labels...); got < want.least {
			t.Errorf("%s %s is %v, want %v", want.name, want.label, got, want.least)
		}
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
}

// nodeID is the first node of a list.
func nodeID(list string) string {
	lines := strings.SplitN(list, "\n", 3)
	return strings.Fields(lines[1])[0]
}
