package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"pollux/admission"
	"pollux/device"
	"pollux/ping"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// deviceFlags are what device add, device set and discover share.
type deviceFlags struct {
	snmp     snmpFlags
	address  string
	group    string // id or name
	interval int
	force    bool
	pingOnly bool
	sets     []string // credential sets, by name
}

func (f *deviceFlags) add(command *cobra.Command) {
	f.snmp.add(command)
	f.addPlace(command)
	flags := command.Flags()
	flags.StringVar(&f.address, "address", "", "name or address that is asked instead of the hostname")
	flags.BoolVar(&f.pingOnly, "ping-only", false, "ask it by ICMP only: it is up or down, and has no credentials")
	flags.BoolVarP(&f.force, "force", "f", false, "do not ask the device first, and let it be the twin of another one")
}

// addPlace adds those that say where a new device belongs.
func (f *deviceFlags) addPlace(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVarP(&f.group, "group", "g", "", "poller group, by id or name (default: the setting "+settings.KeyDefaultPollerGroup+")")
	flags.IntVar(&f.interval, "interval", 0, "seconds between two polls, 10 to 3600 (default: the setting "+settings.KeyPollerFrequency+")")
}

// addSets adds the choice of credential sets.
func (f *deviceFlags) addSets(command *cobra.Command) {
	command.Flags().StringSliceVar(&f.sets, "credential", nil, "credential sets to try, by name, NAME[,NAME...]; without credentials all sets of the poller group are tried")
}

func (p *program) deviceAddCommand() *cobra.Command {
	var flags deviceFlags
	var csv csvFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "add [HOST]", Short: "Add a device: ask it, and store it with its ports; or all devices of a file", Args: upTo(1),
		Long: `Adds a device after these checks: no device has its hostname; none asks the
same agent (address, port and SNMP context); it answers ICMP, where this
machine may send it; it answers SNMP; no device has its sysName. With -f it is
stored without them, but for the first.

Without credentials it is tried with the credential sets of its poller group,
in the order of the setting snmp.version and then in their own; without sets
with the community public. See: pollux credential --help

With --csv it adds a device per line of a file. The first line names the
columns; hostname is needed. See docs/how-to/add-devices.md.`,
		Example: "  pollux device add sw1.example.org -2 -c env:COMMUNITY\n  pollux device add sw2 --address 192.0.2.7 -3 -u monitor -A - -X -\n" +
			"  pollux device add ups1 --ping-only\n  pollux device add --csv devices.csv --dry-run",
		RunE: do(func(command *cobra.Command, args []string) error {
			if err := csv.check(command, flags, args); err != nil {
				return err
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				if csv.file != "" {
					return p.addFile(command, s, values, flags, csv)
				}
				return p.deviceAdd(command, s, values, flags, args[0])
			})
		}),
	})
	flags.add(command)
	flags.addSets(command)
	csv.add(command)
	return command
}

func (p *program) deviceAdd(command *cobra.Command, s *store.Store, values settings.Values, flags deviceFlags, host string) error {
	ctx := command.Context()
	request, err := flags.request(command, p, s, values, host)
	if err != nil {
		return err
	}
	a, err := p.admission(ctx, admission.Deps{Store: s, Values: values})
	if err != nil {
		return err
	}
	p.tellLost(a)
	asked, err := a.Add(ctx, request)
	p.tellWarnings(asked.Warnings)
	if err != nil {
		return notAdded(ctx, err)
	}
	return p.printAdded(ctx, s, values, asked)
}

// admission lets devices in, with the definitions of this node.
func (p *program) admission(ctx context.Context, deps admission.Deps) (*admission.Admission, error) {
	c, err := p.boot()
	if err != nil {
		return nil, err
	}
	if deps.Definitions, err = p.definitions(c.Definitions); err != nil {
		return nil, err
	}
	return admission.Open(ctx, deps)
}

// request is what the flags ask for a device. Where it is comes from somebody on this machine, who can ask any address.
func (f *deviceFlags) request(command *cobra.Command, p *program, s *store.Store, values settings.Values, host string) (admission.Request, error) {
	changed := command.Flags().Changed
	r := admission.Request{Sets: f.sets, Force: f.force, Anywhere: true, Device: device.Device{
		Hostname: host, Address: f.address, Group: int64(values.Int(settings.KeyDefaultPollerGroup)),
		Interval: values.Int(settings.KeyPollerFrequency), Retries: -1, Status: device.StatusNew, PingOnly: f.pingOnly,
	}}
	var err error
	if r.Device.Port, r.Device.Transport, err = f.snmp.place(command, values); err != nil {
		return r, err
	}
	if changed("group") {
		group, err := chosenGroup(command.Context(), s, values, f.group)
		if err != nil {
			return r, err
		}
		r.Device.Group = group.ID
	}
	set(changed("interval"), &r.Device.Interval, f.interval)
	if f.pingOnly {
		if given(command, credentialFlags) || len(f.sets) > 0 {
			return r, usagef("a device that is asked by ICMP only has no credentials: leave out --ping-only, or the credentials")
		}
		return r, nil
	}
	return r, f.tried(command, p, values, &r)
}

// tried fills in which credentials are tried.
func (f *deviceFlags) tried(command *cobra.Command, p *program, values settings.Values, r *admission.Request) error {
	order := values.List(settings.KeySNMPVersion)
	version, err := f.snmp.version(command)
	if err != nil {
		return err
	}
	r.Versions = []snmp.Version{version}
	if version == "" {
		r.Versions = r.Versions[:0]
		for _, word := range order {
			r.Versions = append(r.Versions, snmp.Version(word))
		}
	}
	candidates, err := f.snmp.candidates(p, command, order)
	switch own := given(command, []string{"community"}) || given(command, v3Flags); {
	case own:
		r.Given = candidates
	case errors.Is(err, errNoUser): // a set may know one
		return nil
	default:
		r.Default = candidates
	}
	return err
}

// tellLost says which credential sets this node cannot try.
func (p *program) tellLost(a *admission.Admission) {
	if lost := a.Lost(); len(lost) > 0 {
		p.tellWarnings([]string{"not tried, since their secrets do not open with the APP_KEY of this node: credential sets " + listed(lost)})
	}
}

// tellWarnings says which checks were left out.
func (p *program) tellWarnings(warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintln(p.errout, "warning: "+plain(warning))
	}
}

// notAdded says what to do when a device was not added.
func notAdded(ctx context.Context, err error) error {
	var twin *admission.TwinError
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &twin) && strings.HasPrefix(twin.By, "the sysName"):
		return fmt.Errorf("not added: %w; -f adds it all the same, and so does every device after: pollux config set %s true", err, settings.KeyDuplicateSysName)
	case errors.As(err, &twin), errors.Is(err, admission.ErrSilent), errors.Is(err, ping.ErrSilent), errors.Is(err, snmp.ErrAuth):
		return fmt.Errorf("not added (-f adds it all the same): %w", err)
	case errors.Is(err, admission.ErrNoCredentials):
		return fmt.Errorf("not added: %w; SNMP v3 needs a user: -u NAME, or a credential set", err)
	default:
		return err
	}
}

// addedJSON is a device that was added.
type addedJSON struct {
	deviceJSON
	CredentialSet string `json:"credential_set,omitempty"` // that its credentials were copied from
}

func (p *program) printAdded(ctx context.Context, s *store.Store, values settings.Values, asked admission.Asked) error {
	d := asked.Device
	ports, err := s.Ports(ctx, d.ID)
	if err != nil {
		return err
	}
	if p.asJSON {
		return p.printJSON(addedJSON{toJSON(d, ports), asked.Set})
	}
	by, how := "", fmt.Sprintf("%d ports", len(ports))
	if values.Bool(settings.KeyDistributedPoller) {
		by = fmt.Sprintf(" by poller group %d", d.Group)
	}
	set(d.PingOnly, &how, "ICMP only")
	fmt.Fprintf(p.out, "added %s as device %d: %s, polled every %d s%s\n", d.Hostname, d.ID, how, d.Interval, by)
	if asked.Set != "" {
		fmt.Fprintf(p.out, "it has the credentials of the set %s\n", asked.Set)
	}
	if d.StatusReason != "" {
		fmt.Fprintf(p.out, "not everything could be read: %s\n", d.StatusReason)
	}
	return nil
}
