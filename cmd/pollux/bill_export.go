package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
)

func (p *program) billExportCommand() *cobra.Command {
	var flags sampleFlags
	var samples bool
	var format string
	command := &cobra.Command{
		Use: "export BILL", Short: "Write the periods or the samples of a bill as CSV or JSON", Args: words(1),
		Long: `Writes the periods of a bill, or with --samples the samples that it counts in
one period, as CSV (RFC 4180) or JSON, all numbers in bytes, bit/s and seconds.`,
		Example: "  pollux bill export 'Example Ltd' > periods.csv\n  pollux bill export 17 --samples --period 2026-03-31 --format json",
	}
	command.RunE = p.onBill(func(ctx context.Context, s *store.Store, _ settings.Values, b billing.Bill) error {
		switch {
		case format != "csv" && format != "json":
			return usagef("--format is csv or json, not %.40q", format)
		case !samples && given(command, []string{"period", "port", "limit"}):
			return usagef("--period, --port and --limit choose samples: give --samples with them")
		case samples && format == "csv":
			return p.writeCSV(sampleColumns(), func(write func([]string) error) error {
				return p.eachSample(ctx, s, b, flags, func(sample billing.Sample) error { return write(sampleToJSON(sample).row()) })
			})
		case samples:
			return p.exportSamplesJSON(ctx, s, b, flags)
		}
		return p.exportPeriods(ctx, s, b, format)
	})
	flags.register(command, maxSamples)
	command.Flags().BoolVar(&samples, "samples", false, "the samples of a period, not the periods")
	command.Flags().StringVar(&format, "format", "csv", "csv or json")
	return command
}

// exportSamplesJSON writes one sample after the other, since a period can have millions.
func (p *program) exportSamplesJSON(ctx context.Context, s *store.Store, b billing.Bill, flags sampleFlags) error {
	separator := "{\"items\":[\n"
	err := p.eachSample(ctx, s, b, flags, func(sample billing.Sample) error {
		text, err := json.Marshal(sampleToJSON(sample))
		if err != nil {
			return fmt.Errorf("encode a sample: %w", err)
		}
		_, err = fmt.Fprintf(p.out, "%s%s", separator, text)
		separator = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	if separator != ",\n" {
		fmt.Fprint(p.out, separator)
	}
	_, err = fmt.Fprintln(p.out, "]}")
	return err
}

func (p *program) exportPeriods(ctx context.Context, s *store.Store, b billing.Bill, format string) error {
	periods, err := s.BillHistory(ctx, b.ID)
	if err != nil {
		return err
	}
	if format == "json" {
		shown := make([]standingJSON, len(periods))
		for i := range periods {
			shown[i] = standingToJSON(periods[i])
		}
		return p.printJSON(items[standingJSON]{shown})
	}
	headings := []string{
		"BILL_ID", "NAME", "REF", "CUSTOMER", "FROM", "TO", "CLOSED", "TYPE", "ALLOWED", "DIRECTION", "PERCENTILE_METHOD", "IN_BYTES", "OUT_BYTES", "RATE_95TH_IN", "RATE_95TH_OUT", "RATE_95TH",
		"RATE_AVERAGE_IN", "RATE_AVERAGE_OUT", "PEAK_IN", "PEAK_OUT", "USED", "OVERUSE", "PREDICTED", "SAMPLES", "SAMPLES_EXPECTED", "SAMPLES_INEXACT", "CHECKSUM",
	}
	return p.writeCSV(headings, func(write func([]string) error) error {
		for _, s := range periods {
			j := standingToJSON(s)
			row := []string{strconv.FormatInt(b.ID, 10), cell(b.Name), cell(b.Ref), cell(b.Customer), *j.From, *j.To, strconv.FormatBool(s.Closed), j.Type, strconv.FormatInt(s.Allowed, 10), j.Direction, j.Method}
			for _, n := range []uint64{s.In, s.Out, s.Rate95In, s.Rate95Out, s.Rate95, s.AverageIn, s.AverageOut, s.PeakIn, s.PeakOut, s.Used, s.Overuse, s.Predicted} {
				row = append(row, strconv.FormatUint(n, 10))
			}
			for _, n := range []int64{s.Got, s.Expected, s.Inexact} {
				row = append(row, strconv.FormatInt(n, 10))
			}
			if err := write(append(row, j.Checksum)); err != nil {
				return err
			}
		}
		return nil
	})
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(text string) string {
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(text, unicode.IsSpace)); strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + text
	}
	return text
}

// writeCSV writes rows under their headings in lower case.
func (p *program) writeCSV(headings []string, rows func(write func([]string) error) error) error {
	lower := make([]string, len(headings))
	for i, heading := range headings {
		lower[i] = strings.ToLower(heading)
	}
	w := csv.NewWriter(p.out)
	if err := w.Write(lower); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	if err := rows(w.Write); err != nil {
		return err
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
