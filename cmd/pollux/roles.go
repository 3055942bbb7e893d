package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/config"
	"pollux/consumer"
	"pollux/journal"
	"pollux/ops"
	"pollux/poller/definitions"
	"pollux/producer"
	"pollux/rrdcached"
	"pollux/settings"
)

// recorderTTL is how long a recorder's lease lasts without being renewed.
const recorderTTL = 12 * time.Second

func (p *program) producerCommand() *cobra.Command {
	return p.roleFlags(&cobra.Command{
		Use: "producer", Short: "Decide which device is due and put its poll into Redis", Args: words(0),
	}, roleParts{
		listen: opsProducer, add: func(ctx context.Context, n *node) error { return n.addProducer(ctx) },
		routes: func(n *node) func(*ops.Config) { return n.queueMonitor },
	})
}

func (p *program) consumerCommand() *cobra.Command {
	return p.roleFlags(&cobra.Command{
		Use: "consumer", Short: "Poll the devices of this node's poller groups", Args: words(0),
	}, roleParts{listen: opsConsumer, add: func(ctx context.Context, n *node) error { return n.addConsumer(ctx) }})
}

// roleParts is what a process with one role is made of.
type roleParts struct {
	listen string                             // its operators' listener, where POLLUX_OPS_LISTEN says nothing
	add    func(context.Context, *node) error // gives the node the role
	routes func(*node) func(*ops.Config)      // what its operators' listener serves besides; nil for nothing
}

// roleFlags gives the command of a role its flags and its work.
func (p *program) roleFlags(command *cobra.Command, r roleParts) *cobra.Command {
	var keepTrying bool
	command.Flags().BoolVar(&keepTrying, "keep-trying", false, "when the start fails, say why in /readyz and try again every "+retryStart.String()+", instead of ending")
	command.RunE = do(func(command *cobra.Command, _ []string) error {
		if keepTrying {
			return p.keepTrying(command.Context(), r)
		}
		n, err := p.openRole(command.Context(), r, noLimit)
		if err != nil {
			return err
		}
		return n.runRole(command.Context(), r)
	})
	return command
}

// noLimit lets a process wait for its servers as long as REDIS_TIMEOUT says.
const noLimit = time.Duration(math.MaxInt64)

// openRole makes a process with one role, connected to everything it needs. It
// waits for servers that do not answer for patience, at most REDIS_TIMEOUT.
func (p *program) openRole(ctx context.Context, r roleParts, patience time.Duration) (*node, error) {
	c, err := p.boot()
	if err != nil {
		return nil, err
	}
	if err := needIdentity(c); err != nil {
		return nil, err
	}
	if err := needInventory(c); err != nil {
		return nil, err
	}
	c.Redis.Timeout, c.JournalRedis.Timeout = min(c.Redis.Timeout, patience), min(c.JournalRedis.Timeout, patience)
	n, err := openNode(ctx, c, p.logger(c.LogLevel), claimRedis)
	if err != nil {
		return nil, err
	}
	p.followLevel(n.settings)
	if err = refuseSharedSQLite(ctx, n); err == nil {
		err = r.add(ctx, n)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// runRole is the life of a process with one role. It closes what the node has opened.
func (n *node) runRole(ctx context.Context, r roleParts) (err error) {
	defer func() { err = errors.Join(err, n.close()) }()
	listen := cmp.Or(n.config.OpsListen, r.listen)
	if r.routes == nil {
		return n.run(ctx, listen)
	}
	return n.run(ctx, listen, r.routes(n))
}

var errNoRRDCached = fmt.Errorf("%w: RRDCACHED is missing: unix:/path or host:port; or use: pollux standalone", config.ErrInvalid)

// refuseSharedSQLite: a SQLite file cannot be shared by machines, and its one writer would hold up a cluster.
func refuseSharedSQLite(ctx context.Context, n *node) error {
	if n.config.Database.Connection != config.SQLite {
		return nil
	}
	if n.settings.Values().Bool(settings.KeyDistributedPoller) {
		return fmt.Errorf("%w; or run: pollux config unset %s", errSharedSQLite, settings.KeyDistributedPoller)
	}
	// The entry of a process that was killed stands for 15 s.
	for deadline := time.Now().Add(20 * time.Second); ; {
		nodes, err := cluster.List(ctx, n.redis)
		if err != nil {
			return err
		}
		others := slices.ContainsFunc(nodes, func(other cluster.Node) bool { return other.NodeID != n.config.NodeID })
		if !others {
			return nil
		}
		if time.Now().After(deadline) {
			return errSharedSQLite
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

var errSharedSQLite = fmt.Errorf("%w: SQLite serves one node only; set DB_CONNECTION to mysql or pgsql for a cluster", config.ErrInvalid)

// addProducer gives the node the producer's role.
func (n *node) addProducer(ctx context.Context) error {
	member, err := n.join(ctx, cluster.RoleProducer, false)
	if err != nil {
		return err
	}
	made, err := producer.New(producer.Config{NodeID: member.NodeID()}, producer.Deps{
		Store: n.store, Purger: n.store, Events: n.store, Nodes: n.store, Draining: member.Draining, Journal: n.journal,
		Discoverables: n.store, Billed: n.store, Removals: n.store, Tombs: func(shard int) producer.Tombs { return n.shards.Shard(shard) }, Moves: n.shards,
		Lease: cluster.NewLease(n.redis, cluster.LeaderKey, member.NodeID(), producer.LeaderTTL),
		Clock: n.clock, Janitor: cluster.NewJanitor(n.redis, n.log, n.metrics), Redis: n.redis,
		Settings: n.settings.Values, Registerer: n.metrics, Log: n.log.With("role", "producer"),
	})
	if err != nil {
		return err
	}
	member.Attach(cluster.Activity{Leading: made.Leading, Idle: func() bool { return !made.Leading() }})
	n.roles = append(n.roles, made.Run)
	return nil
}

// addConsumer gives the node the consumer's role, with a recorder for each target.
func (n *node) addConsumer(ctx context.Context) error {
	if len(n.config.RRDCached) == 0 {
		return errNoRRDCached
	}
	member, err := n.join(ctx, cluster.RoleConsumer, true)
	if err != nil {
		return err
	}
	nodeID := member.NodeID()
	set, err := n.definitions()
	if err != nil {
		return err
	}
	made, err := consumer.New(consumer.Config{NodeID: nodeID, Groups: member.Groups, Workers: member.Workers}, consumer.Deps{
		Store: n.store, Journal: n.shards, Leases: cluster.NewDeviceLeases(n.redis, nodeID, n.log), Agents: cluster.NewAgents(n.redis, nodeID, n.log), Clock: n.clock, Redis: n.redis,
		JournalID: func(ctx context.Context) (string, error) { return cluster.RunID(ctx, n.journalRedis) },
		Settings:  n.settings.Values, Registerer: n.metrics, Log: n.log.With("role", "consumer"),
		Discovering: &consumer.Discovering{Store: n.store}, Definitions: set,
		Billing: &consumer.Billing{Store: n.store, Calculator: n.store, Lease: cluster.NewLease(n.redis, cluster.BillingKey, nodeID, consumer.BillingTTL)},
	})
	if err != nil {
		return err
	}
	member.Attach(cluster.Activity{
		Served: made.Served, Idle: made.Idle, Stopping: made.Stopping,
		Work: made.Work,
	})
	n.also = append(n.also, ops.Check{Name: "credentials", Degrades: true, Run: func(context.Context) error { return made.Credentials() }})
	n.roles = append(n.roles, made.Run)
	for _, target := range n.config.RRDCached {
		if err := n.sameCluster(ctx, target); err != nil {
			return err
		}
	}
	n.crew = journal.NewCrew(n.posts, func(p journal.Post) (*journal.Recorder, error) { return n.recorder(p, nodeID) }, n.log.With("role", "recorder"))
	// A service, so that what the last polls append is still sent while they drain.
	n.services = append(n.services, n.crew.Run)
	return nil
}

// definitions loads the OS definitions. Files of the user that are wrong are logged and left out.
func (n *node) definitions() (*definitions.Set, error) {
	set, problems, err := definitions.Load(n.config.Definitions)
	if err != nil {
		return nil, fmt.Errorf("%w: POLLUX_DEFINITIONS_DIR: %w", config.ErrInvalid, err)
	}
	for _, problem := range problems {
		n.log.Error("a definition cannot be used and is left out; see: pollux definitions check FILE", "file", problem.File, "reason", problem.Reason)
	}
	return set, nil
}

// posts are the RRDCached of all shards.
func (n *node) posts() []journal.Post {
	return postsOf(n.config.RRDCached, n.settings.Values().Shards())
}

// postsOf are those of RRDCACHED, and those of the setting rrd.shards.
func postsOf(targets []string, shards []settings.Shard) []journal.Post {
	posts := make([]journal.Post, 0, len(targets))
	for _, target := range targets {
		posts = append(posts, journal.Post{Target: target})
	}
	for _, shard := range shards {
		for _, target := range shard.Targets {
			posts = append(posts, journal.Post{Shard: shard.Number, Target: target})
		}
	}
	return posts
}

// sameCluster refuses an RRDCached whose tree belongs to another cluster, one
// that forbids what Pollux needs, and a server that is none. One that is away
// is waited for later, by its recorder, which asks again.
func (n *node) sameCluster(ctx context.Context, target string) error {
	dialing, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	client, err := rrdcached.Dial(dialing, target)
	if err == nil {
		defer client.Close()
		_, err = journal.Identify(ctx, client, n.cluster)
	}
	if errors.Is(err, journal.ErrOtherCluster) {
		return fmt.Errorf("RRDCACHED=%s: %w", target, withDatabase(err, n.store))
	}
	if errors.Is(err, rrdcached.ErrPermission) || errors.Is(err, rrdcached.ErrProtocol) {
		return fmt.Errorf("%w: RRDCACHED=%s: %w; allow the commands of docs/configuration.md in its option -P, or correct RRDCACHED", config.ErrInvalid, target, err)
	}
	if err != nil {
		n.log.Warn("RRDCached does not answer; the journal keeps its measurements", "target", target, "err", err)
	}
	return nil
}

func (n *node) recorder(post journal.Post, nodeID string) (*journal.Recorder, error) {
	return journal.NewRecorder(n.shards.Shard(post.Shard), journal.RecorderConfig{
		Target: post.Target, ClusterID: n.cluster,
		Shards:      func() int { return 1 + len(n.settings.Values().Shards()) },
		FlushWindow: func() time.Duration { return n.settings.Values().Seconds(settings.KeyRRDFlushWindow) },
		Archives:    func() []rrdcached.Archive { return n.settings.Values().Archives() },
	}, func(key string) journal.Lease {
		return cluster.NewLease(n.journalRedis, key, nodeID, recorderTTL)
	}, n.metrics, n.log.With("role", "recorder"))
}

func (n *node) queueMonitor(c *ops.Config) {
	c.Routes = map[string]http.Handler{producer.QueueMonitorPath: producer.QueueMonitor(n.redis)}
}
