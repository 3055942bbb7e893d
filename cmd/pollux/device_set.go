package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// setFlags are those of device set.
type setFlags struct {
	deviceFlags
	hostname         string
	enable, disable  bool
	ignore, unignore bool
	timeout          time.Duration
	retries          int
	discoveryOff     string
	pollerOff        string
	selectedPorts    string

	where       []string
	yes, dryRun bool
}

// changing are the flags of device set that change something; the first two can be meant of one device only.
var changing = slices.Concat(
	[]string{"hostname", "address"},
	[]string{"group", "interval", "port", "transport", "timeout", "retries", "discovery-off", "poller-off", "selected-ports", "enable", "disable", "ignore", "unignore", "ping-only"}, credentialFlags,
)

func (p *program) deviceSetCommand() *cobra.Command {
	var flags setFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "set [HOST]", Short: "Change a device, or all that --where chooses; only the flags that are given change anything", Args: upTo(1),
		Long: `Changes a device. Credentials that are not given stay as they are. A new
hostname is a new label: the RRD files stay where they are. A new interval
begins after the slot that is under way, in new RRD files that go on from the
old ones. Credentials make a device that is asked by ICMP only one that is
asked by SNMP; --ping-only drops them.

With --where instead of HOST it changes every device that fits: KEY is group,
status, hostname (a pattern such as 'sw-*'), interval, disabled or ignored (true
or false) or version (v1, v2c or v3); several must hold together. It says how
many fit, asks on a terminal, and needs --yes elsewhere.`,
		Example: "  pollux device set sw1 --interval 60\n  pollux device set --where group=3 --where 'hostname=sw-*' --group 5 --dry-run",
		RunE: do(func(command *cobra.Command, args []string) error {
			if err := flags.check(command, args); err != nil {
				return err
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				change, err := p.deviceChange(command, s, values, flags)
				if err != nil {
					return err
				}
				if len(args) == 0 {
					return p.setMany(command.Context(), s, values, flags, change)
				}
				if err := p.setOne(command.Context(), s, args[0], change); err != nil {
					return err
				}
				p.warnOfAddress(values, flags.address)
				return nil
			})
		}),
	})
	flags.add(command)
	command.Flags().StringVarP(&flags.hostname, "hostname", "d", "", "new hostname (a label; files stay)")
	command.Flags().BoolVar(&flags.enable, "enable", false, "poll the device again")
	command.Flags().BoolVar(&flags.disable, "disable", false, "stop polling the device")
	command.Flags().BoolVar(&flags.ignore, "ignore", false, "let the device's events raise no alarm")
	command.Flags().BoolVar(&flags.unignore, "unignore", false, "let them raise alarms again")
	command.Flags().DurationVar(&flags.timeout, "timeout", 0, "of one SNMP try, 100ms to 1m; 0 goes back to the setting "+settings.KeySNMPTimeout)
	command.Flags().IntVar(&flags.retries, "retries", -1, "SNMP tries after the first, 0 to 20; -1 goes back to the setting "+settings.KeySNMPRetries)
	command.Flags().StringVar(&flags.selectedPorts, "selected-ports", "", "read the counters of its ports one by one: auto, true or false; default leaves it to the OS and polling.selected_ports")
	command.Flags().StringVar(&flags.discoveryOff, "discovery-off", "", "modules of discoveries that do not run, with commas between them: "+strings.Join(device.DiscoveryModules(), ", ")+"; none for all to run")
	command.Flags().StringVar(&flags.pollerOff, "poller-off", "", "modules of polls that do not run, with commas between them: "+strings.Join(device.PollModules(), ", ")+"; none for all to run")
	command.Flags().StringArrayVar(&flags.where, "where", nil, "KEY=VALUE: change all devices that fit; repeatable")
	command.Flags().BoolVar(&flags.yes, "yes", false, "with --where: do not ask")
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "with --where: only say which devices fit")
	command.Flag("force").Hidden = true
	return command
}

// check refuses what needs no look into the inventory.
func (f *setFlags) check(command *cobra.Command, args []string) error {
	changed := command.Flags().Changed
	many := changed("where")
	switch {
	case many && len(args) > 0:
		return usagef("name a device, or choose devices by --where, not both")
	case !many && len(args) == 0:
		return usagef("the form is: %s; or choose devices: %s --where KEY=VALUE", command.UseLine(), command.CommandPath())
	case !many && (f.yes || f.dryRun):
		return usagef("--yes and --dry-run belong to --where")
	case many && given(command, changing[:2]):
		return usagef("a hostname or an address is of one device: name it instead of --where")
	case f.enable && f.disable:
		return usagef("give one of --enable and --disable")
	case f.ignore && f.unignore:
		return usagef("give one of --ignore and --unignore")
	case f.pingOnly && given(command, credentialFlags):
		return usagef("a device that is asked by ICMP only has no credentials: leave out --ping-only, or the credentials")
	case !given(command, changing):
		return usagef("say what to change; see: %s --help", command.CommandPath())
	case changed("interval") && (f.interval < device.MinInterval || f.interval > device.MaxInterval):
		return usagef("the interval is %d to %d seconds, not %d", device.MinInterval, device.MaxInterval, f.interval)
	case f.timeout != 0 && (f.timeout < 100*time.Millisecond || f.timeout > time.Minute):
		return usagef("--timeout is from 100ms to 1m, or 0")
	case f.retries < -1 || f.retries > 20:
		return usagef("--retries is from 0 to 20, or -1")
	}
	if !selectionOf(f.selectedPorts).Valid() {
		return usagef("--selected-ports is auto, true, false or default, not %.40q", f.selectedPorts)
	}
	if wrong, ok := device.KnownModules(modulesOf(f.discoveryOff), device.DiscoveryModules()); !ok {
		return usagef("--discovery-off names modules of %s, or none; not %.40q", strings.Join(device.DiscoveryModules(), ", "), wrong)
	}
	if wrong, ok := device.KnownModules(modulesOf(f.pollerOff), device.PollModules()); !ok {
		return usagef("--poller-off names modules of %s, or none; not %.40q", strings.Join(device.PollModules(), ", "), wrong)
	}
	return nil
}

// selectionOf is what a flag names.
func selectionOf(word string) device.Selection {
	if word == "default" {
		return ""
	}
	return device.Selection(word)
}

// modulesOf are the modules that a flag names, each once.
func modulesOf(text string) []string {
	if text == "" || text == "none" {
		return nil
	}
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// deviceChange returns what the flags do to a device.
func (p *program) deviceChange(command *cobra.Command, s *store.Store, values settings.Values, flags setFlags) (func(*device.Device) error, error) {
	changed := command.Flags().Changed
	port, transport, err := flags.snmp.place(command, values)
	if err != nil {
		return nil, err
	}
	var group device.Group
	if changed("group") {
		if group, err = chosenGroup(command.Context(), s, values, flags.group); err != nil {
			return nil, err
		}
	}
	credentials, err := flags.snmp.change(p, command)
	if err != nil {
		return nil, err
	}
	return func(d *device.Device) error {
		set(changed("hostname"), &d.Hostname, flags.hostname)
		set(changed("address"), &d.Address, flags.address)
		set(changed("group"), &d.Group, group.ID)
		set(changed("interval"), &d.Interval, flags.interval)
		set(changed("port"), &d.Port, port)
		set(changed("transport"), &d.Transport, transport)
		set(changed("timeout"), &d.Timeout, flags.timeout)
		set(changed("retries"), &d.Retries, flags.retries)
		set(changed("selected-ports"), &d.SelectedPorts, selectionOf(flags.selectedPorts))
		set(changed("discovery-off"), &d.DiscoveryOff, modulesOf(flags.discoveryOff))
		set(changed("poller-off"), &d.PollerOff, modulesOf(flags.pollerOff))
		set(flags.enable || flags.disable, &d.Disabled, flags.disable)
		set(flags.ignore || flags.unignore, &d.Ignored, flags.ignore)
		if given(command, credentialFlags) {
			d.PingOnly, d.Credentials = false, credentials(d.Credentials)
		}
		if flags.pingOnly {
			d.PingOnly, d.Credentials = true, snmp.Credentials{}
		}
		return nil
	}, nil
}

func (p *program) setOne(ctx context.Context, s *store.Store, host string, change func(*device.Device) error) error {
	d, err := findDevice(ctx, s, host)
	if err != nil {
		return err
	}
	if d, err = s.UpdateDevice(ctx, d.ID, change); err != nil {
		return err
	}
	if p.asJSON {
		return p.printJSON(toJSON(d, nil))
	}
	fmt.Fprintf(p.out, "changed %s\n", d.Hostname)
	return nil
}

// warnOfAddress says that an address is one that the settings exclude. Whoever is on this machine may have it asked all the same.
func (p *program) warnOfAddress(values settings.Values, host string) {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return // a name, or none
	}
	if err := settings.Allowed(address, values.Nets()); err != nil {
		p.tellWarnings([]string{err.Error()})
	}
}

// set assigns when asked to.
func set[T any](when bool, to *T, value T) {
	if when {
		*to = value
	}
}
