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
