package consumer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/device"
	"pollux/poller"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// A setting that changes is that of the next session, without a restart.
func TestSessionsFollowTheSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	var asked snmp.Target
	r.deps.Dial = func(_ context.Context, target snmp.Target) (Session, error) {
		asked = target
		return nil, errors.New("not this time")
	}
	for _, c := range []struct {
		key, value string
		want       snmp.Target
	}{
		{"snmp.retries", "5", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 60}},
		{"snmp.retries", "1", snmp.Target{Timeout: time.Second, Retries: 1, MaxObjects: 60}},
		{"snmp.timeout", "3", snmp.Target{Timeout: 3 * time.Second, Retries: 5, MaxObjects: 60}},
		{"snmp.max_oid", "10", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 10}},
		{"snmp.max_repeaters", "20", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 60, MaxRepetitions: 20}},
	} {
		r.set(c.key, c.value)
		r.ask(t.Context(), r.apply(poller.Target{Device: r.store.devices[1]}), func() {})
		got := snmp.Target{Timeout: asked.Timeout, Retries: asked.Retries, MaxObjects: asked.MaxObjects, MaxRepetitions: asked.MaxRepetitions}
		if got != c.want {
			t.Errorf("%s=%s: %+v, want %+v", c.key, c.value, got, c.want)
		}
	}
	own := r.store.devices[1]
	own.Timeout, own.Retries = 7*time.Second, 0
	r.ask(t.Context(), r.apply(poller.Target{Device: own}), func() {})
	if asked.Timeout != 7*time.Second || asked.Retries != 0 {
		t.Errorf("a device with its own: %+v", asked)
	}
}

// greeted answers a long first request, or does not.
type greeted struct {
	fakeSession
	err error
}

func (g greeted) Greet(context.Context, int, time.Duration, ...snmp.OID) ([]snmp.Variable, error) {
	return nil, g.err
}

// The first answer is told of, whichever request brought it; one in vain is no answer yet.
func TestFirstAnswerIsTold(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, snmp.ErrTimeout} {
		told := 0
		s := &firstAnswer{Session: greeted{err: err}, answered: func() { told++ }}
		if _, got := s.Greet(t.Context(), 1, time.Second); !errors.Is(got, err) || (told > 0) != (err == nil) {
			t.Errorf("%v: told %d times, %v", err, told, got)
		}
		if _, err := s.Probe(t.Context(), "1.3", 1, time.Second); err != nil || told == 0 {
			t.Errorf("%v, told %d times", err, told)
		}
	}
}

// The device decides how its ports are read, else its OS, else the setting; small requests leave no choice.
func TestWhoDecidesHowPortsAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "os"), 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "os: onebyone\ntext: Test\ndetect:\n  - sysDescr: [One by one]\npolling: {selected_ports: true}\n"
	if err := os.WriteFile(filepath.Join(dir, "os", "onebyone.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems, err := definitions.Load(dir)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	r := newRig(t, 300, nil)
	r.deps.Definitions = set
	for _, c := range []struct {
		os         string
		own        device.Selection
		key, value string
		want       device.Selection
		skips      bool
	}{
		{"linux", "", "polling.selected_ports", "auto", device.SelectAuto, false},
		{"linux", "", "polling.selected_ports", "false", device.SelectNever, false},
		{"onebyone", "", "polling.selected_ports", "false", device.SelectAlways, false},
		{"onebyone", device.SelectAuto, "polling.selected_ports", "false", device.SelectAuto, false},
		{"onebyone", device.SelectAlways, "snmp.max_oid", "10", device.SelectNever, false},
		{"unheard-of", "", "polling.skip_down_ports", "true", device.SelectAuto, true},
	} {
		r.set(c.key, c.value)
		d := r.store.devices[1]
		d.Facts.OS, d.SelectedPorts = c.os, c.own
		if got := r.apply(poller.Target{Device: d}); got.Selection != c.want || got.SkipDown != c.skips {
			t.Errorf("%s of %s with %s=%s: %q, skips %v; want %q, %v", c.own, c.os, c.key, c.value, got.Selection, got.SkipDown, c.want, c.skips)
		}
	}
}
