package store

import (
	"fmt"
	"testing"
	"time"

	"pollux/billing"
)

func addPorts(t testing.TB, e engine, b billing.Bill, at time.Time, ports ...int64) {
	t.Helper()
	if err := e.AddBillPorts(t.Context(), b.ID, ports, at, "anna"); err != nil {
		t.Fatal(err)
	}
}

func removePorts(t testing.TB, e engine, b billing.Bill, at time.Time, ports ...int64) {
	t.Helper()
	if err := e.RemoveBillPorts(t.Context(), b.ID, ports, at, "anna"); err != nil {
		t.Fatal(err)
	}
}

// verified checks that the open period is what its samples say.
func verified(t testing.TB, e engine, b billing.Bill) {
	t.Helper()
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, historyOf(t, e, b)[0].Period.From); err != nil || kept != again {
		t.Errorf("%+v, again %+v, %v", kept, again, err)
	}
}

func billShared(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	a, b := addedBill(t, e, describedAs(billing.Quota, 1e12), ports[0]), addedBill(t, e, describedAs(billing.Quota, 1e12))
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 1000, 0))
	addPorts(t, e, b, billStart.Add(2*time.Hour), ports...) // silent for longer than an hour
	collected(t, e, readAt(ports[0], 25, 1_001_000, 0))
	calculated(t, e, billStart.Add(3*time.Hour), a, b)
	if s := historyOf(t, e, a)[0]; s.In != 1_001_000 || s.Inexact != 1 {
		t.Errorf("the bill that had it: %+v", s)
	}
	if s := historyOf(t, e, b)[0]; s.In != 1_000_000*2/24 || s.Inexact != 1 || s.Got != 1 {
		t.Errorf("the one that it joined: %+v", s)
	}
	// Nobody waits for it: it begins anew.
	removePorts(t, e, a, billStart.Add(3*time.Hour), ports[0])
	removePorts(t, e, b, billStart.Add(3*time.Hour), ports[0])
	addPorts(t, e, b, billStart.Add(5*time.Hour), ports[0])
	if got := collected(t, e, readAt(ports[0], 61, 9_001_000, 0)); len(got) != 1 || got[0].Flags != billing.First {
		t.Errorf("%+v", got)
	}
}

func billMoved(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	a, b := addedBill(t, e, describedAs(billing.Quota, 1e12), ports...), addedBill(t, e, describedAs(billing.CDR, 1))
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 1000, 0))
	at := billStart.Add(50 * time.Minute)
	removePorts(t, e, a, at, ports...)
	addPorts(t, e, b, at, ports...)
	collected(t, e, readAt(ports[0], 10, 1_001_000, 0), readAt(ports[0], 11, 1_038_500, 0))
	calculated(t, e, billStart.Add(3*time.Hour), a, b)
	// 1,000,000 bytes in nine slots, of which the bill had one; then 37,500 in one.
	if s := historyOf(t, e, b)[0]; s.In != 111_111+37_500 || s.Inexact != 1 || s.Got != 2 || s.MeasuredSeconds != 600 || s.PeakIn != 2962 {
		t.Errorf("%+v", s)
	}
	if s := historyOf(t, e, a)[0]; s.In != 1000 {
		t.Errorf("%+v", s)
	}
	verified(t, e, b)
	var shown []billing.Sample
	if err := e.BillSamples(t.Context(), b.ID, historyOf(t, e, b)[0].Period, func(s billing.Sample) error { shown = append(shown, s); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(shown) != 2 || shown[0].In != 111_111 || shown[0].Slots != 1 || shown[0].Flags != billing.Spread|billing.Joined || shown[1].Flags != 0 {
		t.Errorf("%+v", shown)
	}
}

func billClockBehind(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	b := addedBill(t, e, describedAs(billing.Quota, 1e12), ports...)
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 1000, 0), readAt(ports[0], 2, 2000, 0))
	removePorts(t, e, b, billStart.Add(12*time.Minute), ports[0])
	addPorts(t, e, b, billStart.Add(4*time.Minute), ports[0])
	calculated(t, e, billStart.Add(17*time.Minute), b)
	if s := historyOf(t, e, b)[0]; s.In != 2000 || s.Got != 3 {
		t.Errorf("%+v", s)
	}
	verified(t, e, b)
	// The next slots are of the second membership; the first one has not come further.
	collected(t, e, readAt(ports[0], 3, 3000, 0), readAt(ports[0], 4, 4000, 0))
	calculated(t, e, billStart.Add(25*time.Minute), b)
	verified(t, e, b)
	removePorts(t, e, b, billStart.Add(-time.Minute), ports[0])
	if err := e.RecalculateBill(t.Context(), b.ID, billing.Calculation{Now: billStart.Add(time.Hour), Interval: 300, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
	if s := historyOf(t, e, b)[0]; s.In != 4000 || s.Got != 5 {
		t.Errorf("removed by a clock that is behind: %+v", s)
	}
	// What is removed in the middle and comes again is verified by each of its memberships.
	collected(t, e, readAt(ports[1], 20, 0, 0), readAt(ports[1], 21, 500, 0))
	removePorts(t, e, b, billStart.Add(122*time.Minute), ports[1])
	addPorts(t, e, b, billStart.Add(123*time.Minute), ports[1])
	calculated(t, e, billStart.Add(105*time.Minute), b) // the slot of minute 105 is not over
	verified(t, e, b)
}

func billTermsWaiting(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 1000), ports...)
	next := billStart.AddDate(0, 1, 0)
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 5000, 0))
	calculated(t, e, next.Add(time.Minute), b)
	b, err := e.Bill(t.Context(), b.Name)
	if err != nil {
		t.Fatal(err)
	}
	b.Allowed, b.Type, b.Day = 1_000_000, billing.CDR, 15
	if _, err := e.UpdateBill(t.Context(), b, next.Add(10*time.Minute), "anna"); err != nil {
		t.Fatal(err)
	}
	c := billing.Calculation{Now: next.Add(11 * time.Minute), Interval: 300, Method: billing.Nearest}
	if err := e.RecalculateBill(t.Context(), b.ID, c); err != nil {
		t.Fatal(err)
	}
	if err := e.RecalculateBill(t.Context(), b.ID, billing.Calculation{Now: c.Now}); err == nil {
		t.Error("an interval of 0 was taken")
	}
	calculated(t, e, next.Add(CloseAfter), b)
	list := historyOf(t, e, b)
	if len(list) != 2 || list[1].Allowed != 1000 || list[1].Type != billing.Quota || list[1].Overuse != 4000 || list[1].Period.To != next.Unix() ||
		list[0].Allowed != 1_000_000 || list[0].Type != billing.CDR || list[0].Period.To != next.AddDate(0, 0, 14).Unix() {
		t.Errorf("%+v", list)
	}
}

func billDayBehind(t *testing.T, e engine) {
	for name, behind := range map[string]time.Duration{"2 minutes": 2 * time.Minute, "30 days": 30 * 24 * time.Hour} {
		b := addedBill(t, e, describedAs(billing.Quota, 1000))
		calculated(t, e, billStart.Add(20*time.Minute), b)
		b, err := e.Bill(t.Context(), b.Name)
		if err != nil {
			t.Fatal(err)
		}
		b.Day, b.Zone = 15, "Etc/UTC"
		if name == "2 minutes" {
			b.Day = 1
		}
		if _, err := e.UpdateBill(t.Context(), b, billStart.Add(-behind), "anna"); err != nil {
			t.Fatal(err)
		}
		calculated(t, e, billStart.AddDate(0, 1, 1), b)
		for _, s := range historyOf(t, e, b) {
			if s.Period.To <= s.Period.From || s.Period.From < billStart.Unix() {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

func billParts(t *testing.T, e engine) {
	ids := manyPorts(t, e, 1200)
	b := addedBill(t, e, describedAs(billing.Quota, 1e12), ids...)
	for i, id := range ids {
		if _, err := e.db.NewUpdate().Table("bill_ports").Set("done_slot = ?", billStart.Unix()-1-int64(i)).Where("bill_id = ?", b.ID).Where("port_id = ?", id).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var readings []billing.Reading
	for n := range 3 {
		for _, id := range ids {
			readings = append(readings, readAt(id, n, uint64(1000*n), 0))
		}
	}
	if samples, err := e.Collect(t.Context(), readings, billStart); err != nil || len(samples) != len(readings) {
		t.Fatal(len(samples), err)
	}
	// One port is in twice: its samples are read with two parts, and count once.
	removePorts(t, e, b, billStart.Add(4*time.Minute), ids[0])
	addPorts(t, e, b, billStart.Add(4*time.Minute), ids[0])
	calculated(t, e, billStart.Add(20*time.Minute), b)
	if s := historyOf(t, e, b)[0]; s.In != 2000*1200 || s.Got != 3600 {
		t.Errorf("%+v", s)
	}
	removePorts(t, e, b, billStart.Add(21*time.Minute), ids...)
	calculated(t, e, billStart.Add(21*time.Minute).Add(CloseAfter), b)
	lacks, err := e.db.NewSelect().Table("bill_ports").Where("bill_id = ?", b.ID).Where("done_slot + 1 < until_slot").Count(t.Context())
	if err != nil || lacks != 0 {
		t.Errorf("%d memberships that are over are looked for again, %v", lacks, err)
	}
	verified(t, e, b)
}

func billLeft(t *testing.T, e engine) {
	d, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 1e12), ports...)
	collected(t, e, readAt(ports[0], 0, 0, 0))
	removePorts(t, e, b, billStart.Add(5*time.Minute+5*time.Second), ports...)
	read := func() (names string) {
		t.Helper()
		billed, err := e.BilledPorts(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		devices, err := e.BilledDevices(t.Context(), d.ID-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(billed), len(devices) == 1 && devices[0].ID == d.ID)
	}
	if got := read(); got != "1 true" {
		t.Errorf("its last slot was not read yet: %s", got)
	}
	calculated(t, e, billStart.Add(3*time.Hour), b)
	if got := read(); got != "0 false" {
		t.Errorf("hours later: %s", got)
	}
	calculated(t, e, billStart.Add(10*time.Minute), b)
	collected(t, e, readAt(ports[0], 1, 1000, 0))
	if got := read(); got != "0 false" {
		t.Errorf("its last slot was read: %s", got)
	}
}

func billByHand(t *testing.T, e engine) {
	b := addedBill(t, e, describedAs(billing.Quota, 1000))
	c := billing.Calculation{Now: billStart.AddDate(0, 2, 0), Interval: 300, Method: billing.Nearest, Open: true}
	if err := e.CalculateBills(t.Context(), []int64{b.ID}, c); err != nil {
		t.Fatal(err)
	}
	if err := e.RecalculateBill(t.Context(), b.ID, c); err != nil {
		t.Fatal(err)
	}
	if list := historyOf(t, e, b); len(list) != 1 || list[0].Closed {
		t.Errorf("%+v", list)
	}
	now, err := e.DatabaseTime(t.Context())
	if err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("the database's time is %v, %v", now, err)
	}
}
