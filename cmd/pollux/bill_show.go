package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
)

func (p *program) billListCommand() *cobra.Command {
	var filter store.BillFilter
	var kind string
	command := p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the bills with the figures of their open periods", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			if filter.Type = billing.Type(kind); kind != "" && filter.Type != billing.CDR && filter.Type != billing.Quota {
				return usagef("--type is cdr or quota, not %.40q", kind)
			}
			if filter.Limit < 0 || filter.AfterID < 0 {
				return usagef("--limit and --after are not negative")
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				bills, err := s.Bills(command.Context(), filter)
				if err != nil {
					return err
				}
				ids := make([]int64, len(bills))
				for i, b := range bills {
					ids[i] = b.ID
				}
				open, err := s.OpenPeriods(command.Context(), ids)
				if err != nil {
					return err
				}
				return p.printBills(bills, open, base(values))
			})
		}),
	})
	command.Flags().StringVar(&filter.Customer, "customer", "", "only bills of this customer")
	command.Flags().StringVar(&kind, "type", "", "only bills of this type: cdr, quota")
	command.Flags().Int64Var(&filter.AfterID, "after", 0, "only bills with greater ids: the last one of the list before")
	command.Flags().IntVar(&filter.Limit, "limit", 0, "at most so many bills, up to 10000 (default 1000)")
	return command
}

func (p *program) printBills(bills []billing.Bill, open map[int64]billing.Standing, base int) error {
	shown, rows := make([]billJSON, len(bills)), make([][]string, len(bills))
	for i, b := range bills {
		s := open[b.ID] // with the terms of that period: new ones of the bill may be those of the next
		shown[i] = billToJSON(b, &s)
		rows[i] = []string{
			strconv.FormatInt(b.ID, 10), b.Name, b.Customer, string(s.Type), billing.FormatAmount(uint64(max(s.Allowed, 0)), s.Type, base),
			billing.FormatAmount(s.Used, s.Type, base), hundredths(s.Percent()), billing.FormatAmount(s.Overuse, s.Type, base), billing.FormatAmount(s.Predicted, s.Type, base),
			hundredths(s.Coverage()), time.Unix(s.Period.To, 0).UTC().Format(time.RFC3339),
		}
	}
	if p.asJSON {
		return p.printJSON(items[billJSON]{shown})
	}
	return p.printTable([]string{"ID", "NAME", "CUSTOMER", "TYPE", "ALLOWED", "USED", "%", "OVERUSE", "PREDICTED", "COVERAGE %", "PERIOD ENDS"}, rows)
}

// hundredths shows hundredths of a percent.
func hundredths(n uint64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

func (p *program) billShowCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show BILL", Short: "Show one bill with the figures of its open period", Args: words(1),
		RunE: p.onBill(func(ctx context.Context, s *store.Store, values settings.Values, b billing.Bill) error {
			open, err := s.OpenPeriods(ctx, []int64{b.ID})
			if err != nil {
				return err
			}
			period := open[b.ID]
			if p.asJSON {
				return p.printJSON(billToJSON(b, &period))
			}
			fmt.Fprintf(p.out, "bill %d (%s), version %d\n", b.ID, b.Name, b.Version)
			for _, line := range [][2]string{{"reference", b.Ref}, {"customer", b.Customer}, {"notes", b.Notes}} {
				if line[1] != "" {
					fmt.Fprintf(p.out, "%s: %s\n", line[0], plain(line[1]))
				}
			}
			fmt.Fprintf(p.out, "%s of %s, %s; periods begin on day %d, %s\n\n", b.Type, billing.FormatAmount(uint64(b.Allowed), b.Type, base(values)), b.Direction, b.Day, b.Zone)
			return p.printFigures(b, period, base(values))
		}),
	})
}

// printFigures shows what a bill says of a period.
func (p *program) printFigures(b billing.Bill, s billing.Standing, base int) error {
	zone, err := b.Location()
	if err != nil {
		fmt.Fprintf(p.errout, "pollux: these times are in UTC, since the bill's zone is not known here: %v; see: pollux bill set %d --time-zone ZONE\n", err, b.ID)
		zone = time.UTC
	}
	at := func(unix int64) string { return time.Unix(unix, 0).In(zone).Format("2006-01-02 15:04 MST") }
	rate := func(n uint64) string { return billing.FormatAmount(n, billing.CDR, base) }
	bytes := func(n uint64) string { return billing.FormatAmount(n, billing.Quota, base) }
	used := func(n uint64) string { return billing.FormatAmount(n, s.Type, base) }
	state := "open, calculated to " + at(s.CalculatedTo)
	if s.Closed {
		state = "closed"
	} else if s.Calculated.IsZero() {
		state = "open, not calculated yet"
	}
	return p.printTable([]string{"period", at(s.Period.From) + " to " + at(s.Period.To), "", state}, [][]string{
		{"", "IN", "OUT", "BOTH"},
		{"total", bytes(s.In), bytes(s.Out), bytes(s.In + s.Out)},
		{"average", rate(s.AverageIn), rate(s.AverageOut), ""},
		{"peak", rate(s.PeakIn), rate(s.PeakOut), ""},
		{"95th percentile", rate(s.Rate95In), rate(s.Rate95Out), rate(s.Rate95) + " (" + string(s.Direction) + ", " + string(s.Method) + ")"},
		{"used", used(s.Used), hundredths(s.Percent()) + " % of " + used(uint64(max(s.Allowed, 0))), ""},
		{"overuse", used(s.Overuse), "", ""},
		{"predicted", used(s.Predicted), "", ""},
		{"coverage", hundredths(s.Coverage()) + " %", fmt.Sprintf("%d of %d samples", s.Got, s.Expected), fmt.Sprintf("%d inexact, %d implausible, %d late", s.Inexact, s.Implausible, s.Late)},
		{"checksum", s.Checksum.String(), "", ""},
	})
}

func (p *program) billHistoryCommand() *cobra.Command {
	var verify bool
	command := p.jsonFlag(&cobra.Command{
		Use: "history BILL", Short: "List the periods of a bill, the latest first", Args: words(1),
		Long: `Lists the periods of a bill, the latest first, which is open. --verify reads the
samples of each again and says whether they are those that its figures were made
of, by their number, bytes and checksum; samples that were purged are missing
then. It ends with exit code 1 when a period differs.`,
		RunE: p.onBill(func(ctx context.Context, s *store.Store, values settings.Values, b billing.Bill) error {
			periods, err := s.BillHistory(ctx, b.ID)
			if err != nil {
				return err
			}
			if verify {
				return p.verifyPeriods(ctx, s, b, periods)
			}
			shown, rows := make([]standingJSON, len(periods)), make([][]string, len(periods))
			for i, period := range periods {
				shown[i] = standingToJSON(period)
				rows[i] = historyRow(period, base(values))
			}
			if p.asJSON {
				return p.printJSON(items[standingJSON]{shown})
			}
			return p.printTable([]string{"FROM", "TO", "", "ALLOWED", "USED", "%", "OVERUSE", "95TH", "IN", "OUT", "COVERAGE %"}, rows)
		}),
	})
	command.Flags().BoolVar(&verify, "verify", false, "compare each period with its samples")
	return command
}

func historyRow(s billing.Standing, base int) []string {
	state := "open"
	set(s.Closed, &state, "closed")
	return []string{
		*second(s.Period.From), *second(s.Period.To), state, billing.FormatAmount(uint64(s.Allowed), s.Type, base), billing.FormatAmount(s.Used, s.Type, base),
		hundredths(s.Percent()), billing.FormatAmount(s.Overuse, s.Type, base), billing.FormatAmount(s.Rate95, billing.CDR, base),
		billing.FormatAmount(s.In, billing.Quota, base), billing.FormatAmount(s.Out, billing.Quota, base), hundredths(s.Coverage()),
	}
}

// verifiedJSON is a period that was compared with its samples.
type verifiedJSON struct {
	From    *string `json:"from"`
	To      *string `json:"to"`
	Closed  bool    `json:"closed"`
	Equal   bool    `json:"equal"`
	Kept    int64   `json:"samples"`
	Found   int64   `json:"samples_found"`
	InKept  uint64  `json:"in_bytes"`
	InFound uint64  `json:"in_bytes_found"`
	Out     uint64  `json:"out_bytes"`
	OutNow  uint64  `json:"out_bytes_found"`
}

func (p *program) verifyPeriods(ctx context.Context, s *store.Store, b billing.Bill, periods []billing.Standing) error {
	shown, rows, differ := make([]verifiedJSON, len(periods)), make([][]string, len(periods)), 0
	for i, period := range periods {
		kept, found, err := s.VerifyPeriod(ctx, b.ID, period.Period.From)
		if err != nil {
			return err
		}
		v := verifiedJSON{
			From: second(period.Period.From), To: second(period.Period.To), Closed: period.Closed, Equal: kept == found, Kept: kept.Got, Found: found.Got,
			InKept: kept.In, InFound: found.In, Out: kept.Out, OutNow: found.Out,
		}
		verdict := "equal"
		if !v.Equal {
			differ++
			verdict = fmt.Sprintf("DIFFERS: %d samples, in %d, out %d bytes found, %d, %d and %d were counted", found.Got, found.In, found.Out, kept.Got, kept.In, kept.Out)
		}
		shown[i], rows[i] = v, []string{*v.From, *v.To, verdict}
	}
	var err error
	if p.asJSON {
		err = p.printJSON(items[verifiedJSON]{shown})
	} else {
		err = p.printTable([]string{"FROM", "TO", "SAMPLES"}, rows)
	}
	if err == nil && differ > 0 {
		err = fmt.Errorf("%d of %d periods differ from their samples; those older than %s were purged", differ, len(periods), settings.KeyBillingPurge)
	}
	return err
}
