package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"pollux/billing"
)

// billMovedWhole moves ports in one step, or not at all.
func billMovedWhole(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	b := addedBill(t, e, describedAs(billing.CDR, 1), ports[0])
	at := billStart.Add(time.Hour)
	for _, joining := range [][]int64{{1 << 40}, {ports[1], 1 << 40}} {
		if err := e.MoveBillPorts(t.Context(), b.ID, ports[:1], joining, at, "anna"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if members, err := e.BillPorts(t.Context(), b.ID); err != nil || len(members) != 1 || members[0].Until != 0 {
			t.Errorf("%+v, %v", members, err)
		}
	}
	if err := e.MoveBillPorts(t.Context(), b.ID, ports[:1], ports[1:], at, "anna"); err != nil {
		t.Fatal(err)
	}
	if members, err := e.BillPorts(t.Context(), b.ID); err != nil || len(members) != 2 || members[0].Until != at.Unix() || members[1].From != at.Unix() {
		t.Errorf("%+v, %v", members, err)
	}
}

// billStepBack changes a bill by a clock that went back.
func billStepBack(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	other := addedBill(t, e, describedAs(billing.Quota, 1), ports...)
	b := addedBill(t, e, describedAs(billing.Quota, 1), ports[0])
	next := billStart.AddDate(0, 1, 0)
	last := int(next.Sub(billStart)/(300*time.Second)) - 1
	collected(t, e, readAt(ports[1], last-1, 0, 0), readAt(ports[1], last, 3000, 0))
	calculated(t, e, next.Add(CloseAfter), b, other)
	addPorts(t, e, b, next.Add(-time.Hour), ports[1]) // into a period that is closed
	calculated(t, e, next.Add(time.Hour), b)
	list := historyOf(t, e, b)
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, list[1].Period.From); err != nil || kept != again || list[0].Late != 0 {
		t.Errorf("%+v, again %+v, %d late, %v", kept, again, list[0].Late, err)
	}
	// What is in the figures stays in their period, also after a calculation of the past.
	slot := int(next.AddDate(0, 0, 15).Sub(billStart) / (300 * time.Second))
	collected(t, e, readAt(ports[0], slot-1, 0, 0), readAt(ports[0], slot, 5000, 0))
	calculated(t, e, next.AddDate(0, 0, 15).Add(time.Hour), b)
	calculated(t, e, next.AddDate(0, 0, 9), b)
	b, err := e.Bill(t.Context(), b.Name)
	if err != nil {
		t.Fatal(err)
	}
	b.Day = 15
	if _, err := e.UpdateBill(t.Context(), b, next.AddDate(0, 0, 9), "anna"); err != nil {
		t.Fatal(err)
	}
	if s := historyOf(t, e, b)[0]; s.In != 5000 || s.Period.To != next.AddDate(0, 1, 14).Unix() {
		t.Errorf("%+v ends %v", s, time.Unix(s.Period.To, 0).UTC())
	}
}

// billVerifiedMeanwhile verifies a period while it is calculated.
func billVerifiedMeanwhile(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 1), ports...)
	const slots = 150
	for n := range slots {
		collected(t, e, readAt(ports[0], n, uint64(1000*n), 0))
	}
	done, failed := make(chan struct{}), error(nil)
	go func() {
		defer close(done)
		for n := range slots {
			c := billing.Calculation{Now: billStart.Add(time.Duration(n+1) * 5 * time.Minute), Interval: 300, Method: billing.Nearest}
			failed = errors.Join(failed, e.CalculateBills(context.WithoutCancel(t.Context()), []int64{b.ID}, c))
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, billStart.Unix()); err != nil || kept != again {
			t.Errorf("%+v, again %+v, %v", kept, again, err)
			break
		}
	}
	<-done
	if s := historyOf(t, e, b)[0]; failed != nil || s.Got != slots {
		t.Errorf("%+v, %v", s, failed)
	}
}
