package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
)

func (p *program) devicePollCommand() *cobra.Command {
	var verbose bool
	command := p.jsonFlag(&cobra.Command{
		Use: "poll HOST", Short: "Poll a device now, in the foreground, through journal and inventory", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.devicePoll(command.Context(), args[0], verbose)
		}),
	})
	command.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the time of each module")
	return command
}

func (p *program) devicePoll(ctx context.Context, spec string, verbose bool) (err error) {
	c, err := p.boot()
	if err != nil {
		return err
	}
	if err := needInventory(c); err != nil {
		return err
	}
	c.Redis.Timeout = min(c.Redis.Timeout, 5*time.Second) // somebody waits
	n, err := openNode(ctx, c, p.logger(orDefault(c.LogLevel, "error")), knowRedis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	found, err := findDevice(ctx, n.store, spec)
	if err != nil {
		return err
	}
	set, err := n.definitions()
	if err != nil {
		return err
	}
	who := orDefault(c.NodeID, "cli")
	once, err := consumer.PollOnce(ctx, consumer.Config{NodeID: who}, consumer.Deps{
		Store: n.store, Journal: n.journal, Leases: cluster.NewDeviceLeases(n.redis, who, n.log), Clock: n.clock, Redis: n.redis,
		Settings: n.settings.Values, Registerer: prometheus.NewRegistry(), Log: n.log, Definitions: set,
	}, found.ID)
	if err != nil {
		return err
	}
	if err := p.printPoll(found, once, verbose); err != nil {
		return err
	}
	switch once.Report.Poll.Outcome {
	case device.OutcomeDown, device.OutcomeAuth:
		return outcomeError(asking{host: found.Host(), port: found.Port}, once.Report.Poll)
	default:
		return once.SaveErr
	}
}

// pollJSON is one poll in the foreground.
type pollJSON struct {
	DeviceID     int64        `json:"device_id"`
	Hostname     string       `json:"hostname"`
	Slot         string       `json:"slot"`
	Outcome      string       `json:"outcome"`
	Reason       string       `json:"reason,omitempty"`
	Seconds      float64      `json:"seconds"`
	Ports        int          `json:"ports"`
	Measurements int          `json:"measurements"`
	Journal      string       `json:"journal"`
	Modules      []moduleJSON `json:"modules"`
}

type moduleJSON struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

func (p *program) printPoll(d device.Device, once consumer.Once, verbose bool) error {
	report := once.Report
	shown := pollJSON{
		DeviceID: d.ID, Hostname: d.Hostname, Slot: *rfc3339(time.Unix(once.Slot, 0)), Outcome: string(report.Poll.Outcome), Reason: report.Poll.Reason,
		Seconds: report.Poll.Duration.Seconds(), Ports: len(report.Poll.Ports), Measurements: len(report.Measurements), Journal: string(once.Journal),
		Modules: []moduleJSON{},
	}
	for _, module := range report.Modules {
		line := moduleJSON{Name: module.Name, Seconds: module.Duration.Seconds()}
		if module.Err != nil {
			line.Error = module.Err.Error()
		}
		shown.Modules = append(shown.Modules, line)
	}
	if p.asJSON {
		return p.printJSON(shown)
	}
	fmt.Fprintf(p.out, "%s: %s in %.1f ms, %d ports, %d measurements %s\n", d.Hostname, shown.Outcome, 1000*shown.Seconds, shown.Ports, shown.Measurements, journalWord(once.Journal))
	if verbose {
		for _, module := range shown.Modules {
			fmt.Fprintf(p.out, "  module %-10s %8.1f ms  %s\n", module.Name, 1000*module.Seconds, module.Error)
		}
	}
	return nil
}

// journalWord says what became of the measurements.
func journalWord(result journal.Result) string {
	if result == journal.Accepted {
		return "in the journal"
	}
	return "not kept (" + string(result) + "): the device was polled a moment before"
}

func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
