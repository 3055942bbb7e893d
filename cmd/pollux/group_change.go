package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

func (p *program) groupSetCommand() *cobra.Command {
	var name, description string
	command := p.jsonFlag(&cobra.Command{
		Use: "set GROUP", Short: "Rename or describe a poller group; only the flags that are given change anything", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			if !given(command, []string{"name", "description"}) {
				return usagef("say what to change; see: %s --help", command.CommandPath())
			}
			return p.withGroups(command.Context(), func(s *store.Store, values settings.Values) error {
				group, err := chosenGroup(command.Context(), s, values, args[0])
				if err != nil {
					return err
				}
				group, err = s.UpdateGroup(command.Context(), group.ID, func(g *device.Group) error {
					set(command.Flags().Changed("name"), &g.Name, name)
					set(command.Flags().Changed("description"), &g.Description, description)
					return nil
				}, actor())
				if err != nil {
					return err
				}
				if !p.asJSON {
					fmt.Fprintf(p.out, "changed poller group %d (%s)\n", group.ID, group.Name)
					return nil
				}
				devices, err := s.GroupDevices(command.Context())
				if err != nil {
					return err
				}
				return p.printJSON(groupToJSON(group, devices, values))
			})
		}),
	})
	command.Flags().StringVar(&name, "name", "", "new name, 1 to 64 bytes, no comma, not a number")
	command.Flags().StringVar(&description, "description", "", "what the group is for")
	return command
}

func (p *program) groupRemoveCommand() *cobra.Command {
	var yes bool
	command := p.jsonFlag(&cobra.Command{
		Use: "remove GROUP", Short: "Remove a poller group; its devices go to the default group", Args: words(1),
		Long: `Removes a poller group. Its devices go to the group of the setting
default_poller_group, or to group 0 when that is the one removed. Nodes lose it
from their assignment; a node that was assigned to nothing else polls nothing
until it is assigned again. With devices in it the command asks on a terminal,
and needs --yes elsewhere.`,
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
				if n := devices[group.ID]; n > 0 && group.ID != device.GeneralGroup {
					if err := p.confirm(yes, fmt.Sprintf("poller group %d (%s) has %d devices", group.ID, group.Name, n), "remove it"); err != nil {
						return err
					}
				}
				removal, err := s.RemoveGroup(command.Context(), group.ID, actor())
				if err != nil {
					return err
				}
				return p.printRemoval(removal)
			})
		}),
	})
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}

func (p *program) printRemoval(r store.GroupRemoval) error {
	unassigned, idle, named := []string{}, []string{}, []string{}
	for _, node := range r.Unassigned {
		if len(node.Groups) == 0 {
			idle = append(idle, node.NodeID)
		} else {
			unassigned = append(unassigned, node.NodeID)
		}
	}
	for _, node := range r.NamedInFiles {
		named = append(named, node.NodeID)
	}
	if p.asJSON {
		return p.printJSON(struct {
			ID         int64    `json:"id"`
			Name       string   `json:"name"`
			Devices    int      `json:"devices"`
			To         int64    `json:"to"`
			WasDefault bool     `json:"was_default"`
			Unassigned []string `json:"unassigned_nodes"`
			Idle       []string `json:"idle_nodes"`
			Named      []string `json:"named_in_env_of_nodes"`
		}{r.Group.ID, r.Group.Name, r.Devices, r.To.ID, r.WasDefault, unassigned, idle, named})
	}
	fmt.Fprintf(p.out, "removed poller group %d (%s); %d devices went to group %d (%s)\n", r.Group.ID, r.Group.Name, r.Devices, r.To.ID, r.To.Name)
	if r.WasDefault {
		fmt.Fprintf(p.out, "it was the default group: %s is 0 again\n", settings.KeyDefaultPollerGroup)
	}
	if len(unassigned) > 0 {
		fmt.Fprintf(p.out, "no longer assigned to it: %s\n", listed(unassigned))
	}
	if len(idle) > 0 {
		fmt.Fprintf(p.out, "assigned to no group any more, so polling nothing: %s; assign with: pollux node set NODE --groups 0\n", listed(idle))
	}
	if len(named) > 0 {
		fmt.Fprintf(p.out, "DISTRIBUTED_POLLER_GROUP in the .env still names it: %s\n", listed(named))
	}
	return nil
}

// maxListed bounds the names that one line shows.
const maxListed = 20

// listed joins names, and says how many more there are.
func listed(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}
