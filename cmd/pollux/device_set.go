package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

func (p *program) deviceSetCommand() *cobra.Command {
	var flags deviceFlags
	var hostname string
	var enable, disable bool
	command := p.jsonFlag(&cobra.Command{
		Use: "set HOST", Short: "Change a device; only the flags that are given change anything", Args: words(1),
		Long: `Changes a device. Credentials that are not given stay as they are. A new
hostname is a new label: the RRD files stay where they are. A new interval
begins after the slot that is under way, in new RRD files that go on from the
old ones.`,
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				change, err := p.deviceChange(command, flags, values, hostname, enable, disable)
				if err != nil {
					return err
				}
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				if d, err = s.UpdateDevice(command.Context(), d.ID, change); err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(toJSON(d, nil))
				}
				fmt.Fprintf(p.out, "changed %s\n", d.Hostname)
				return nil
			})
		}),
	})
	flags.add(command)
	command.Flags().StringVarP(&hostname, "hostname", "d", "", "new hostname (a label; files stay)")
	command.Flags().BoolVar(&enable, "enable", false, "poll the device again")
	command.Flags().BoolVar(&disable, "disable", false, "stop polling the device")
	command.Flag("force").Hidden = true
	return command
}

// changing are the flags of device set that change something.
var changing = append([]string{"hostname", "address", "group", "interval", "port", "transport", "enable", "disable"}, credentialFlags...)

// deviceChange checks the flags and returns what they do to a device.
func (p *program) deviceChange(command *cobra.Command, flags deviceFlags, values settings.Values, hostname string, enable, disable bool) (func(*device.Device) error, error) {
	changed := command.Flags().Changed
	port, transport, err := flags.snmp.place(command, values)
	if err != nil {
		return nil, err
	}
	if enable && disable {
		return nil, usagef("give one of --enable and --disable")
	}
	if changed("group") && !values.Bool(settings.KeyDistributedPoller) {
		return nil, errGroups
	}
	if !given(command, changing) {
		return nil, usagef("say what to change; see: %s --help", command.CommandPath())
	}
	credentials, err := flags.snmp.change(p, command)
	if err != nil {
		return nil, err
	}
	return func(d *device.Device) error {
		set(changed("hostname"), &d.Hostname, hostname)
		set(changed("address"), &d.Address, flags.address)
		set(changed("group"), &d.Group, flags.group)
		set(changed("interval"), &d.Interval, flags.interval)
		set(changed("port"), &d.Port, port)
		set(changed("transport"), &d.Transport, transport)
		set(enable || disable, &d.Disabled, disable)
		if given(command, credentialFlags) {
			d.Credentials = credentials(d.Credentials)
		}
		return nil
	}, nil
}

// set assigns when asked to.
func set[T any](when bool, to *T, value T) {
	if when {
		*to = value
	}
}

func (p *program) deviceRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST", Short: "Remove a device; its RRD files stay", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				if err := s.RemoveDevice(command.Context(), d.ID); err != nil {
					return err
				}
				fmt.Fprintf(p.out, "removed %s (device %d); its RRD files stay in %s\n", d.Hostname, d.ID, d.RRDDir)
				return nil
			})
		}),
	}
}
