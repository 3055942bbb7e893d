package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
)

func (p *program) billCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "bill", Short: "Bill ports by their 95th percentile or by quota", Args: words(0), RunE: help,
		Long: `A bill says what somebody may send and receive over some ports, and what it was:
by its 95th percentile (type cdr) or by the bytes of a period (type quota). BILL
is an id or a name.`,
	}
	command.AddCommand(p.billAddCommand(), p.billListCommand(), p.billShowCommand(), p.billSetCommand(), p.billRemoveCommand(), p.billPortsCommand(),
		p.billHistoryCommand(), p.billSamplesCommand(), p.billRecalculateCommand(), p.billExportCommand())
	return command
}

// billWork is what a command does with one bill.
type billWork func(ctx context.Context, s *store.Store, values settings.Values, b billing.Bill) error

// onBill opens the inventory and finds the bill of a command.
func (p *program) onBill(work billWork) func(*cobra.Command, []string) error {
	return do(func(command *cobra.Command, args []string) error {
		return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
			b, err := findBill(command.Context(), s, args[0])
			if err != nil {
				return err
			}
			return work(command.Context(), s, values, b)
		})
	})
}

func findBill(ctx context.Context, s *store.Store, idOrName string) (billing.Bill, error) {
	b, err := s.Bill(ctx, idOrName)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: there is no bill %.100q; see: pollux bill list", errNotFound, idOrName)
	}
	return b, err
}

// findPorts are the ids of ports that are given by id or as HOST/IFNAME.
func findPorts(ctx context.Context, s *store.Store, specs []string) ([]int64, error) {
	ids := make([]int64, 0, len(specs))
	for _, spec := range specs {
		host, name, named := strings.Cut(spec, "/")
		if !named {
			id, err := strconv.ParseInt(spec, 10, 64)
			if err != nil || id <= 0 {
				return nil, usagef("a port is an id, or HOST/IFNAME such as sw1.example.net/ge-0/0/1, not %.100q", spec)
			}
			ids = append(ids, id)
			continue
		}
		d, err := findDevice(ctx, s, host)
		if err != nil {
			return nil, err
		}
		ports, err := s.Ports(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		before := len(ids)
		for i := range ports {
			if ports[i].State.IfName == name && !ports[i].Vanished {
				ids = append(ids, ports[i].ID)
			}
		}
		switch len(ids) - before {
		case 1:
		case 0:
			return nil, fmt.Errorf("%w: %s has no port %.100q; see: pollux device show %s", errNotFound, d.Hostname, name, d.Hostname)
		default:
			return nil, usagef("%s has several ports %.100q; give the id of the one that is meant", d.Hostname, name)
		}
	}
	return ids, nil
}

// maxSkew is how far the clock of this machine may be from the database's for
// a change of bills. The cluster's clock is that of its nodes: when this one
// disagrees, one of both is wrong, and which is not for a bill to guess.
const maxSkew = 5 * time.Second

// billTime is the time at which a command changes bills: the database's.
func billTime(ctx context.Context, s *store.Store) (time.Time, error) {
	asked := time.Now()
	now, err := s.DatabaseTime(ctx)
	if err != nil {
		return now, err
	}
	return now, checkSkew(asked, now, time.Now())
}

// checkSkew compares the database's time with this machine's before and after it was asked.
func checkSkew(before, database, after time.Time) error {
	ahead, behind := before.Sub(database), database.Sub(after)
	if max(ahead, behind) <= maxSkew {
		return nil
	}
	way, by := "ahead of", ahead
	if behind > ahead {
		way, by = "behind", behind
	}
	return fmt.Errorf("the clock of this machine is %v %s the database's, and bills go by time: set both by NTP (chronyc tracking, timedatectl), then try again", by.Round(time.Second), way)
}

// base is what k, M, G and T stand for.
func base(values settings.Values) int {
	if text, _ := values.Text(settings.KeyBillingBase); text == "1024" {
		return 1024
	}
	return 1000
}

// calculation is one by hand, which closes no period.
func calculation(values settings.Values, now time.Time) billing.Calculation {
	method, _ := values.Text(settings.KeyBillingMethod)
	return billing.Calculation{Now: now, Interval: values.Int(settings.KeyBillingFrequency), Method: billing.Method(method), Open: true}
}

// billJSON is a bill in JSON. Rates are bit/s, amounts bytes.
type billJSON struct {
	ID         int64         `json:"id"`
	Name       string        `json:"name"`
	Ref        string        `json:"ref"`
	Customer   string        `json:"customer"`
	Notes      string        `json:"notes"`
	Type       string        `json:"type"`
	Allowed    int64         `json:"allowed"` // bit/s of a cdr, bytes of a quota
	Direction  string        `json:"direction"`
	Day        int           `json:"day"`
	Zone       string        `json:"time_zone"`
	Version    int64         `json:"version"`
	Created    *string       `json:"created_at"`
	Calculated *string       `json:"calculated_at"` // null when it never was
	Period     *standingJSON `json:"period,omitempty"`
}

func billToJSON(b billing.Bill, open *billing.Standing) billJSON {
	shown := billJSON{
		ID: b.ID, Name: b.Name, Ref: b.Ref, Customer: b.Customer, Notes: b.Notes, Type: string(b.Type), Allowed: b.Allowed, Direction: string(b.Direction),
		Day: b.Day, Zone: b.Zone, Version: b.Version, Created: rfc3339(b.Created), Calculated: rfc3339(b.Calculated),
	}
	if open != nil {
		period := standingToJSON(*open)
		shown.Period = &period
	}
	return shown
}

// standingJSON is a period of a bill in JSON.
type standingJSON struct {
	From         *string `json:"from"`
	To           *string `json:"to"`
	Closed       bool    `json:"closed"`
	CalculatedTo *string `json:"calculated_to"` // what began before is in the figures
	Type         string  `json:"type"`
	Allowed      int64   `json:"allowed"`
	Direction    string  `json:"direction"`
	Method       string  `json:"percentile_method"`
	In           uint64  `json:"in_bytes"`
	Out          uint64  `json:"out_bytes"`
	Total        uint64  `json:"total_bytes"`
	Rate95In     uint64  `json:"rate_95th_in"`
	Rate95Out    uint64  `json:"rate_95th_out"`
	Rate95       uint64  `json:"rate_95th"`
	AverageIn    uint64  `json:"rate_average_in"`
	AverageOut   uint64  `json:"rate_average_out"`
	PeakIn       uint64  `json:"peak_in"`
	PeakOut      uint64  `json:"peak_out"`
	Peak         uint64  `json:"peak"`
	Used         uint64  `json:"used"`
	Overuse      uint64  `json:"overuse"`
	Percent      float64 `json:"percent"`
	Predicted    uint64  `json:"predicted"`
	Got          int64   `json:"samples"`
	Expected     int64   `json:"samples_expected"`
	Coverage     float64 `json:"coverage_percent"`
	Inexact      int64   `json:"samples_inexact"`
	Implausible  int64   `json:"samples_implausible"`
	Late         int64   `json:"samples_late"`
	Checksum     string  `json:"checksum"`
}

func standingToJSON(s billing.Standing) standingJSON {
	return standingJSON{
		From: second(s.Period.From), To: second(s.Period.To), Closed: s.Closed, CalculatedTo: second(s.CalculatedTo), Type: string(s.Type), Allowed: s.Allowed,
		Direction: string(s.Direction), Method: string(s.Method), In: s.In, Out: s.Out, Total: s.In + s.Out, Rate95In: s.Rate95In, Rate95Out: s.Rate95Out, Rate95: s.Rate95,
		AverageIn: s.AverageIn, AverageOut: s.AverageOut, PeakIn: s.PeakIn, PeakOut: s.PeakOut, Peak: s.Peak, Used: s.Used, Overuse: s.Overuse,
		Percent: float64(s.Percent()) / 100, Predicted: s.Predicted, Got: s.Got, Expected: s.Expected, Coverage: float64(s.Coverage()) / 100,
		Inexact: s.Inexact, Implausible: s.Implausible, Late: s.Late, Checksum: s.Checksum.String(),
	}
}
