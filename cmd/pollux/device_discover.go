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
)

func (p *program) deviceDiscoverCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "discover HOST", Short: "Discover a device now, in the foreground: what it runs, and what it has", Args: words(1),
		Long: `Reads what a device runs and has by its OS definition and keeps it in the
inventory, as the nodes do every service_discovery_frequency seconds. "pollux
inspect" reads the same of a device that is not added, and stores nothing.`,
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.deviceDiscover(command.Context(), args[0])
		}),
	})
}

func (p *program) deviceDiscover(ctx context.Context, spec string) (err error) {
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
	if found.PingOnly {
		return usagef("%s is asked by ICMP only, so there is nothing to discover; give it credentials with: pollux device set", found.Hostname)
	}
	set, err := n.definitions()
	if err != nil {
		return err
	}
	who := orDefault(c.NodeID, "cli")
	read, err := consumer.DiscoverOnce(ctx, consumer.Config{NodeID: who}, consumer.Deps{
		Store: n.store, Journal: n.journal, Leases: cluster.NewDeviceLeases(n.redis, who, n.log), Clock: n.clock, Redis: n.redis,
		Settings: n.settings.Values, Registerer: prometheus.NewRegistry(), Log: n.log,
		Discovering: &consumer.Discovering{Store: n.store}, Definitions: set,
	}, found.ID)
	if err != nil {
		return err
	}
	if err := p.printDiscovery(found, read); err != nil {
		return err
	}
	switch read.Outcome {
	case device.OutcomeDown, device.OutcomeAuth:
		return outcomeError(asking{host: found.Host(), port: found.Port}, device.Poll{Outcome: read.Outcome, Reason: read.Reason})
	case device.OutcomePartial:
		return fmt.Errorf("what was found may be incomplete: %s", read.Reason)
	default:
		return nil
	}
}

// discoveryJSON is one discovery in the foreground.
type discoveryJSON struct {
	DeviceID int64          `json:"device_id"`
	Hostname string         `json:"hostname"`
	Outcome  string         `json:"outcome"`
	Reason   string         `json:"reason,omitempty"`
	Seconds  float64        `json:"seconds"`
	OS       string         `json:"os,omitempty"`
	Found    map[string]int `json:"found"`
	Refused  int            `json:"refused"`
}

func (p *program) printDiscovery(d device.Device, read device.Discovery) error {
	shown := discoveryJSON{
		DeviceID: d.ID, Hostname: d.Hostname, Outcome: string(read.Outcome), Reason: read.Reason, Seconds: read.Duration.Seconds(),
		Found: map[string]int{}, Refused: read.Refused,
	}
	if read.Facts != nil {
		shown.OS = read.Facts.OS
	}
	for _, kind := range device.ComponentKinds() {
		shown.Found[string(kind)] = 0
	}
	for i := range read.Components {
		shown.Found[string(read.Components[i].Kind)]++
	}
	shown.Found["address"], shown.Found["entity"] = len(read.Addresses), len(read.Entities)
	shown.Found["neighbour"], shown.Found["vlan"] = len(read.Neighbours), len(read.VLANs)
	if p.asJSON {
		return p.printJSON(shown)
	}
	fmt.Fprintf(p.out, "%s: %s in %.1f ms, OS %s, %d processors, %d memory pools, %d storages, %d sensors, %d files of the host, ", d.Hostname, shown.Outcome, 1000*shown.Seconds,
		orDefault(shown.OS, "unknown"), shown.Found["processor"], shown.Found["mempool"], shown.Found["storage"], shown.Found["sensor"], shown.Found["host"])
	fmt.Fprintf(p.out, "%d addresses, %d physical entities, %d neighbours, %d VLANs\n",
		shown.Found["address"], shown.Found["entity"], shown.Found["neighbour"], shown.Found["vlan"])
	if read.Refused > 0 {
		fmt.Fprintf(p.out, "%d values cannot be (no number, over 100 percent, a negative size) and were left out\n", read.Refused)
	}
	return nil
}
