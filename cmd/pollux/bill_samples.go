package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
)

// sampleFlags choose samples of a bill.
type sampleFlags struct {
	period        string
	port          int64
	gaps, flagged bool
	limit         int
}

const (
	defaultSamples = 1000
	maxSamples     = 10_000_000
)

func (f *sampleFlags) register(command *cobra.Command, limit int) {
	command.Flags().StringVar(&f.period, "period", "", "the period that a date such as 2026-03-31 lies in, in the bill's time zone (default: the open one)")
	command.Flags().Int64Var(&f.port, "port", 0, "only samples of the port of this id")
	command.Flags().IntVar(&f.limit, "limit", limit, fmt.Sprintf("at most so many samples, up to %d", maxSamples))
}

func (p *program) billSamplesCommand() *cobra.Command {
	var flags sampleFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "samples BILL", Short: "List the samples that the figures of a bill are made of", Args: words(1),
		Long: `Lists the samples that a bill counts in a period, in the order of ports and
time: the bytes, the rate, over how many slots they are spread, and what is
special about them. Of the open period these are the samples that are in its
figures; pollux bill recalculate adds those that came since. --gaps lists only
those that follow missed slots, --flagged only those with a flag.`,
		RunE: p.onBill(func(ctx context.Context, s *store.Store, _ settings.Values, b billing.Bill) error {
			shown, rows := []sampleJSON{}, [][]string{}
			err := p.eachSample(ctx, s, b, flags, func(sample billing.Sample) error {
				made := sampleToJSON(sample)
				shown = append(shown, made)
				rows = append(rows, made.row())
				return nil
			})
			if err != nil {
				return err
			}
			if p.asJSON {
				return p.printJSON(items[sampleJSON]{shown})
			}
			return p.printTable(sampleColumns(), rows)
		}),
	})
	flags.register(command, defaultSamples)
	command.Flags().BoolVar(&flags.gaps, "gaps", false, "only samples that follow missed slots")
	command.Flags().BoolVar(&flags.flagged, "flagged", false, "only samples with a flag")
	return command
}

// errEnough ends a list at its limit.
var errEnough = errors.New("enough")

// eachSample calls each for the samples that the flags choose, and says on
// standard error when there are more of them.
func (p *program) eachSample(ctx context.Context, s *store.Store, b billing.Bill, f sampleFlags, each func(billing.Sample) error) error {
	if f.limit < 1 || f.limit > maxSamples {
		return usagef("--limit is a number from 1 to %d, not %d", maxSamples, f.limit)
	}
	if f.port < 0 {
		return usagef("--port is the id of a port, not %d", f.port)
	}
	period, err := f.chosen(ctx, s, b)
	if err != nil {
		return err
	}
	n := 0
	err = s.BillSamples(ctx, b.ID, period, func(sample billing.Sample) error {
		if f.port != 0 && sample.Port != f.port || f.gaps && sample.Slots < 2 || f.flagged && sample.Flags == 0 {
			return nil
		}
		if n++; n > f.limit {
			return errEnough
		}
		return each(sample)
	})
	if errors.Is(err, errEnough) {
		fmt.Fprintf(p.errout, "pollux: these are the first %d samples, and there are more; for the others: --limit N, or pollux bill export %d --samples\n", f.limit, b.ID)
		return nil
	}
	return err
}

// chosen is the period of --period.
func (f *sampleFlags) chosen(ctx context.Context, s *store.Store, b billing.Bill) (billing.Period, error) {
	periods, err := s.BillHistory(ctx, b.ID)
	if err != nil {
		return billing.Period{}, err
	}
	if f.period == "" {
		for i := range periods {
			if !periods[i].Closed {
				return inFigures(periods[i]), nil
			}
		}
		return billing.Period{}, fmt.Errorf("%w: the bill has no open period", errNotFound)
	}
	zone, err := b.Location()
	if err != nil {
		return billing.Period{}, err
	}
	at, err := time.ParseInLocation(time.DateOnly, f.period, zone)
	if err != nil {
		return billing.Period{}, usagef("--period is a date such as 2026-03-31, not %.40q", f.period)
	}
	noon := at.Add(12 * time.Hour).Unix() // where clocks are put forward at midnight, what is read of a date may lie in the day before
	for i := range periods {
		if p := periods[i].Period; noon >= p.From && noon < p.To {
			return inFigures(periods[i]), nil
		}
	}
	return billing.Period{}, fmt.Errorf("%w: bill %d has no period in which %s lies; see: pollux bill history %d", errNotFound, b.ID, f.period, b.ID)
}

// inFigures is the part of a period whose samples are in its figures: of one that
// is open, what began before its last calculation.
func inFigures(s billing.Standing) billing.Period {
	if s.Closed {
		return s.Period
	}
	return billing.Period{From: s.Period.From, To: min(s.Period.To, s.CalculatedTo)}
}

// sampleJSON is a sample in JSON. Rates are bit/s.
type sampleJSON struct {
	Port  int64   `json:"port_id"`
	Slot  *string `json:"slot"`
	Width int     `json:"slot_seconds"`
	Slots int     `json:"slots"` // that the bytes are spread over
	Read  *string `json:"read_at"`
	Span  float64 `json:"span_seconds"` // since the reading before; 0 for the first
	In    uint64  `json:"in_bytes"`
	Out   uint64  `json:"out_bytes"`
	InBPS uint64  `json:"rate_in"`
	OutBP uint64  `json:"rate_out"`
	Flags string  `json:"flags"`
	Exact bool    `json:"exact"`
}

func sampleToJSON(s billing.Sample) sampleJSON {
	in, out := s.Rates()
	return sampleJSON{
		Port: s.Port, Slot: second(s.Slot), Width: s.Width, Slots: s.Slots, Read: rfc3339(s.Read), Span: s.Span.Seconds(), In: s.In, Out: s.Out,
		InBPS: in, OutBP: out, Flags: s.Flags.String(), Exact: s.Flags.Exact(),
	}
}

// sampleColumns are the headings of a table or a file of samples.
func sampleColumns() []string {
	return []string{"PORT_ID", "SLOT", "SLOT_SECONDS", "SLOTS", "READ_AT", "SPAN_SECONDS", "IN_BYTES", "OUT_BYTES", "RATE_IN", "RATE_OUT", "FLAGS"}
}

func (s sampleJSON) row() []string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []string{
		strconv.FormatInt(s.Port, 10), *s.Slot, strconv.Itoa(s.Width), strconv.Itoa(s.Slots), *s.Read, strconv.FormatFloat(s.Span, 'f', 3, 64),
		number(s.In), number(s.Out), number(s.InBPS), number(s.OutBP), s.Flags,
	}
}

func (p *program) billRecalculateCommand() *cobra.Command {
	var fresh bool
	command := p.jsonFlag(&cobra.Command{
		Use: "recalculate BILL", Short: "Bring the figures of a bill up to date now", Args: words(1),
		Long: `Adds the samples that came since the last calculation. A period that is over is
closed by the cluster 30 minutes later, and not by this. --anew makes the figures of the open period again from all of its
samples. Closed periods stay as they are in any case.`,
		RunE: p.onBill(func(ctx context.Context, s *store.Store, values settings.Values, b billing.Bill) error {
			now, err := billTime(ctx, s)
			if err != nil {
				return err
			}
			if fresh {
				err = s.RecalculateBill(ctx, b.ID, calculation(values, now))
			} else {
				err = s.CalculateBills(ctx, []int64{b.ID}, calculation(values, now))
			}
			if err != nil {
				return err
			}
			open, err := s.OpenPeriods(ctx, []int64{b.ID})
			if err != nil {
				return err
			}
			period := open[b.ID]
			if p.asJSON {
				return p.printJSON(standingToJSON(period))
			}
			return p.printFigures(b, period, base(values))
		}),
	})
	command.Flags().BoolVar(&fresh, "anew", false, "from all samples of the open period")
	return command
}
