package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/device"
)

// nodeFlags are those of node set.
type nodeFlags struct {
	groups, workers string
	fromEnv         bool
}

func (p *program) nodeSetCommand() *cobra.Command {
	var flags nodeFlags
	command := &cobra.Command{
		Use: "set NODE", Short: "Assign a node to poller groups, or give it workers of its own", Args: words(1),
		Long: `Assigns a node to poller groups, whatever its own .env says, and changes how
many polls it runs at the same time. It takes effect within 10 s, without a
restart: what the node has in hand it finishes.`,
		Example: "  pollux node set node-1 --groups 1,2,Zurich\n  pollux node set node-1 --groups \"\"\n  pollux node set node-1 --groups-from-env --workers default",
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.nodeSet(command, args[0], flags)
		}),
	}
	command.Flags().StringVar(&flags.groups, "groups", "", `poller groups, as ids or names with commas between them; "" for none: the node takes nothing`)
	command.Flags().BoolVar(&flags.fromEnv, "groups-from-env", false, "go back to the node's own DISTRIBUTED_POLLER_GROUP")
	command.Flags().StringVar(&flags.workers, "workers", "", "polls that it runs at the same time, or default for the setting service_poller_workers")
	return command
}

func (p *program) nodeSet(command *cobra.Command, spec string, flags nodeFlags) error {
	ctx, assign, limit := command.Context(), command.Flags().Changed("groups"), command.Flags().Changed("workers")
	if !assign && !flags.fromEnv && !limit {
		return usagef("say what to change; see: %s --help", command.CommandPath())
	}
	if assign && flags.fromEnv {
		return usagef("give one of --groups and --groups-from-env")
	}
	workers, err := parseWorkers(flags.workers)
	if limit && err != nil {
		return err
	}
	return p.withNodes(ctx, func(v *nodesView) error {
		if assign && !v.distributed() {
			return errGroups
		}
		s, err := findConsumer(v, spec)
		if err != nil {
			return err
		}
		all, err := v.store.Groups(ctx)
		if err != nil {
			return err
		}
		groups, err := parseGroups(all, flags.groups)
		if err != nil {
			return err
		}
		after, err := v.store.ChangeNode(ctx, s.Row.Role, s.Row.NodeID, actor(), func(o *device.Orders) error {
			if assign || flags.fromEnv {
				o.Groups, o.Assigned = groups, assign
			}
			set(limit, &o.Workers, workers)
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s %s: %s; in effect within 10 s\n", s.Row.Role, s.Row.NodeID, ordersInWords(after))
		return nil
	})
}

func ordersInWords(o device.Orders) string {
	groups, workers := "poller groups of its own .env", "workers by the setting"
	if o.Assigned {
		groups = "poller groups " + orDefault(joined(o.Groups), "none")
	}
	if o.Workers > 0 {
		workers = strconv.Itoa(o.Workers) + " workers"
	}
	return groups + ", " + workers
}

// parseWorkers reads a number of workers; 0 for default.
func parseWorkers(text string) (int, error) {
	if text == "default" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10_000 {
		return 0, usagef("--workers is a whole number from 1 to 10000, or default, not %.40q", text)
	}
	return n, nil
}

// parseGroups reads poller groups, named by id or name, with commas between them. The answer is never nil.
func parseGroups(all []device.Group, text string) ([]int64, error) {
	groups := []int64{}
	if strings.TrimSpace(text) == "" {
		return groups, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		i := slices.IndexFunc(all, func(g device.Group) bool { return part == strconv.FormatInt(g.ID, 10) })
		if i < 0 {
			i = slices.IndexFunc(all, func(g device.Group) bool { return part == g.Name })
		}
		if i < 0 {
			return nil, fmt.Errorf("%w: there is no poller group %.64q", errNotFound, part)
		}
		groups = append(groups, all[i].ID)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// findConsumer returns the consumer that NODE names: no other role has poller groups and workers.
func findConsumer(v *nodesView, spec string) (cluster.Standing, error) {
	found, err := findNode(v, spec)
	if err != nil {
		return cluster.Standing{}, err
	}
	for _, process := range found {
		for _, s := range process.Roles {
			if s.Row.Role == cluster.RoleConsumer {
				return s, nil
			}
		}
	}
	return cluster.Standing{}, usagef("only consumers serve poller groups and have workers; %.100s is a %s", spec, found[0].Roles[0].Row.Role)
}

func (p *program) nodeDrainCommand(use, short string, drain bool) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withNodes(command.Context(), func(v *nodesView) error {
				found, err := findNode(v, args[0])
				if err != nil {
					return err
				}
				for _, process := range found {
					for _, s := range process.Roles {
						if err := p.nodeDrain(command, v, s, drain); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}),
	}
}

func (p *program) nodeDrain(command *cobra.Command, v *nodesView, s cluster.Standing, drain bool) error {
	_, err := v.store.ChangeNode(command.Context(), s.Row.Role, s.Row.NodeID, actor(), func(o *device.Orders) error {
		o.Draining = drain
		return nil
	})
	if err != nil {
		return err
	}
	if !drain {
		fmt.Fprintf(p.out, "%s %s works again within 10 s\n", s.Row.Role, s.Row.NodeID)
		return nil
	}
	fmt.Fprintf(p.out, "%s %s takes nothing new after 10 s and finishes what it has; its state becomes drained\n", s.Row.Role, s.Row.NodeID)
	groups, lead := cluster.LeftAlone(v.processes, s)
	if lead {
		p.note("no other producer is active: no polls are offered until one is")
	}
	if len(groups) > 0 {
		p.note("no other active consumer serves poller groups %s: their devices are not polled until one does", joined(groups))
	}
	return nil
}

func (p *program) nodeRemoveCommand() *cobra.Command {
	var stopped bool
	command := &cobra.Command{
		Use: "remove NODE", Short: "Forget a node that does not live, and what it was assigned to", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withNodes(command.Context(), func(v *nodesView) error {
				return p.nodeRemove(command.Context(), v, args[0], stopped)
			})
		}),
	}
	command.Flags().BoolVar(&stopped, "stopped", false, "the node is known to be stopped: do not wait until it was silent for 2 minutes, and do without Redis where that is stopped or empty")
	return command
}

func (p *program) nodeRemove(ctx context.Context, v *nodesView, spec string, stopped bool) error {
	if v.away != nil && (!stopped || errors.Is(v.away, cluster.ErrOtherCluster)) {
		return fmt.Errorf("whether the node lives is not known: %w", v.away)
	}
	found, err := findNode(v, spec)
	if err != nil {
		return err
	}
	for _, process := range found {
		if process.Live() {
			return fmt.Errorf("%s lives (host %s, pid %d): stop that process first; to keep it from working only, run: pollux node drain %s",
				strings.Join(fullNames([]cluster.Process{process}), " and "), process.Host, process.PID, spec)
		}
	}
	if !stopped {
		if err := refuseYoung(maybeAlive(found)); err != nil {
			return err
		}
	}
	for _, process := range found {
		for _, s := range process.Roles {
			if err := v.store.RemoveNode(ctx, s.Row.Role, s.Row.NodeID, actor()); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "removed %s %s\n", s.Row.Role, s.Row.NodeID)
		}
	}
	return nil
}
