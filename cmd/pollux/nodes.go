package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/config"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

func (p *program) nodeCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "node", Short: "List and show nodes, assign, drain and remove them", Args: words(0), RunE: help,
		Long: `NODE is a NODE_ID, or ROLE:NODE_ID when only one of its roles is meant, such as consumer:node-1.`,
	}
	command.AddCommand(p.nodeListCommand(), p.nodeShowCommand(), p.nodeSetCommand(),
		p.nodeDrainCommand("drain NODE", "Have a node finish its work and take nothing new, also after a restart", true),
		p.nodeDrainCommand("undrain NODE", "Have a drained node work again", false),
		p.nodeRemoveCommand())
	return command
}

// nodesView is what the commands about nodes work with.
type nodesView struct {
	store     *store.Store
	values    settings.Values
	processes []cluster.Process
	pending   map[string]map[int64]int64 // tasks that wait, by kind and poller group
	billing   string                     // NODE_ID of the consumer that serves the queue billing; "" for nobody
	away      error                      // why nothing is known of live nodes; nil when it is
}

// distributed says whether poller groups are on.
func (v *nodesView) distributed() bool { return v.values.Bool(settings.KeyDistributedPoller) }

// withNodes reads the rows of all nodes and, where Redis answers, what the live ones tell.
func (p *program) withNodes(ctx context.Context, work func(v *nodesView) error) error {
	c, err := p.boot()
	if err != nil {
		return err
	}
	cluster.LibraryLog{Log: p.logger("error")}.Install() // what it would print is in the note
	return p.withStore(ctx, func(s *store.Store, values settings.Values, _ *slog.Logger) error {
		rows, err := s.Nodes(ctx)
		if err != nil {
			return err
		}
		id, err := s.ClusterID(ctx)
		if err != nil {
			return err
		}
		v := &nodesView{store: s, values: values}
		live, err := p.liveNodes(ctx, c.Redis, id, v)
		v.away, v.processes = err, cluster.Roster(rows, live)
		return work(v)
	})
}

// liveNodes asks Redis, and does not wait for one that is away. It fills in what else Redis knows.
func (p *program) liveNodes(ctx context.Context, c config.Redis, clusterID string, v *nodesView) ([]cluster.Node, error) {
	c.Timeout = 0
	client, err := cluster.Connect(ctx, c, p.logger("error"), cluster.Name("pollux-cli"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := knowRedis(ctx, v.store, client, clusterID); err != nil {
		return nil, err
	}
	live, err := cluster.List(ctx, client)
	if err != nil {
		return nil, err
	}
	holder, err := cluster.NewLease(client, cluster.BillingKey, "", 0).Holder(ctx)
	if err != nil {
		return nil, err
	}
	v.billing = cluster.ParseHolder(holder).Name
	var groups []int64
	for i := range live {
		groups = append(groups, live[i].Groups...)
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	v.pending = map[string]map[int64]int64{}
	for _, kind := range []string{tasks.KindPoller, tasks.KindDiscovery} {
		if v.pending[kind], err = cluster.Pending(ctx, client, kind, groups); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// note prints one line beside the output, for people.
func (p *program) note(format string, values ...any) {
	fmt.Fprintln(p.errout, "pollux: "+strings.Join(strings.Fields(fmt.Sprintf(format, values...)), " "))
}

func (p *program) noteAway(v *nodesView) {
	if v.away != nil {
		p.note("only the rows of the nodes are shown, and none as active: %v", v.away)
	}
}

// findNode returns the processes that NODE names, with the roles that it names.
func findNode(v *nodesView, spec string) ([]cluster.Process, error) {
	role, id, found := strings.Cut(spec, ":")
	if !found {
		role, id = "", spec
	}
	var matching []cluster.Process
	for _, process := range v.processes {
		if process.NodeID != id {
			continue
		}
		process.Roles = slices.DeleteFunc(slices.Clone(process.Roles), func(s cluster.Standing) bool { return role != "" && s.Row.Role != role })
		if len(process.Roles) > 0 {
			matching = append(matching, process)
		}
	}
	if len(matching) == 0 {
		return nil, fmt.Errorf("%w: there is no node %.100q; see: pollux node list", errNotFound, spec)
	}
	return matching, nil
}
