package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pollux/admission"
	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

// discoverFlags are those of discover.
type discoverFlags struct {
	deviceFlags
	rate, parallel int
	add            bool
}

func (p *program) discoverCommand() *cobra.Command {
	var flags discoverFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "discover CIDR...", Short: "Search networks for SNMP agents, and add them", Args: atLeast(1, "CIDR"),
		Long: `Asks every address of the networks by ICMP, where this machine may send it, and
then by SNMP, and lists the agents that answer. With --add they are added as
"pollux device add" adds them, under their addresses.

Credentials are sent to whoever has an address, so only networks of the setting
nets are searched, and nothing that autodiscovery.nets-exclude names, unless nets.allow
lifts that. Without credentials the credential sets of the poller group are
tried, without sets the community public.`,
		Example: "  pollux config set nets 10.0.0.0/8\n  pollux discover 10.1.0.0/22 -2 -c env:COMMUNITY\n  pollux discover 10.1.0.0/22 10.2.0.7 --add --group south",
		RunE: do(func(command *cobra.Command, args []string) error {
			networks, err := flags.check(args)
			if err != nil {
				return err
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				return p.discover(command, s, values, flags, networks)
			})
		}),
	})
	flags.snmp.add(command)
	flags.addPlace(command)
	flags.addSets(command)
	command.Flags().BoolVar(&flags.add, "add", false, "add the agents that are found")
	command.Flags().IntVar(&flags.rate, "rate", 400, "probes a second at most, 1 to 10000")
	command.Flags().IntVar(&flags.parallel, "parallel", 256, "addresses that are asked at the same time, 1 to 1024")
	return command
}

// atLeast wants n arguments or more.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("the form is: %s; no %s was given", command.UseLine(), what)
		}
		return nil
	}
}

// check refuses what needs no look into the inventory.
func (f *discoverFlags) check(args []string) ([]netip.Prefix, error) {
	if f.rate < 1 || f.rate > 10_000 || f.parallel < 1 || f.parallel > 1024 {
		return nil, usagef("--rate is from 1 to 10000, --parallel from 1 to 1024")
	}
	networks := make([]netip.Prefix, len(args))
	for i, arg := range args {
		var err error
		if networks[i], err = settings.ParseNet(arg); err != nil {
			return nil, usagef("%v", err)
		}
	}
	return networks, nil
}

func (p *program) discover(command *cobra.Command, s *store.Store, values settings.Values, flags discoverFlags, networks []netip.Prefix) error {
	ctx := command.Context()
	addresses, excluded, err := admission.Targets(networks, values.Nets())
	if err != nil && !errors.Is(err, settings.ErrNet) {
		return usagef("%v", err)
	}
	if err != nil {
		return err
	}
	request, err := flags.request(command, p, s, values, "")
	if err != nil {
		return err
	}
	if strings.HasSuffix(request.Device.Transport, "6") && slices.ContainsFunc(addresses, netip.Addr.Is4) {
		return usagef("the transport %s does not lead to addresses of IPv4", request.Device.Transport)
	}
	a, err := p.admission(ctx, admission.Deps{Store: s, Values: values})
	if err != nil {
		return err
	}
	p.tellLost(a)
	if !a.AsksICMP() && values.Bool(settings.KeyICMPCheck) {
		p.tellWarnings([]string{"ICMP may not be sent from here, so every address is asked by SNMP; see: pollux doctor"})
	}
	candidates, err := a.Candidates(request)
	if err != nil {
		return notAdded(ctx, err)
	}
	if err := checkScanned(s, request.Device, candidates[0], addresses[0]); err != nil {
		return err
	}
	bar := p.newBar(len(addresses))
	var found []admission.Agent
	tally, err := a.Search(ctx, admission.Scan{
		Addresses: addresses, Device: request.Device, Candidates: candidates, Rate: flags.rate, Parallel: flags.parallel,
		Found: func(agent admission.Agent) { found = append(found, agent) }, Tick: bar.show,
	})
	bar.clear()
	slices.SortFunc(found, func(x, y admission.Agent) int { return x.Address.Compare(y.Address) })
	d := discovery{program: p, admission: a, store: s, request: request, tally: tally, excluded: excluded}
	switch {
	case ctx.Err() != nil: // what was found by then is shown all the same
		return errors.Join(d.take(ctx, found), d.print(false), errInterrupted)
	case err != nil:
		return err
	}
	if err := d.take(ctx, found); err != nil {
		return err
	}
	return d.finish(ctx, flags.add)
}

// checkScanned refuses what no agent could be added with before any is looked for.
func checkScanned(s *store.Store, d device.Device, c admission.Candidate, address netip.Addr) error {
	d.Hostname, d.Credentials = address.String(), c.Credentials
	return s.CheckDevice(d)
}

// agentJSON is an agent that was found.
type agentJSON struct {
	Address       string   `json:"address"`
	Port          uint16   `json:"port"`
	SNMPVersion   string   `json:"snmp_version"`
	User          string   `json:"user,omitempty"`
	CredentialSet string   `json:"credential_set,omitempty"`
	SysName       string   `json:"sys_name"`
	SysDescr      string   `json:"sys_descr"`
	SysObjectID   string   `json:"sys_object_id"`
	DeviceID      int64    `json:"device_id,omitempty"` // of the inventory that asks it
	Hostname      string   `json:"hostname,omitempty"`
	Added         bool     `json:"added"`
	Warnings      []string `json:"warnings,omitempty"`
	Error         string   `json:"error,omitempty"` // why it was not added
}

// discovery is what a search found and what becomes of it.
type discovery struct {
	program   *program
	admission *admission.Admission
	store     *store.Store
	request   admission.Request
	tally     admission.Tally
	excluded  int

	agents []agentJSON
	fresh  []int // agents that no device asks yet
	found  []admission.Agent
}

// take looks up which agents devices ask already.
func (d *discovery) take(ctx context.Context, found []admission.Agent) error {
	d.found = found
	for i, agent := range found {
		item := agentJSON{
			Address: agent.Address.String(), Port: d.request.Device.Port, SNMPVersion: string(agent.Candidate.Credentials.Version), User: agent.Candidate.Credentials.User,
			CredentialSet: agent.Candidate.Set, SysName: agent.SysName, SysDescr: agent.SysDescr, SysObjectID: agent.SysObjectID,
		}
		asking := d.request.Device
		asking.Credentials = agent.Candidate.Credentials
		known, is, err := d.store.AgentTwin(context.WithoutCancel(ctx), asking, []string{item.Address})
		if err != nil {
			return err
		}
		if is {
			item.DeviceID, item.Hostname = known.ID, known.Hostname
		} else {
			d.fresh = append(d.fresh, i)
		}
		d.agents = append(d.agents, item)
	}
	return nil
}

// finish adds what was found, when that is wanted, and prints it.
func (d *discovery) finish(ctx context.Context, add bool) error {
	var failed error
	refused := 0
	if add {
		failed = d.admission.AddAll(ctx, d.requests(), askedAtOnce, func(i int, r admission.Result) {
			item := &d.agents[d.fresh[i]]
			if item.Warnings = r.Asked.Warnings; r.Err != nil {
				item.Error = plain(r.Err.Error())
				refused++
				return
			}
			item.Added, item.DeviceID, item.Hostname = true, r.Asked.Device.ID, r.Asked.Device.Hostname
		})
	}
	if err := d.print(add); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case failed != nil:
		return failed
	case refused > 0:
		return fmt.Errorf("%w: %d of the agents were refused, as the list says", errRefused, refused)
	default:
		return nil
	}
}

// requests are those of the agents that no device asks yet. Each has just answered.
func (d *discovery) requests() []admission.Request {
	var requests []admission.Request
	for _, i := range d.fresh {
		r := d.request
		r.Device.Hostname, r.Alive, r.Anywhere, r.Given, r.Sets, r.Default = d.agents[i].Address, true, false, nil, nil, nil
		if candidate := d.found[i].Candidate; candidate.Set != "" {
			r.Sets = []string{candidate.Set}
		} else {
			r.Given = append(r.Given, candidate.Credentials)
		}
		requests = append(requests, r)
	}
	return requests
}
