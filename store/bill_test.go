package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pollux/billing"
	"pollux/device"
)

var billBehaviours = []behaviour{
	{"a bill is added, found, changed and removed", billLife},
	{"two edits of one bill: the second is refused", billEdits},
	{"bad bills and ports are refused whole", billRefused},
	{"the billed ports of devices", billedPorts},
	{"readings that are refused", billReadings},
	{"a port that is gone keeps its history", billGone},
	{"a port counts in a bill from when it came", billJoined},
	{"warnings and implausible samples are told once", billWarnings},
	{"a closed period is frozen", billFrozen},
	{"another billing day goes on without gap or overlap", billDay},
	{"samples that were changed by hand are found", billVerify},
	{"a sample that came too late for its period counts nowhere", billLate},
	{"a damaged bill or port keeps no other back", billDamaged},
	{"another bill's port keeps its bytes when it joins", billShared},
	{"a port that moves takes no former time along", billMoved},
	{"memberships never overlap, and lose nothing to a clock that is behind", billClockBehind},
	{"new terms leave a period that waits to be closed", billTermsWaiting},
	{"a new billing day never ends a period before what was calculated", billDayBehind},
	{"more parts than a query takes", billParts},
	{"a port that left is read until its last slot was", billLeft},
	{"a recalculation by hand closes no period", billByHand},
	{"a new interval keeps coverage and percentile right", billInterval},
	{"new terms and their figures are there at once", billTermsAtOnce},
	{"another allowance is warned of anew", billWarnedAnew},
	{"a percentile is warned of when there is a day of it", billPercentileWarns},
	{"ports move whole or not at all", billMovedWhole},
	{"a clock that went back changes nothing that was counted", billStepBack},
	{"a period is verified while it is calculated", billVerifiedMeanwhile},
	{"more samples than a transaction counts", billManySamples},
}

var billNames atomic.Int64

func describedAs(kind billing.Type, allowed int64) billing.Bill {
	return billing.Bill{
		Name: fmt.Sprintf("Müller & Söhne %d", billNames.Add(1)), Ref: "R-1", Customer: "C-7", Notes: "two\nlines", Type: kind, Allowed: allowed,
		Direction: billing.Max, Day: 1, Zone: "UTC",
	}
}

// billStart begins a period of day 1.
var billStart = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func addedBill(t testing.TB, e engine, b billing.Bill, ports ...int64) billing.Bill {
	t.Helper()
	kept, err := e.AddBill(t.Context(), b, ports, billStart, "anna")
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// billable makes a device with n ports and returns their ids.
func billable(t testing.TB, e engine, n int) (device.Device, []int64) {
	t.Helper()
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 0), manyReadings(n)...))
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil || len(ports) != n {
		t.Fatal(len(ports), err)
	}
	ids := make([]int64, n)
	for i, p := range ports {
		ids[i] = p.ID
	}
	return d, ids
}

// readAt is a reading of the n-th slot since billStart.
func readAt(port int64, n int, in, out uint64) billing.Reading {
	slot := billStart.Unix() + int64(300*n)
	return billing.Reading{
		Port: port, Slot: slot, Interval: 300, Read: time.Unix(slot+30, 0), Uptime: uint32(50_000_000 + 30_000*n), In: in, Out: out, Bits: 64, Index: 1, Speed: 1e9,
	}
}

// collected hands in readings shortly after their slots' begin.
func collected(t testing.TB, e engine, readings ...billing.Reading) []billing.Sample {
	t.Helper()
	var all []billing.Sample
	for _, r := range readings {
		samples, err := e.Collect(t.Context(), []billing.Reading{r}, r.Read.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, samples...)
	}
	return all
}

func calculated(t testing.TB, e engine, now time.Time, bills ...billing.Bill) {
	t.Helper()
	var ids []int64
	for _, b := range bills {
		ids = append(ids, b.ID)
	}
	if err := e.CalculateBills(t.Context(), ids, billing.Calculation{Now: now, Interval: 300, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
}

func historyOf(t testing.TB, e engine, b billing.Bill) []billing.Standing {
	t.Helper()
	list, err := e.BillHistory(t.Context(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func billEvents(t testing.TB, e engine, about string) (messages []string) {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{Type: "bill", Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if strings.Contains(event.Message, about) {
			messages = append(messages, event.Message)
		}
	}
	return messages
}

func billLife(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	b := addedBill(t, e, describedAs(billing.CDR, 5e8), ports...)
	if b.ID == 0 || b.Version != 1 || b.PeriodFrom != billStart.Unix() {
		t.Errorf("%+v", b)
	}
	for _, name := range []string{b.Name, fmt.Sprint(b.ID)} {
		if got, err := e.Bill(t.Context(), name); err != nil || got != b {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, b)
		}
	}
	list, err := e.Bills(t.Context(), BillFilter{Customer: "C-7", Type: billing.CDR, AfterID: b.ID - 1, Limit: 1})
	if err != nil || len(list) != 1 || list[0] != b {
		t.Errorf("%+v, %v", list, err)
	}
	b.Name, b.Allowed, b.Direction, b.Type = b.Name+"x", 9e11, billing.Aggregate, billing.Quota
	changed, err := e.UpdateBill(t.Context(), b, billStart.Add(time.Hour), "bert")
	if b.Version = 2; err != nil || changed != b {
		t.Errorf("%+v, %v, want %+v", changed, err, b)
	}
	open, err := e.OpenPeriods(t.Context(), []int64{b.ID, 1 << 40})
	if s := open[b.ID]; err != nil || len(open) != 1 || s.Allowed != 9e11 || s.Type != billing.Quota || s.Direction != billing.Aggregate ||
		s.Period != (billing.Period{From: billStart.Unix(), To: billStart.AddDate(0, 1, 0).Unix()}) {
		t.Errorf("%+v, %v", open, err)
	}
	if members, err := e.BillPorts(t.Context(), b.ID); err != nil || len(members) != 2 || members[0].Port != ports[0] || !members[0].Present || members[0].Name == "" {
		t.Errorf("%+v, %v", members, err)
	}
	if err := e.RemoveBill(t.Context(), b.ID, "bert"); err != nil {
		t.Error(err)
	}
	if _, err := e.Bill(t.Context(), b.Name); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := e.RemoveBill(t.Context(), b.ID, "bert"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if told := billEvents(t, e, fmt.Sprintf("bill %d ", b.ID)); len(told) != 3 {
		t.Errorf("%q", told)
	}
	for _, table := range []string{"bill_ports", "bill_history"} {
		if n, err := e.db.NewSelect().Table(table).Where("bill_id = ?", b.ID).Count(t.Context()); err != nil || n != 0 {
			t.Errorf("%s: %d rows, %v", table, n, err)
		}
	}
}

func billEdits(t *testing.T, e engine) {
	b := addedBill(t, e, describedAs(billing.CDR, 5e8))
	one, two := b, b
	one.Notes, two.Day = "one", 15
	if _, err := e.UpdateBill(t.Context(), one, billStart, "anna"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.UpdateBill(t.Context(), two, billStart, "bert"); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "version 2") {
		t.Error(err)
	}
	if got, err := e.Bill(t.Context(), b.Name); err != nil || got.Notes != "one" || got.Day != 1 || got.Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func billRefused(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	taken := addedBill(t, e, describedAs(billing.CDR, 1), ports...)
	for name, change := range map[string]func(*billing.Bill){
		"day 0": func(b *billing.Bill) { b.Day = 0 }, "day 32": func(b *billing.Bill) { b.Day = 32 }, "negative": func(b *billing.Bill) { b.Allowed = -5 },
		"no name": func(b *billing.Bill) { b.Name = "  " }, "a number": func(b *billing.Bill) { b.Name = "12" }, "hostile": func(b *billing.Bill) { b.Name = "x\x1b[2J" },
		"zone": func(b *billing.Bill) { b.Zone = "Mars/Base" },
	} {
		b := describedAs(billing.CDR, 1)
		change(&b)
		if _, err := e.AddBill(t.Context(), b, nil, billStart, "anna"); !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		b.ID, b.Version = taken.ID, 1
		if _, err := e.UpdateBill(t.Context(), b, billStart, "anna"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	twin := describedAs(billing.CDR, 1)
	twin.Name = taken.Name
	if _, err := e.AddBill(t.Context(), twin, nil, billStart, "anna"); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	orphaned := describedAs(billing.CDR, 1)
	if _, err := e.AddBill(t.Context(), orphaned, []int64{ports[0], 1 << 40}, billStart, "anna"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), fmt.Sprint(int64(1)<<40)) {
		t.Error(err)
	}
	if _, err := e.Bill(t.Context(), orphaned.Name); !errors.Is(err, ErrNotFound) {
		t.Errorf("half a bill is left: %v", err)
	}
	if err := e.AddBillPorts(t.Context(), taken.ID, ports, billStart, "anna"); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	if err := e.RemoveBillPorts(t.Context(), taken.ID, []int64{ports[0], 1 << 40}, billStart.Add(time.Hour), "anna"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if members, err := e.BillPorts(t.Context(), taken.ID); err != nil || len(members) != 1 || members[0].Until != 0 {
		t.Errorf("%+v, %v", members, err)
	}
	if err := e.CalculateBills(t.Context(), []int64{taken.ID}, billing.Calculation{Now: billStart, Interval: 0}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func billedPorts(t *testing.T, e engine) {
	d, ports := billable(t, e, 3)
	other, _ := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.CDR, 1), ports[0], ports[2])
	addedBill(t, e, describedAs(billing.CDR, 1), ports[0]) // a second bill of one port
	billed, err := e.BilledPorts(t.Context(), d.ID)
	if err != nil || len(billed) != 2 || billed[0].ID != ports[0] || billed[1].ID != ports[2] || billed[0].Device != d.ID || billed[0].Index == 0 || billed[0].Name == "" {
		t.Errorf("%+v, %v", billed, err)
	}
	if billed, err := e.BilledPorts(t.Context(), other.ID); err != nil || len(billed) != 0 {
		t.Errorf("%+v, %v", billed, err)
	}
	listed := func() *billing.Device {
		t.Helper()
		list, err := e.BilledDevices(t.Context(), d.ID-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && list[0].ID == d.ID {
			return &list[0]
		}
		return nil
	}
	if got := listed(); got == nil || *got != (billing.Device{ID: d.ID, Ports: 2}) {
		t.Errorf("%+v", got)
	}
	if err := e.RemoveBillPorts(t.Context(), b.ID, ports[2:], billStart.Add(time.Hour), "anna"); err != nil {
		t.Fatal(err)
	}
	if got := listed(); got == nil || got.Ports != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error { d.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := listed(); got != nil {
		t.Errorf("disabled: %+v", got)
	}
}

func billReadings(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	addedBill(t, e, describedAs(billing.CDR, 1), ports[0])
	if got := collected(t, e, readAt(ports[0], 5, 100, 200), readAt(ports[0], 6, 1100, 2200)); len(got) != 2 || got[0].Flags != billing.First || got[1].In != 1000 || got[1].Flags != 0 {
		t.Errorf("%+v", got)
	}
	for name, r := range map[string]billing.Reading{
		"delivered twice": readAt(ports[0], 6, 1100, 2200), "of a clock that stepped back": readAt(ports[0], 2, 1200, 2300), "of a port without a bill": readAt(ports[1], 7, 1, 1),
	} {
		if got := collected(t, e, r); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	late := readAt(ports[0], 7, 2100, 4200)
	if got, err := e.Collect(t.Context(), []billing.Reading{late}, time.Unix(late.Slot+300, 0).Add(MaxLate)); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	// What the refused ones would have counted is in the next.
	if got := collected(t, e, readAt(ports[0], 8, 3100, 6200)); len(got) != 1 || got[0].In != 2000 || got[0].Out != 4000 || got[0].Slots != 2 || got[0].Flags != billing.Spread {
		t.Errorf("%+v", got)
	}
	wrong := readAt(ports[0], 9, 1, 1)
	wrong.Bits = 16
	if _, err := e.Collect(t.Context(), []billing.Reading{wrong}, wrong.Read); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if got, err := e.Collect(t.Context(), nil, billStart); err != nil || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func billGone(t *testing.T, e engine) {
	d, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 1e12), ports...)
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 5000, 9000), readAt(ports[0], 2, 6000, 10_000))
	if err := e.RemoveDevice(t.Context(), d.ID, false); err != nil {
		t.Fatal(err)
	}
	calculated(t, e, billStart.Add(20*time.Minute), b)
	if s := historyOf(t, e, b)[0]; s.In != 6000 || s.Out != 10_000 || s.Used != 10_000 || s.Got != 3 || s.Expected != 4 || s.Coverage() != 7500 {
		t.Errorf("%+v", s)
	}
	members, err := e.BillPorts(t.Context(), b.ID)
	if err != nil || len(members) != 1 || members[0].Present || members[0].Device != d.Hostname || members[0].Name == "" {
		t.Errorf("%+v, %v", members, err)
	}
	if billed, err := e.BilledPorts(t.Context(), d.ID); err != nil || len(billed) != 0 {
		t.Errorf("%+v, %v", billed, err)
	}
}

func billJoined(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	addedBill(t, e, describedAs(billing.Quota, 1), ports[0])
	b := addedBill(t, e, describedAs(billing.Quota, 1))
	collected(t, e, readAt(ports[0], 0, 0, 0), readAt(ports[0], 1, 9000, 0))
	if err := e.AddBillPorts(t.Context(), b.ID, ports, billStart.Add(25*time.Minute), "anna"); err != nil {
		t.Fatal(err)
	}
	collected(t, e, readAt(ports[0], 6, 159_000, 0)) // 800 bit/s since the second slot
	calculated(t, e, billStart.Add(35*time.Minute), b)
	// Of the sample's five slots the port was there in two.
	if s := historyOf(t, e, b)[0]; s.In != 60_000 || s.Inexact != 1 || s.Got != 1 || s.Expected != 2 || s.MeasuredSeconds != 600 || s.Rate95In != 800 {
		t.Errorf("%+v", s)
	}
}

func billWarnings(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.Quota, 10_000), ports...)
	about := fmt.Sprintf("bill %d (", b.ID)
	told := func() (n int) {
		for _, message := range billEvents(t, e, about) {
			if strings.Contains(message, "allowance") {
				n++
			}
		}
		return n
	}
	collected(t, e, readAt(ports[0], 0, 0, 0))
	for n, step := range []struct {
		in   uint64
		told int
	}{{7000, 0}, {8001, 1}, {9000, 1}, {10_000, 1}, {10_001, 2}, {20_000, 2}} {
		collected(t, e, readAt(ports[0], n+1, step.in, 0))
		calculated(t, e, billStart.Add(time.Duration(n+2)*5*time.Minute), b)
		if got := told(); got != step.told {
			t.Errorf("used %d: told %d times, want %d: %q", step.in, got, step.told, billEvents(t, e, about))
		}
	}
	// A counter that jumps is told once, and counts nothing.
	jumps := []billing.Reading{readAt(ports[0], 7, 1e15, 0), readAt(ports[0], 8, 2e15, 0), readAt(ports[0], 9, 2e15+5, 0)}
	for i, s := range collected(t, e, jumps...) {
		if want := i < 2; (s.Flags&billing.Implausible != 0) != want || want && s.In != 0 {
			t.Errorf("%+v", s)
		}
	}
	if got := billEvents(t, e, fmt.Sprintf("port %d (", ports[0])); len(got) != 1 {
		t.Errorf("%q", got)
	}
	// 100 slots later most are missing.
	calculated(t, e, billStart.Add(101*5*time.Minute), b)
	calculated(t, e, billStart.Add(102*5*time.Minute), b)
	if got := billEvents(t, e, about); strings.Count(strings.Join(got, "\n"), "coverage is") != 1 {
		t.Errorf("%q", got)
	}
}

func billFrozen(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.CDR, 1), ports...)
	next := billStart.AddDate(0, 1, 0)
	last := int(next.Sub(billStart)/(300*time.Second)) - 1 // the period's last slot
	collected(t, e, readAt(ports[0], last-1, 0, 0), readAt(ports[0], last, 3000, 0), readAt(ports[0], last+1, 9000, 0))
	calculated(t, e, next.Add(CloseAfter-time.Second), b)
	if list := historyOf(t, e, b); len(list) != 1 || list[0].Closed || list[0].In != 3000 {
		t.Errorf("%+v", list)
	}
	calculated(t, e, next.Add(CloseAfter), b)
	list := historyOf(t, e, b)
	if len(list) != 2 || !list[1].Closed || list[1].In != 3000 || list[1].Rate95In != 80 || list[1].Overuse != 79 || list[1].Got != 2 || list[1].Expected != int64(last)+1 ||
		list[0].Closed || list[0].In != 6000 || list[0].Period.From != next.Unix() || list[0].Period.To != next.AddDate(0, 1, 0).Unix() {
		t.Fatalf("%+v", list)
	}
	closed := list[1]
	b, err := e.Bill(t.Context(), b.Name)
	if err != nil || b.PeriodFrom != next.Unix() {
		t.Errorf("%+v, %v", b, err)
	}
	b.Type, b.Allowed, b.Direction = billing.Quota, 77, billing.In
	if _, err := e.UpdateBill(t.Context(), b, next.Add(time.Hour), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := e.RecalculateBill(t.Context(), b.ID, billing.Calculation{Now: next.Add(2 * time.Hour), Interval: 300, Method: billing.LibreNMS}); err != nil {
		t.Fatal(err)
	}
	if list = historyOf(t, e, b); len(list) != 2 || list[1] != closed || list[0].In != 6000 || list[0].Used != 6000 || list[0].Allowed != 77 || list[0].Method != billing.LibreNMS {
		t.Errorf("%+v", list)
	}
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, closed.Period.From); err != nil || kept != again || kept.Got != 2 {
		t.Errorf("%+v, %+v, %v", kept, again, err)
	}
	if _, _, err := e.VerifyPeriod(t.Context(), b.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func billDay(t *testing.T, e engine) {
	b := addedBill(t, e, describedAs(billing.CDR, 1))
	b.Day, b.Zone = 15, "Europe/Berlin"
	b, err := e.UpdateBill(t.Context(), b, billStart.AddDate(0, 0, 9), "anna")
	if err != nil {
		t.Fatal(err)
	}
	calculated(t, e, billStart.AddDate(0, 3, 0), b) // three months without a calculation
	list := historyOf(t, e, b)
	var bounds []string
	for i, s := range list {
		if i > 0 && s.Period.To != list[i-1].Period.From {
			t.Errorf("a gap or an overlap: %+v", list)
		}
		bounds = append(bounds, time.Unix(s.Period.To, 0).UTC().Format(time.RFC3339))
	}
	if want := "[2026-08-14T22:00:00Z 2026-07-14T22:00:00Z 2026-06-14T22:00:00Z 2026-05-14T22:00:00Z]"; fmt.Sprint(bounds) != want {
		t.Errorf("%v, want %s", bounds, want)
	}
}

func billVerify(t *testing.T, e engine) {
	_, ports := billable(t, e, 2)
	b := addedBill(t, e, describedAs(billing.Quota, 1), ports...)
	for n := range 5 {
		collected(t, e, readAt(ports[0], n, uint64(1000*n), 0), readAt(ports[1], n, uint64(100*n), 0))
	}
	calculated(t, e, billStart.Add(20*time.Minute), b) // the fifth slot is not over yet
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, billStart.Unix()); err != nil || kept != again || kept.Got != 8 || kept.In != 3300 {
		t.Errorf("%+v, %+v, %v", kept, again, err)
	}
	if _, err := e.db.NewUpdate().Table("bill_samples").Set("in_bytes = in_bytes - 1").Where("port_id = ?", ports[1]).Where("slot = ?", billStart.Unix()+600).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, billStart.Unix()); err != nil || kept.Checksum == again.Checksum || kept.In != again.In+1 {
		t.Errorf("%+v, %+v, %v", kept, again, err)
	}
}

func billLate(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.CDR, 1), ports...)
	next := billStart.AddDate(0, 1, 0)
	calculated(t, e, next.Add(CloseAfter), b)
	late := sampleColumns(billing.Sample{Port: ports[0], Slot: next.Unix() - 300, Width: 300, Slots: 1, Read: next, Span: 300 * time.Second, In: 99})
	if _, err := e.db.NewInsert().Model(&late).Returning("NULL").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	calculated(t, e, next.Add(time.Hour), b)
	calculated(t, e, next.Add(2*time.Hour), b)
	if list := historyOf(t, e, b); list[0].Late != 1 || list[0].In != 0 || list[1].In != 0 || list[1].Late != 0 {
		t.Errorf("%+v", list)
	}
}

func billInterval(t *testing.T, e engine) {
	_, ports := billable(t, e, 1)
	b := addedBill(t, e, describedAs(billing.CDR, 1), ports...)
	for n := range 9 { // until 00:45
		collected(t, e, readAt(ports[0], n, uint64(37_500*n), 0)) // 1,000 bit/s
	}
	for n := range 15 { // until 01:00, every minute
		r := readAt(ports[0], 9, 337_500+uint64(n)*75_000, 0) // 10,000 bit/s
		r.Interval, r.Slot, r.Read, r.Uptime = 60, r.Slot+int64(60*n), r.Read.Add(time.Duration(n)*time.Minute), r.Uptime+uint32(6000*n)
		if got := collected(t, e, r); len(got) != 1 || got[0].Flags != 0 || got[0].Slots != 1 {
			t.Errorf("%d: %+v", n, got)
		}
	}
	if err := e.CalculateBills(t.Context(), []int64{b.ID}, billing.Calculation{Now: billStart.Add(time.Hour), Interval: 60, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
	if s := historyOf(t, e, b)[0]; s.Got != 24 || s.Expected != 24 || s.Coverage() != 10_000 || s.Rate95In != 10_000 || s.MeasuredSeconds != 55*60 {
		t.Errorf("%+v", s)
	}
	// Slots of 15 minutes: that of 00:45 is not over, but what was of it in the figures is.
	if err := e.CalculateBills(t.Context(), []int64{b.ID}, billing.Calculation{Now: billStart.Add(59 * time.Minute), Interval: 900, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
	if s := historyOf(t, e, b)[0]; s.Got != 24 || s.CalculatedTo != billStart.Add(time.Hour).Unix() {
		t.Errorf("%+v", s)
	}
}

func billDamaged(t *testing.T, e engine) {
	_, ports := billable(t, e, 3)
	sick, well := addedBill(t, e, describedAs(billing.Quota, 1), ports[0]), addedBill(t, e, describedAs(billing.Quota, 1), ports[1], ports[2])
	for n := range 2 {
		var readings []billing.Reading
		for _, id := range ports {
			readings = append(readings, readAt(id, n, uint64(1000*n), 0))
		}
		if n == 1 { // a sample that a hand put there
			row := sampleRow{PortID: ports[1], Slot: readings[0].Slot, SlotSeconds: 300, Slots: 1}
			if _, err := e.db.NewInsert().Model(&row).Returning("NULL").Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		samples, err := e.Collect(t.Context(), readings, readings[0].Read)
		if want := 3 - n; len(samples) != want || (err != nil) != (n == 1) {
			t.Errorf("%d samples, want %d: %v", len(samples), want, err)
		}
	}
	calculated(t, e, billStart.Add(10*time.Minute), sick, well)
	if _, err := e.db.NewUpdate().Table("bill_data").Set("data = ?", []byte{9, 9}).Where("bill_id = ?", sick.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	collected(t, e, readAt(ports[0], 2, 5000, 0), readAt(ports[2], 2, 5000, 0))
	c := billing.Calculation{Now: billStart.Add(15 * time.Minute), Interval: 300, Method: billing.Nearest}
	if err := e.CalculateBills(t.Context(), []int64{sick.ID, well.ID}, c); err == nil || !strings.Contains(err.Error(), "pollux bill recalculate") || !strings.Contains(err.Error(), fmt.Sprintf("bill %d", sick.ID)) {
		t.Error(err)
	}
	if s := historyOf(t, e, well)[0]; s.In != 5000 {
		t.Errorf("%+v", s)
	}
	if err := e.RecalculateBill(t.Context(), sick.ID, c); err != nil {
		t.Error(err)
	}
	if s := historyOf(t, e, sick)[0]; s.In != 5000 || s.Got != 3 {
		t.Errorf("%+v", s)
	}
}

// 500 readings and more that come together are written 500 to 1,000 in a statement.
func TestReadingsAreWrittenInEvenBatches(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 0, 1: 1, 999: 999, 1000: 1000, 1001: 501, 1008: 504, 2000: 1000, 2001: 667, 10_000: 1000} {
		if got := evenBatch(n); got != want {
			t.Errorf("%d readings go in batches of %d, want %d", n, got, want)
		}
	}
	for n := collectBatch / 2; n < 10*collectBatch; n++ {
		size := evenBatch(n)
		if last := n - (n-1)/size*size; size > collectBatch || last < collectBatch/2 {
			t.Fatalf("%d readings go in batches of %d, the last of %d", n, size, last)
		}
	}
}
