package store

import (
	"github.com/uptrace/bun"

	"pollux/billing"
)

// billRow is a row of bills.
type billRow struct {
	bun.BaseModel `bun:"table:bills"`

	ID           int64  `bun:"id,pk,autoincrement"`
	Name         string `bun:"name"`
	Ref          string `bun:"ref"`
	Customer     string `bun:"customer"`
	Notes        string `bun:"notes"`
	Type         string `bun:"bill_type"`
	Allowed      int64  `bun:"allowed"`
	Direction    string `bun:"direction"`
	Day          int    `bun:"bill_day"`
	Zone         string `bun:"time_zone"`
	PeriodFrom   int64  `bun:"period_from"`
	CalculatedAt int64  `bun:"calculated_at"`
	Version      int64  `bun:"version"`
	CreatedAt    int64  `bun:"created_at"`
}

func (r *billRow) bill() billing.Bill {
	b := billing.Bill{
		ID: r.ID, Name: r.Name, Ref: r.Ref, Customer: r.Customer, Notes: r.Notes, Type: billing.Type(r.Type), Allowed: r.Allowed,
		Direction: billing.Direction(r.Direction), Day: r.Day, Zone: r.Zone, PeriodFrom: r.PeriodFrom, Version: r.Version, Created: fromMillis(r.CreatedAt),
	}
	if r.CalculatedAt > 0 {
		b.Calculated = fromMillis(r.CalculatedAt)
	}
	return b
}

// memberRow is a row of bill_ports.
type memberRow struct {
	bun.BaseModel `bun:"table:bill_ports"`

	BillID     int64  `bun:"bill_id,pk"`
	PortID     int64  `bun:"port_id,pk"`
	FromSlot   int64  `bun:"from_slot,pk"`
	UntilSlot  int64  `bun:"until_slot"`
	DoneSlot   int64  `bun:"done_slot"`
	DeviceName string `bun:"device_name"`
	PortName   string `bun:"port_name"`
}

// dataRow is a row of bill_data.
type dataRow struct {
	bun.BaseModel `bun:"table:bill_data"`

	BillID  int64  `bun:"bill_id,pk"`
	BeginAt int64  `bun:"begin_at,pk"`
	Data    []byte `bun:"data"`
}

// periodRow is a row of bill_history.
type periodRow struct {
	bun.BaseModel `bun:"table:bill_history"`

	BillID          int64  `bun:"bill_id,pk"`
	PeriodFrom      int64  `bun:"period_from,pk"`
	PeriodTo        int64  `bun:"period_to"`
	Closed          bool   `bun:"closed"`
	CalculatedAt    int64  `bun:"calculated_at"`
	CalculatedTo    int64  `bun:"calculated_to"`
	Type            string `bun:"bill_type"`
	Allowed         int64  `bun:"allowed"`
	Direction       string `bun:"direction"`
	Method          string `bun:"method"`
	In              int64  `bun:"in_bytes"`
	Out             int64  `bun:"out_bytes"`
	Rate95In        int64  `bun:"rate_95th_in"`
	Rate95Out       int64  `bun:"rate_95th_out"`
	Rate95          int64  `bun:"rate_95th"`
	AverageIn       int64  `bun:"average_in"`
	AverageOut      int64  `bun:"average_out"`
	PeakIn          int64  `bun:"peak_in"`
	PeakOut         int64  `bun:"peak_out"`
	Peak            int64  `bun:"peak"`
	Used            int64  `bun:"used"`
	Overuse         int64  `bun:"overuse"`
	Predicted       int64  `bun:"predicted"`
	MeasuredSeconds int64  `bun:"measured_seconds"`
	Got             int64  `bun:"got"`
	GotSeconds      int64  `bun:"got_seconds"`
	Expected        int64  `bun:"expected"`
	Inexact         int64  `bun:"inexact"`
	Implausible     int64  `bun:"implausible"`
	Late            int64  `bun:"late"`
	Checksum        string `bun:"checksum"`
	Warned          int    `bun:"warned"` // which warnings were given in this period
}

// openedPeriod is the row of a period that begins.
func openedPeriod(b *billRow, p billing.Period) periodRow {
	return periodRow{
		BillID: b.ID, PeriodFrom: p.From, PeriodTo: p.To, Type: b.Type, Allowed: b.Allowed, Direction: b.Direction,
		Method: string(billing.Nearest), CalculatedTo: p.From, Checksum: billing.Checksum{}.String(),
	}
}

func (r *periodRow) period() billing.Period {
	return billing.Period{From: r.PeriodFrom, To: r.PeriodTo}
}

func (r *periodRow) totals() billing.Totals {
	sum, _ := billing.ParseChecksum(r.Checksum)
	return billing.Totals{In: unsigned(r.In), Out: unsigned(r.Out), Got: r.Got, GotSeconds: r.GotSeconds, Inexact: r.Inexact, Implausible: r.Implausible, Checksum: sum}
}

func (r *periodRow) setTotals(t billing.Totals) {
	r.In, r.Out, r.Got, r.GotSeconds = bounded(t.In), bounded(t.Out), t.Got, t.GotSeconds
	r.Inexact, r.Implausible, r.Checksum = t.Inexact, t.Implausible, t.Checksum.String()
}

func (r *periodRow) setFigures(f billing.Figures) {
	r.Rate95In, r.Rate95Out, r.Rate95 = bounded(f.Rate95In), bounded(f.Rate95Out), bounded(f.Rate95)
	r.AverageIn, r.AverageOut = bounded(f.AverageIn), bounded(f.AverageOut)
	r.PeakIn, r.PeakOut, r.Peak = bounded(f.PeakIn), bounded(f.PeakOut), bounded(f.Peak)
	r.Used, r.Overuse, r.Predicted = bounded(f.Used), bounded(f.Overuse), bounded(f.Predicted)
	r.MeasuredSeconds, r.Expected = f.MeasuredSeconds, f.Expected
	r.CalculatedTo = max(r.CalculatedTo, f.CalculatedTo) // what is in stays in, when slots become longer or a clock steps back
}

func (r *periodRow) standing() billing.Standing {
	s := billing.Standing{
		Bill: r.BillID, Type: billing.Type(r.Type), Allowed: r.Allowed, Direction: billing.Direction(r.Direction), Method: billing.Method(r.Method),
		Period: r.period(), Closed: r.Closed, Late: r.Late, Totals: r.totals(),
		Figures: billing.Figures{
			Rate95In: unsigned(r.Rate95In), Rate95Out: unsigned(r.Rate95Out), Rate95: unsigned(r.Rate95),
			AverageIn: unsigned(r.AverageIn), AverageOut: unsigned(r.AverageOut), PeakIn: unsigned(r.PeakIn), PeakOut: unsigned(r.PeakOut), Peak: unsigned(r.Peak),
			Used: unsigned(r.Used), Overuse: unsigned(r.Overuse), Predicted: unsigned(r.Predicted),
			MeasuredSeconds: r.MeasuredSeconds, Expected: r.Expected, CalculatedTo: r.CalculatedTo,
		},
	}
	if r.CalculatedAt > 0 {
		s.Calculated = fromMillis(r.CalculatedAt)
	}
	return s
}

// unsigned is what bounded has stored.
func unsigned(n int64) uint64 { return uint64(max(n, 0)) }
