package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// billTermsAtOnce changes the terms of a period that runs: its figures follow
// in the same transaction, and equal those of the next calculation.
func billTermsAtOnce(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 10_000), ports...)
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 3000, 9000), readAt(ports[0], 2, 6000, 9500))
	now := billStart.Add(15 * time.Minute)
	calculated(t, e, now, b)
	for _, terms := range []billing.Bill{
		{Type: billing.Quota, Allowed: 5000, Direction: billing.Max, Day: 1},
		{Type: billing.Quota, Allowed: 5000, Direction: billing.Aggregate, Day: 15},
		{Type: billing.CDR, Allowed: 100, Direction: billing.Aggregate, Day: 15},
		{Type: billing.CDR, Allowed: 1e9, Direction: billing.In, Day: 2},
	} {
		b, err := e.Bill(t.Context(), b.Name)
		if err != nil {
			t.Fatal(err)
		}
		b.Type, b.Allowed, b.Direction, b.Day = terms.Type, terms.Allowed, terms.Direction, terms.Day
		if _, err := e.UpdateBill(t.Context(), b, now, "anna"); err != nil {
			t.Fatal(err)
		}
		at := historyOf(t, e, b)[0]
		calculated(t, e, now, b)
		if then := historyOf(t, e, b)[0]; at != then || at.Used == 0 || at.Expected != 3 {
			t.Errorf("%s of %d %s:\nat once %+v\nthen    %+v", terms.Type, terms.Allowed, terms.Direction, at, then)
		}
	}
}

// billWarnedAnew gives a bill another allowance, which can be used up too.
func billWarnedAnew(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 1000), ports...)
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 1100, 0))
	calculated(t, e, billStart.Add(10*time.Minute), b)
	b.Allowed = 2000
	if _, err := e.UpdateBill(t.Context(), b, billStart.Add(11*time.Minute), "anna"); err != nil {
		t.Fatal(err)
	}
	collected(t, e, readAt(ports[0], 2, 2100, 0))
	calculated(t, e, billStart.Add(15*time.Minute), b)
	if told := strings.Join(billEvents(t, e, fmt.Sprintf("bill %d (", b.ID)), "\n"); strings.Count(told, "more than its allowance") != 2 {
		t.Error(told)
	}
}

// billPercentileWarns says nothing of a percentile before there is a day of it.
func billPercentileWarns(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.CDR, 100), ports...)
	told := func() int {
		t.Helper()
		return strings.Count(strings.Join(billEvents(t, e, fmt.Sprintf("bill %d (", b.ID)), "\n"), "more than its allowance")
	}
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 1e6, 0))
	calculated(t, e, billStart.Add(10*time.Minute), b)
	if n := told(); n != 0 || historyOf(t, e, b)[0].Overuse == 0 {
		t.Errorf("of one slot: told %d times", n)
	}
	collected(t, e, readAt(ports[0], 289, 1e9, 0))
	calculated(t, e, billStart.Add(290*5*time.Minute), b)
	if n := told(); n != 1 {
		t.Errorf("of a day: told %d times", n)
	}
}

// billManySamples has more samples than one transaction counts: before the last
// one nobody is told that all are in the figures.
func billManySamples(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	b := addedBill(t, e, describedAs(billing.Quota, 1), ports...)
	const slots = sampleBatch/2 + 1000
	for n := 0; n < slots; n += 500 {
		var rows []sampleRow
		for i := n; i < min(n+500, slots); i++ {
			for _, id := range ports {
				rows = append(rows, sampleRow{PortID: id, Slot: billStart.Unix() + int64(60*i), SlotSeconds: 60, Slots: 1, ReadAt: 1, SpanMS: 60_000, In: 1})
			}
		}
		if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := billing.Calculation{Now: billStart.Add(20 * 24 * time.Hour), Interval: 60, Method: billing.Nearest}
	more := false
	err := e.tx(t.Context(), "calculate one round", func(ctx context.Context, tx bun.Tx) (err error) {
		more, err = e.calculate(ctx, tx, []int64{b.ID}, c)
		return err
	})
	if s := historyOf(t, e, b)[0]; err != nil || !more || s.Got != sampleBatch || s.CalculatedTo != billStart.Unix() {
		t.Errorf("more %v, %v: %+v", more, err, s)
	}
	if err := e.CalculateBills(t.Context(), []int64{b.ID}, c); err != nil {
		t.Fatal(err)
	}
	if s := historyOf(t, e, b)[0]; s.Got != 2*slots || s.CalculatedTo != c.Now.Unix() {
		t.Errorf("%+v", s)
	}
}
