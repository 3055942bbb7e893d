package consumer

import (
	"context"
	"errors"
	"testing"
	"time"

	"pollux/poller"
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
		{"snmp.retries", "5", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 50}},
		{"snmp.retries", "1", snmp.Target{Timeout: time.Second, Retries: 1, MaxObjects: 50}},
		{"snmp.timeout", "3", snmp.Target{Timeout: 3 * time.Second, Retries: 5, MaxObjects: 50}},
		{"snmp.max_oid", "10", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 10}},
		{"snmp.max_repeaters", "20", snmp.Target{Timeout: time.Second, Retries: 5, MaxObjects: 50, MaxRepetitions: 20}},
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
