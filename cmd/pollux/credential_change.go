package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// credentialSetFlags are those of a credential set.
type credentialSetFlags struct {
	snmp   snmpFlags
	order  int
	groups string
	name   string
}

const allGroups = "all"

func (f *credentialSetFlags) add(command *cobra.Command) {
	f.snmp.addCredentials(command)
	command.Flag("community").DefValue = "" // of a set it must be said
	command.Flags().IntVar(&f.order, "order", 0, "sets with a smaller number are tried before, 1 to 1000000 (default: 10 more than the last one)")
	command.Flags().StringVar(&f.groups, "groups", allGroups, "only for devices of these poller groups, by id or name, with commas between them; all for every group")
}

// assigned are the poller groups of the flags: nil for all.
func (f *credentialSetFlags) assigned(command *cobra.Command, s *store.Store, values settings.Values) ([]int64, error) {
	switch {
	case f.groups == allGroups:
		return nil, nil
	case !values.Bool(settings.KeyDistributedPoller):
		return nil, errGroups
	}
	all, err := s.Groups(command.Context())
	if err != nil {
		return nil, err
	}
	groups, err := parseGroups(all, f.groups)
	if err == nil && len(groups) == 0 {
		return nil, usagef("--groups names poller groups, or is %s", allGroups)
	}
	return groups, err
}

func (p *program) credentialAddCommand() *cobra.Command {
	var flags credentialSetFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "add NAME", Short: "Add a credential set", Args: words(1),
		Example: "  pollux credential add core -3 -u monitor -A - -X -\n  pollux credential add old -2 -c env:COMMUNITY --order 900",
		RunE: do(func(command *cobra.Command, args []string) error {
			version, err := flags.snmp.version(command)
			if err != nil {
				return err
			}
			switch version = newSetVersion(command, version); {
			case version == "":
				return usagef("say which credentials: -2 -c -, or -3 -u NAME -A - -X -; see: %s --help", command.CommandPath())
			case version != snmp.V3 && !command.Flags().Changed("community"):
				return usagef("SNMP %s needs a community: -c -, or -c env:NAME", version)
			case command.Flags().Changed("order") && flags.order < 1:
				return usagef("--order is 1 to 1000000")
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				groups, err := flags.assigned(command, s, values)
				if err != nil {
					return err
				}
				secrets, err := flags.snmp.secrets(p)
				if err != nil {
					return err
				}
				c, err := s.AddCredentialSet(command.Context(), device.CredentialSet{
					Name: args[0], Order: flags.order, Groups: groups, Credentials: flags.snmp.applied(command, secrets, snmp.Credentials{Version: version}),
				}, actor())
				if err != nil {
					return err
				}
				return p.printChangedSet("added", c)
			})
		}),
	})
	flags.add(command)
	return command
}

func (p *program) credentialSetCommand() *cobra.Command {
	var flags credentialSetFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "set NAME", Short: "Change a credential set; only the flags that are given change anything", Args: words(1),
		Long: `Changes a credential set. What is not given stays as it is. Devices that were
added with the set keep the credentials that they got.`,
		RunE: do(func(command *cobra.Command, args []string) error {
			changed := command.Flags().Changed
			switch {
			case !given(command, append([]string{"name", "order", "groups"}, credentialFlags...)):
				return usagef("say what to change; see: %s --help", command.CommandPath())
			case changed("order") && flags.order < 1:
				return usagef("--order is 1 to 1000000")
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				groups, err := flags.assigned(command, s, values)
				if err != nil {
					return err
				}
				credentials, err := flags.snmp.change(p, command)
				if err != nil {
					return err
				}
				c, err := s.UpdateCredentialSet(command.Context(), args[0], func(c *device.CredentialSet) error {
					set(changed("name"), &c.Name, flags.name)
					set(changed("order"), &c.Order, flags.order)
					set(changed("groups"), &c.Groups, groups)
					if given(command, credentialFlags) {
						c.Credentials = credentials(c.Credentials)
					}
					return nil
				}, actor())
				if errors.Is(err, store.ErrNotFound) {
					return errNoSet(args[0])
				}
				if err != nil {
					return err
				}
				return p.printChangedSet("changed", c)
			})
		}),
	})
	flags.add(command)
	command.Flags().StringVar(&flags.name, "name", "", "new name")
	return command
}

func (p *program) printChangedSet(what string, c device.CredentialSet) error {
	if p.asJSON {
		return p.printJSON(setToJSON(c))
	}
	fmt.Fprintf(p.out, "%s credential set %s, order %d\n", what, c.Name, c.Order)
	return nil
}
