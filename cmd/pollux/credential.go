package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/secret"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

func (p *program) credentialCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "credential", Short: "Keep named credentials that new devices are tried with", Args: words(0), RunE: help,
		Long: `Credential sets are SNMP credentials with a name. A device that is added without
credentials of its own is tried with the sets of its poller group: by version, in
the order of the setting snmp.version, and then by their own order. It gets a copy
of those it answers to. Secrets are stored encrypted and never shown.`,
	}
	command.AddCommand(p.credentialAddCommand(), p.credentialListCommand(), p.credentialShowCommand(), p.credentialSetCommand(), p.credentialRemoveCommand())
	return command
}

// setJSON is a credential set in JSON, without its secrets.
type setJSON struct {
	ID           int64   `json:"id"`
	Name         string  `json:"name"`
	Order        int     `json:"order"`
	SNMPVersion  string  `json:"snmp_version"`
	User         string  `json:"user,omitempty"`
	Level        string  `json:"level,omitempty"`
	AuthProtocol string  `json:"auth_protocol,omitempty"`
	PrivProtocol string  `json:"priv_protocol,omitempty"`
	Context      string  `json:"context,omitempty"`
	PollerGroups []int64 `json:"poller_groups"` // null for all
	Changed      *string `json:"changed"`
	Opens        bool    `json:"opens"` // false: its secrets do not open with the keys of this node
}

func setToJSON(c device.CredentialSet) setJSON {
	return setJSON{
		ID: c.ID, Name: c.Name, Order: c.Order, SNMPVersion: string(c.Credentials.Version), User: c.Credentials.User, Level: c.Credentials.Level(),
		AuthProtocol: c.Credentials.AuthProtocol, PrivProtocol: c.Credentials.PrivProtocol, Context: c.Credentials.Context,
		PollerGroups: c.Groups, Changed: rfc3339(c.ChangedAt), Opens: !c.Lost,
	}
}

func (p *program) credentialListCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the credential sets in their order", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				sets, err := s.CredentialSets(command.Context())
				if err != nil {
					return err
				}
				names, err := groupNames(command.Context(), s, values)
				if err != nil {
					return err
				}
				return p.printSets(sets, names)
			})
		}),
	})
}

// printSets shows the poller groups of each set by their names; nil names hide them.
func (p *program) printSets(sets []device.CredentialSet, names map[int64]string) error {
	if p.asJSON {
		list := items[setJSON]{Items: []setJSON{}}
		for _, c := range sets {
			list.Items = append(list.Items, setToJSON(c))
		}
		return p.printJSON(list)
	}
	rows := make([][]string, 0, len(sets))
	for _, c := range sets {
		note := ""
		set(c.Lost, &note, "its secrets do not open with the APP_KEY of this node")
		row := []string{strconv.Itoa(c.Order), c.Name, string(c.Credentials.Version), plain(c.Credentials.User), c.Credentials.Level(), note}
		if names != nil {
			row = append(row[:5], groupsInWords(c.Groups, names), note)
		}
		rows = append(rows, row)
	}
	headings := []string{"ORDER", "NAME", "VERSION", "USER", "LEVEL", ""}
	if names != nil {
		headings = append(headings[:5], "POLLER GROUPS", "")
	}
	return p.printTable(headings, rows)
}

// groupsInWords names poller groups.
func groupsInWords(groups []int64, names map[int64]string) string {
	switch {
	case groups == nil:
		return "all"
	case len(groups) == 0:
		return "none"
	}
	words := make([]string, len(groups))
	for i, id := range groups {
		words[i] = orDefault(names[id], strconv.FormatInt(id, 10))
	}
	return strings.Join(words, ", ")
}

func (p *program) credentialShowCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show NAME", Short: "Show a credential set, without its secrets", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				c, err := findSet(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(setToJSON(c))
				}
				names, err := groupNames(command.Context(), s, values)
				if err != nil {
					return err
				}
				p.printSet(c, names)
				return nil
			})
		}),
	})
}

func (p *program) printSet(c device.CredentialSet, names map[int64]string) {
	groups, lost := "", ""
	set(names != nil, &groups, groupsInWords(c.Groups, names))
	set(c.Lost, &lost, "its secrets do not open with the APP_KEY of this node; set them anew with: pollux credential set "+c.Name)
	for _, line := range [][2]string{
		{"name", c.Name}, {"order", strconv.Itoa(c.Order)}, {"version", string(c.Credentials.Version)}, {"user", plain(c.Credentials.User)},
		{"level", c.Credentials.Level()}, {"auth", c.Credentials.AuthProtocol}, {"privacy", c.Credentials.PrivProtocol}, {"context", plain(c.Credentials.Context)},
		{"groups", groups}, {"changed", ago(c.ChangedAt)}, {"lost", lost},
	} {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line[0], line[1])
		}
	}
}

// findSet returns a credential set, also one whose secrets do not open.
func findSet(ctx context.Context, s *store.Store, name string) (device.CredentialSet, error) {
	c, err := s.CredentialSet(ctx, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c, errNoSet(name)
	case errors.Is(err, secret.ErrOpen):
		return c, nil
	default:
		return c, err
	}
}

func errNoSet(name string) error {
	return fmt.Errorf("%w: there is no credential set %.80q; see: pollux credential list", errNotFound, name)
}

func (p *program) credentialRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a credential set; devices keep what they got from it", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				err := s.RemoveCredentialSet(command.Context(), args[0], actor())
				if errors.Is(err, store.ErrNotFound) {
					return errNoSet(args[0])
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(p.out, "removed credential set %s\n", args[0])
				return nil
			})
		}),
	}
}

// newSetVersion is the version of credentials that are given without naming one: with a community v2c.
func newSetVersion(command *cobra.Command, version snmp.Version) snmp.Version {
	if version == "" && command.Flags().Changed("community") {
		return snmp.V2c
	}
	return version
}
