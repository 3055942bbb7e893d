package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

var errGroups = fmt.Errorf("%w: poller groups are off; on a MariaDB or PostgreSQL database turn them on with: pollux config set %s true", errUsage, settings.KeyDistributedPoller)

func (p *program) groupCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "group", Short: "Create, list, show, change and remove poller groups", Args: words(0), RunE: help,
		Long: `Poller groups pin devices to nodes: a device is polled by the nodes that are
assigned to its group. Group 0, General, is always there. The commands need the
setting distributed_poller.`,
	}
	command.AddCommand(p.groupCreateCommand(), p.groupListCommand(), p.groupShowCommand(), p.groupSetCommand(), p.groupRemoveCommand())
	return command
}

// withGroups opens the inventory for one command about poller groups, which must be on.
func (p *program) withGroups(ctx context.Context, work func(s *store.Store, values settings.Values) error) error {
	return p.withStore(ctx, func(s *store.Store, values settings.Values, _ *slog.Logger) error {
		if !values.Bool(settings.KeyDistributedPoller) {
			return errGroups
		}
		return work(s, values)
	})
}

// chosenGroup is the poller group of an id or a name on the command line, which is refused while groups are off.
func chosenGroup(ctx context.Context, s *store.Store, values settings.Values, idOrName string) (device.Group, error) {
	if !values.Bool(settings.KeyDistributedPoller) {
		return device.Group{}, errGroups
	}
	group, err := s.Group(ctx, idOrName)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: there is no poller group %.80s; see: pollux group list", errNotFound, idOrName)
	}
	return group, err
}

// groupNames are the names of the poller groups by their ids; nil while groups are off.
func groupNames(ctx context.Context, s *store.Store, values settings.Values) (map[int64]string, error) {
	if !values.Bool(settings.KeyDistributedPoller) {
		return nil, nil
	}
	groups, err := s.Groups(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(groups))
	for _, group := range groups {
		names[group.ID] = group.Name
	}
	return names, nil
}

// groupJSON is a poller group in JSON.
type groupJSON struct {
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Devices     int    `json:"devices"` // disabled ones included
	Default     bool   `json:"default"` // new devices go there
}

func groupToJSON(g device.Group, devices map[int64]int, values settings.Values) groupJSON {
	return groupJSON{
		ID: g.ID, Name: g.Name, Description: g.Description, Devices: devices[g.ID], Default: g.ID == int64(values.Int(settings.KeyDefaultPollerGroup)),
	}
}

func (p *program) groupCreateCommand() *cobra.Command {
	var description string
	command := p.jsonFlag(&cobra.Command{
		Use: "create NAME", Short: "Create a poller group", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withGroups(command.Context(), func(s *store.Store, values settings.Values) error {
				added, err := s.AddGroup(command.Context(), device.Group{Name: args[0], Description: description}, actor())
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(groupToJSON(added, nil, values))
				}
				fmt.Fprintf(p.out, "created poller group %d (%s); assign nodes to it before devices\n", added.ID, added.Name)
				return nil
			})
		}),
	})
	command.Flags().StringVar(&description, "description", "", "what the group is for")
	return command
}

func (p *program) groupShowCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show GROUP", Short: "Show one poller group, its devices and the nodes that serve it", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withGroups(command.Context(), func(s *store.Store, values settings.Values) error {
				group, err := chosenGroup(command.Context(), s, values, args[0])
				if err != nil {
					return err
				}
				devices, err := s.GroupDevices(command.Context())
				if err != nil {
					return err
				}
				nodes, err := s.Nodes(command.Context())
				if err != nil {
					return err
				}
				return p.printGroup(groupToJSON(group, devices, values), consumersOf(group.ID, nodes))
			})
		}),
	})
}

// consumersOf are the names of the consumers that serve a group: by their
// assignment, else by their .env, else group 0. Whether they live is another matter.
func consumersOf(group int64, nodes []device.Node) []string {
	names := []string{}
	for _, node := range nodes {
		groups := node.Groups
		if groups == nil {
			groups = []int64{device.GeneralGroup}
		}
		if node.Role == "consumer" && slices.Contains(groups, group) {
			names = append(names, node.NodeID)
		}
	}
	return names
}

func (p *program) printGroup(shown groupJSON, nodes []string) error {
	if p.asJSON {
		return p.printJSON(struct {
			groupJSON
			Nodes []string `json:"nodes"`
		}{shown, nodes})
	}
	served := "none: its devices are not polled; see: pollux node set --help"
	if len(nodes) > 0 {
		served = listed(nodes)
	}
	standing := ""
	set(shown.Default, &standing, "yes: new devices go there")
	for _, line := range [][2]string{
		{"id", strconv.FormatInt(shown.ID, 10)}, {"name", shown.Name}, {"description", shown.Description},
		{"devices", strconv.Itoa(shown.Devices)}, {"default", standing}, {"nodes", served},
	} {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line[0], line[1])
		}
	}
	return nil
}
