package settings_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/settings"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	for _, s := range settings.All() {
		if err := s.Check(s.Default); err != nil {
			t.Errorf("the default of %s: %v", s.Key, err)
		}
		if s.Help == "" {
			t.Errorf("%s has no help", s.Key)
		}
	}
	if len(settings.NewValues(nil).Archives()) != 7 {
		t.Errorf("default archives %v", settings.NewValues(nil).Archives())
	}
}

func TestUnknownKeyNamesTheNearest(t *testing.T) {
	t.Parallel()
	for typed, nearest := range map[string]string{
		"service_poler_workers": "service_poller_workers", "snmp.retry": "snmp.retries", "RRD.rra": "rrd.rra", "distributed_pollers": "distributed_poller",
	} {
		if _, err := settings.Find(typed); err == nil || !strings.Contains(err.Error(), nearest) {
			t.Errorf("%s: %v", typed, err)
		}
	}
	if _, err := settings.Find(strings.Repeat("z", 10_000)); err == nil || len(err.Error()) > 200 {
		t.Errorf("a long key: %v", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{
		"snmp.retries": "-1", "snmp.timeout": "1.5", "service_poller_frequency": "9", "distributed_poller": "yes", "snmp.max_repeaters": "+5", "rrd.rra": "AVERAGE", "eventlog_purge": "",
	} {
		s, err := settings.Find(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(value); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

func TestStoredValueThatIsRefusedCountsAsNotStored(t *testing.T) {
	t.Parallel()
	v := settings.NewValues(map[string]string{"snmp.retries": "many", "snmp.timeout": "3", "gone": "1"})
	if v.Int(settings.KeySNMPRetries) != 5 || v.Seconds(settings.KeySNMPTimeout) != 3*time.Second {
		t.Errorf("retries %d, timeout %v", v.Int(settings.KeySNMPRetries), v.Seconds(settings.KeySNMPTimeout))
	}
	if _, stored := v.Text(settings.KeySNMPRetries); stored {
		t.Error("the refused value counts as stored")
	}
}

func TestLiveFollowsAndKeepsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stored, fail := map[string]string{"snmp.retries": "1"}, false
		live := settings.NewLive(func(context.Context) (map[string]string, error) {
			if fail {
				return nil, errors.New("away")
			}
			return stored, nil
		}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- live.Run(ctx) }()
		time.Sleep(10 * time.Second) // of the bubble's clock: nothing waits
		if got := live.Values().Int(settings.KeySNMPRetries); got != 1 {
			t.Errorf("after 10 s: %d", got)
		}
		fail, stored = true, nil
		time.Sleep(10 * time.Second)
		if got := live.Values().Int(settings.KeySNMPRetries); got != 1 {
			t.Errorf("while they cannot be loaded: %d", got)
		}
		fail = false
		time.Sleep(10 * time.Second)
		if got := live.Values().Int(settings.KeySNMPRetries); got != 5 {
			t.Errorf("after an unset: %d", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
