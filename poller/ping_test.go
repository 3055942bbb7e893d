package poller_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/poller"
)

// pinger answers after a while, or not at all.
type pinger struct {
	after time.Duration
	err   error
}

func (p pinger) Ping(ctx context.Context, _ int, _ time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.after):
		return p.err
	}
}

func TestPollPing(t *testing.T) {
	t.Parallel()
	up := poller.Target{Device: device.Device{ID: 7, Status: device.StatusUp}, Timeout: time.Second, Retries: 5}
	for name, c := range map[string]struct {
		pinger  pinger
		limit   time.Duration
		outcome device.Outcome
		reason  string
		modules int
	}{
		"an answer":                         {pinger{time.Second, nil}, time.Minute, device.OutcomeUp, "", 1},
		"no answer":                         {pinger{6 * time.Second, errors.New("no answer to\nICMP" + strings.Repeat("!", 300))}, time.Minute, device.OutcomeDown, "icmp: no answer to ICMP!!!", 0},
		"cut short after 2 s":               {pinger{time.Hour, nil}, 2 * time.Second, device.OutcomeDown, "icmp: context deadline exceeded", 0},
		"cut short before that":             {pinger{time.Hour, nil}, 1900 * time.Millisecond, device.OutcomeSkipped, "icmp: context deadline exceeded", 0},
		"an answer at the very last moment": {pinger{2 * time.Second, nil}, 2100 * time.Millisecond, device.OutcomeUp, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				began := time.Now()
				report := poller.PollPing(ctx, c.pinger, up)
				p := report.Poll
				if p.Outcome != c.outcome || !strings.HasPrefix(p.Reason, c.reason) || (p.Reason == "") != (c.reason == "") || len(p.Reason) > 200 || len(report.Modules) != c.modules {
					t.Errorf("%+v", report)
				}
				if p.DeviceID != 7 || !p.At.Equal(began) || !report.FirstRequest.Equal(began) || p.Duration != time.Since(began) || p.Facts != nil || len(report.Measurements) > 0 {
					t.Errorf("%+v", report)
				}
			})
		})
	}
}
