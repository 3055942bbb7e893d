package consumer

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

// TestATaskThatWasTakenAwayIsNotCounted: a node that was frozen or cut off for
// longer than its tasks are left to it comes too late with all it has in hand. Others
// run these tasks again, and count their slots.
func TestATaskThatWasTakenAwayIsNotCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away    time.Duration // before the turn ends
		seen    time.Duration // Redis again, before the turn ends; -1 for not yet
		began   time.Duration // the turn, before it ends
		counted bool
	}{
		"all well":                          {0, 0, 5 * time.Second, true},
		"away for a moment":                 {20 * time.Second, 0, 20 * time.Second, true},
		"away, and not back":                {40 * time.Second, -1, 45 * time.Second, false},
		"away meanwhile":                    {40 * time.Second, 5 * time.Second, 50 * time.Second, false},
		"away, and it begins when back":     {40 * time.Second, 500 * time.Millisecond, 0, false},
		"away, and it begins a while after": {40 * time.Second, 5 * time.Second, 3 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 10, nil)
				u := r.turn(1, 10)
				now := time.Now()
				u.began = now.Add(-c.began)
				r.sight.inOrder("a", now.Add(-c.away))
				if c.seen >= 0 {
					r.sight.inOrder("a", now.Add(-c.seen))
				}
				if err := r.settle(u, errStale); err != nil {
					t.Errorf("asynq gets %v", err)
				}
				want, late := map[string]float64{"skipped": 1}, 0.0
				if !c.counted {
					want, late = map[string]float64{}, 1
				}
				if got := r.outcomes(t); !maps.Equal(got, want) {
					t.Errorf("outcomes %v, want %v", got, want)
				}
				if n := r.metric(t, "pollux_task_repeats_total", "reason=late"); n != late {
					t.Errorf("%v late repeats, want %v", n, late)
				}
			})
		})
	}
}

// TestAPollThatEndsAfterTheFreeze: what was finished stays finished, and a failure of the journal stays one.
func TestAPollThatEndsAfterTheFreeze(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	r.sight.inOrder("a", time.Now().Add(-time.Minute))
	u := r.turn(1, 10)
	if err := r.settle(u, nil); err != nil {
		t.Error(err)
	}
	if err := r.settle(u, context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asynq gets %v", err)
	}
	if err := r.settle(u, errOvertaken); err != nil || r.metric(t, "pollux_task_repeats_total", "reason=overtaken") != 1 {
		t.Errorf("asynq gets %v", err)
	}
	if n := r.metric(t, "pollux_task_repeats_total", "reason=late"); n != 0 {
		t.Errorf("%v late repeats", n)
	}
}
