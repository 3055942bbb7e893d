package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/poller"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// deviceFlags are what device add and device set share.
type deviceFlags struct {
	snmp     snmpFlags
	address  string
	group    string // id or name
	interval int
	force    bool
}

func (f *deviceFlags) add(command *cobra.Command) {
	f.snmp.add(command)
	flags := command.Flags()
	flags.StringVar(&f.address, "address", "", "name or address that is asked instead of the hostname")
	flags.StringVarP(&f.group, "group", "g", "", "poller group, by id or name (default: the setting "+settings.KeyDefaultPollerGroup+")")
	flags.IntVar(&f.interval, "interval", 0, "seconds between two polls, 10 to 3600 (default: the setting "+settings.KeyPollerFrequency+")")
	flags.BoolVarP(&f.force, "force", "f", false, "do not ask the device first")
}

func (p *program) deviceAddCommand() *cobra.Command {
	var flags deviceFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "add HOST", Short: "Add a device: ask it, and store it with its ports", Args: words(1),
		Example: "  pollux device add sw1.example.org -2 -c env:COMMUNITY\n  pollux device add sw2 --address 192.0.2.7 -3 -u monitor -A - -X -",
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				return p.deviceAdd(command, s, values, flags, args[0])
			})
		}),
	})
	flags.add(command)
	return command
}

func (p *program) deviceAdd(command *cobra.Command, s *store.Store, values settings.Values, flags deviceFlags, host string) error {
	ctx := command.Context()
	d := device.Device{
		Hostname: host, Address: flags.address, Group: int64(values.Int(settings.KeyDefaultPollerGroup)),
		Interval: values.Int(settings.KeyPollerFrequency), Retries: -1, Status: device.StatusNew,
	}
	var err error
	if d.Port, d.Transport, err = flags.snmp.place(command, values); err != nil {
		return err
	}
	if command.Flags().Changed("group") {
		group, err := chosenGroup(ctx, s, values, flags.group)
		if err != nil {
			return err
		}
		d.Group = group.ID
	}
	if command.Flags().Changed("interval") {
		d.Interval = flags.interval
	}
	candidates, err := flags.snmp.candidates(p, command, values.List(settings.KeySNMPVersion))
	if err != nil {
		return err
	}
	d.Credentials = candidates[0]
	if err := s.CheckDevice(d); err != nil { // before a packet is sent
		return err
	}
	if known, err := s.DeviceByHostname(ctx, d.Hostname); err == nil {
		return fmt.Errorf("%w: %s is device %d", store.ErrDuplicate, known.Hostname, known.ID)
	}
	var report *poller.Report
	if !flags.force {
		if d.Credentials, report, err = askFirst(ctx, d, candidates, values); err != nil {
			return err
		}
	}
	added, err := addWithPorts(ctx, s, d, report)
	if err != nil {
		return err
	}
	return p.printAdded(ctx, s, values, added)
}

// addWithPorts stores a device and, when it was read, its ports, so that the first slot already measures them.
func addWithPorts(ctx context.Context, s *store.Store, d device.Device, report *poller.Report) (device.Device, error) {
	added, err := s.AddDevice(ctx, d)
	if err != nil || report == nil {
		return added, err
	}
	poll := report.Poll
	// A minute back, so that the first poll is newer even if this machine's clock is a little ahead.
	poll.DeviceID, poll.At = added.ID, time.Now().Add(-time.Minute)
	if err := s.SavePoll(ctx, poll); err != nil {
		return added, fmt.Errorf("the device is added; its ports come with its first poll: %w", err)
	}
	return s.Device(ctx, added.ID)
}

// askFirst reads the device with the first credentials that it answers to.
func askFirst(ctx context.Context, d device.Device, candidates []snmp.Credentials, values settings.Values) (snmp.Credentials, *poller.Report, error) {
	a := asking{
		host: d.Host(), port: d.Port, transport: d.Transport,
		timeout: values.Seconds(settings.KeySNMPTimeout), retries: min(values.Int(settings.KeySNMPRetries), 2),
		repetitions: values.Int(settings.KeySNMPMaxRepeaters), objects: values.Int(settings.KeySNMPMaxOID),
	}
	var failed error
	for _, credentials := range candidates {
		session, err := snmp.Dial(ctx, a.target(credentials), nil)
		if err != nil {
			return snmp.Credentials{}, nil, deviceError(a, err)
		}
		report := poller.Poll(ctx, session, poller.Target{Device: d, Timeout: a.timeout, Retries: a.retries})
		_ = session.Close()
		if ctx.Err() != nil {
			return snmp.Credentials{}, nil, errInterrupted
		}
		switch report.Poll.Outcome {
		case device.OutcomeUp, device.OutcomePartial:
			if failed = gaveNothing(a, report); failed == nil {
				return credentials, &report, nil
			}
		default:
			failed = outcomeError(a, report.Poll)
		}
	}
	return snmp.Credentials{}, nil, fmt.Errorf("not added: %w; -f adds it all the same", failed)
}

// gaveNothing is the error of a device that answers, but refuses all that was asked.
func gaveNothing(a asking, report poller.Report) error {
	if report.Poll.Outcome != device.OutcomePartial || report.Poll.Facts != nil || len(report.Poll.Ports) > 0 {
		return nil
	}
	return fmt.Errorf("%s answers, but gives nothing: %w", a.address(), incomplete(report))
}

func (p *program) printAdded(ctx context.Context, s *store.Store, values settings.Values, d device.Device) error {
	ports, err := s.Ports(ctx, d.ID)
	if err != nil {
		return err
	}
	if p.asJSON {
		return p.printJSON(toJSON(d, ports))
	}
	by := ""
	if values.Bool(settings.KeyDistributedPoller) {
		by = fmt.Sprintf(" by poller group %d", d.Group)
	}
	fmt.Fprintf(p.out, "added %s as device %d: %d ports, polled every %d s%s\n", d.Hostname, d.ID, len(ports), d.Interval, by)
	if d.StatusReason != "" {
		fmt.Fprintf(p.out, "not everything could be read: %s\n", d.StatusReason)
	}
	return nil
}
