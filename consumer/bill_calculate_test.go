package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

var (
	_ Calculator = (*store.Store)(nil)
	_ Calculator = (*fakeCalculator)(nil)
)

// fakeCalculator has bills 1 to n. Those that are bad cannot be calculated.
type fakeCalculator struct {
	mu    sync.Mutex
	bills int64
	bad   []int64
	done  map[int64]time.Time
	calls int
	last  billing.Calculation
	err   error
	after func() // each call
}

func (f *fakeCalculator) DueBills(_ context.Context, before time.Time, after int64, limit int) ([]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	var due []int64
	for id := after + 1; id <= f.bills && len(due) < limit; id++ {
		if f.done[id].Before(before) {
			due = append(due, id)
		}
	}
	return due, nil
}

func (f *fakeCalculator) CalculateBills(_ context.Context, ids []int64, c billing.Calculation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.last = c
	if f.after != nil {
		f.after()
	}
	for _, id := range ids {
		if slices.Contains(f.bad, id) {
			return fmt.Errorf("bill %d is damaged", id)
		}
	}
	for _, id := range ids {
		f.done[id] = c.Now
	}
	return nil
}

func TestHowACalculationOfBillsEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(r *rig, f *fakeCalculator, task *tasks.BillingCalculate)
		want    string
		done    int
	}{
		"all": {func(*rig, *fakeCalculator, *tasks.BillingCalculate) {}, calculateDone, 1200},
		"one that cannot be calculated holds up no other": {func(_ *rig, f *fakeCalculator, _ *tasks.BillingCalculate) { f.bad = []int64{700} }, calculateFailed, 1199},
		"its slot is over": {func(_ *rig, _ *fakeCalculator, task *tasks.BillingCalculate) { task.Slot -= 600 }, calculateLate, 0},
		"its slot ends": {func(r *rig, f *fakeCalculator, _ *tasks.BillingCalculate) {
			f.after = func() { r.clock.offset.Add(int64(10 * time.Minute)) }
		}, calculateLate, 500},
		"the database is away": {func(_ *rig, f *fakeCalculator, _ *tasks.BillingCalculate) { f.err = store.ErrUnavailable }, calculateFailed, 0},
		"the program panics":   {func(_ *rig, f *fakeCalculator, _ *tasks.BillingCalculate) { f.after = func() { panic("boom") } }, calculateFailed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 300, nil)
			r.set(settings.KeyBillingMethod, "librenms")
			f := &fakeCalculator{bills: 1200, done: map[int64]time.Time{}}
			r.deps.Billing = &Billing{Calculator: f}
			now := r.clock.Now().Unix()
			task := tasks.BillingCalculate{Slot: now - now%300, Interval: 300}
			c.prepare(r, f, &task)
			if err := r.calculate(task); err != nil {
				t.Error(err)
			}
			if n := r.metric(t, "pollux_billing_calculations_total", "result="+c.want); n != 1 {
				t.Errorf("%v calculations ended as %s", n, c.want)
			}
			if len(f.done) != c.done {
				t.Errorf("%d bills are calculated, want %d", len(f.done), c.done)
			}
			if c.done > 0 && (f.last.Method != billing.LibreNMS || f.last.Interval != 300) {
				t.Errorf("calculated with %+v", f.last)
			}
		})
	}
}

func TestACalculationIsHandedBackByANodeThatStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	f := &fakeCalculator{bills: 1200, done: map[int64]time.Time{}}
	r.deps.Billing = &Billing{Calculator: f}
	f.after = func() { r.drain() }
	now := r.clock.Now().Unix()
	if err := r.calculate(tasks.BillingCalculate{Slot: now - now%300, Interval: 300}); !errors.Is(err, errHandBack) {
		t.Errorf("it ended with %v", err)
	}
	if len(f.done) != 500 {
		t.Errorf("%d bills are calculated", len(f.done))
	}
}
