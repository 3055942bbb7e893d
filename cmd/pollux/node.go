package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/ops"
	"pollux/rrdcached"
	"pollux/settings"
	"pollux/store"
)

// dialLimit is how long a check waits for RRDCached.
const dialLimit = 2 * time.Second

// node is what every role of one process works with.
type node struct {
	config   config.Config
	log      *slog.Logger
	metrics  *prometheus.Registry
	store    *store.Store
	redis    cluster.Client
	journal  *journal.Journal // of shard 0
	shards   *journal.Shards
	clock    *cluster.Clock
	watch    *cluster.Watch
	settings *settings.Live
	cluster  string // id of the cluster

	journalRedis cluster.Client // the same as redis, unless the journal has its own

	services []func(context.Context) error // run until the roles have ended
	roles    []func(context.Context) error // run until the process is told to stop
	members  []*cluster.Member             // one per role

	also    []ops.Check   // of the roles
	crew    *journal.Crew // of a process that records
	closers []func() error
	ops     *ops.Server // from run on

	identity identify
}

// openNode connects to everything that a role needs. What fails here ends the
// process with an error that says what to do; what fails later is waited for.
//
// A role claims a Redis that has no id of a cluster; a command does not.
func openNode(ctx context.Context, c config.Config, log *slog.Logger, identity identify) (n *node, err error) {
	n = &node{config: c, log: log, metrics: newMetrics(), identity: identity}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.store, err = openStore(ctx, c, log); err != nil {
		return n, err
	}
	n.closers = append(n.closers, n.store.Close)
	if n.cluster, err = n.store.ClusterID(ctx); err != nil {
		return n, err
	}
	cluster.LibraryLog{Log: log}.Install()
	if n.redis, err = cluster.Connect(ctx, c.Redis, log, cluster.Name("pollux-"+c.NodeID)); err != nil {
		return n, err
	}
	n.closers = append(n.closers, n.redis.Close)
	if err = identity(ctx, n.store, n.redis, n.cluster); err != nil {
		return n, withDatabase(err, n.store)
	}
	if err = n.openJournal(ctx); err != nil {
		return n, err
	}
	// The journal's Redis judges what lies in the future, so samples are dated by its clock.
	n.clock = cluster.NewClock(n.journalRedis, log, n.metrics)
	if err = n.clock.Sync(ctx); err != nil {
		return n, err
	}
	n.watch = cluster.NewWatch(n.redis, log, n.metrics)
	n.settings = settings.NewLive(n.store.LoadSettings, log)
	if err = n.settings.Refresh(ctx); err != nil {
		return n, err
	}
	n.services = append(n.services, n.clock.Run, n.watch.Run, n.settings.Run, n.watchDatabase())
	return n, nil
}

// openStore opens the inventory, and for as long as REDIS_TIMEOUT says tries
// again while the database does not answer: machines start in any order.
func openStore(ctx context.Context, c config.Config, log *slog.Logger) (*store.Store, error) {
	deadline := time.Now().Add(c.Redis.Timeout)
	for {
		s, err := store.Open(ctx, c.Database, c.AppKey, log)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || time.Now().After(deadline) {
			return s, err
		}
		log.Warn("the database does not answer yet", "err", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Second):
		}
	}
}

// openJournal opens the journal in its own Redis where it has one.
func (n *node) openJournal(ctx context.Context) error {
	client := n.redis
	if n.config.JournalOwn {
		own, err := cluster.Connect(ctx, n.config.JournalRedis, n.log, cluster.Name("pollux-journal-"+n.config.NodeID))
		if err != nil {
			return fmt.Errorf("the journal's Redis (JOURNAL_REDIS_*): %w", err)
		}
		n.closers = append(n.closers, own.Close)
		if err := n.identity(ctx, n.store, own, n.cluster); err != nil {
			return fmt.Errorf("the journal's Redis (JOURNAL_REDIS_*): %w", withDatabase(err, n.store))
		}
		client = own
	}
	n.journalRedis = client
	n.shards = journal.NewShards(client)
	n.journal = n.shards.Shard(0)
	return nil
}

// withDatabase names the database too when something else belongs to another cluster.
func withDatabase(err error, s *store.Store) error {
	if errors.Is(err, cluster.ErrOtherCluster) || errors.Is(err, journal.ErrOtherCluster) {
		return fmt.Errorf("database %s: %w", s.Server(), err)
	}
	return err
}

// newMetrics is a registry with what every process exports.
func newMetrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pollux_build_info", Help: "Always 1; the version is in the label.", ConstLabels: prometheus.Labels{"version": currentVersion()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// watchDatabase keeps the metric pollux_db_up.
func (n *node) watchDatabase() func(context.Context) error {
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pollux_db_up", Help: "Whether the database answered within the last seconds."})
	up.Set(1)
	n.metrics.MustRegister(up)
	return func(ctx context.Context) error {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if err := n.store.Ping(ctx); err != nil {
				up.Set(0)
			} else {
				up.Set(1)
			}
		}
	}
}

// checks are what /readyz asks. Without the database a node goes on polling, so that only degrades it.
func (n *node) checks() []ops.Check {
	all := []ops.Check{
		{Name: "db", Degrades: true, Run: n.store.Ping},
		{Name: "schema", Degrades: true, Run: n.store.Check},
		{Name: "redis", Run: func(ctx context.Context) error { return cluster.Ping(ctx, n.redis) }},
		{Name: "clock", Run: func(context.Context) error {
			if n.clock.Skewed() {
				return errors.New("this machine's clock differs from that of Redis by more than it may; check its time synchronisation")
			}
			return nil
		}},
	}
	for _, member := range n.members {
		all = append(all, ops.Check{Name: "drain_" + member.Role(), Degrades: true, Run: func(context.Context) error {
			if !member.Draining() {
				return nil
			}
			return fmt.Errorf("this node is %s; to have it work again run: pollux node undrain %s:%s", member.State(), member.Role(), member.NodeID())
		}})
	}
	if n.config.JournalOwn {
		all = append(all, ops.Check{Name: "journal_redis", Run: func(ctx context.Context) error { return cluster.Ping(ctx, n.journalRedis) }})
	}
	for _, target := range n.config.RRDCached {
		name := "rrdcached"
		if len(n.config.RRDCached) > 1 {
			name += ":" + target
		}
		// A target that is away costs nothing: the journal keeps what it must get.
		all = append(all, ops.Check{Name: name, Degrades: true, Run: func(ctx context.Context) error { return n.reachesRRDCached(ctx, target) }})
	}
	if n.crew != nil {
		all = append(all, ops.Check{Name: "rrd_shards", Degrades: true, Run: func(context.Context) error { return n.reachesShards() }})
	}
	return append(all, n.also...)
}

// reachesShards is nil if this process records to every RRDCached of the setting rrd.shards.
func (n *node) reachesShards() error {
	var all error
	for post, err := range n.crew.Health() {
		if post.Shard > 0 && err != nil {
			all = errors.Join(all, fmt.Errorf("shard %d, %s: %w", post.Shard, post.Target, err))
		}
	}
	return all
}

// reachesRRDCached is nil if an RRDCached works for this process: it
// answers, and nothing interrupts the recorder, which needs more than an answer.
func (n *node) reachesRRDCached(ctx context.Context, target string) error {
	if err := pingRRDCached(ctx, target); err != nil {
		return err
	}
	if n.crew == nil {
		return nil
	}
	return n.crew.Health()[journal.Post{Target: target}]
}

func pingRRDCached(ctx context.Context, target string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	client, err := rrdcached.Dial(ctx, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return client.Ping(ctx)
}

// join makes the process a member of the cluster in a role, for as long as it runs.
func (n *node) join(ctx context.Context, role string, serves bool) (*cluster.Member, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find this machine's name: %w", err)
	}
	member, err := cluster.NewMember(cluster.MemberConfig{
		Info: cluster.NodeInfo{
			Role: role, NodeID: n.config.NodeID, Host: host, PID: os.Getpid(), Version: currentVersion(), Started: time.Now(),
			Keys: n.config.AppKey.IDs(),
		},
		Serves: serves, Own: n.config.Groups,
	}, cluster.MemberDeps{
		Client: n.redis, Rows: n.store, Groups: n.store.Groups, Clock: n.clock, Log: n.log,
		Distributed: func() bool { return n.settings.Values().Bool(settings.KeyDistributedPoller) },
	})
	if err != nil {
		return nil, err
	}
	if err := member.Join(ctx); err != nil {
		return nil, err
	}
	// The key may have changed since the inventory was opened. From here on who changes it sees this node.
	if err := n.store.Check(ctx); err != nil {
		return nil, err
	}
	n.members = append(n.members, member)
	n.services = append(n.services, member.Run)
	return member, nil
}

// run runs the roles until ctx ends, lets them drain, then ends the services they stand on.
func (n *node) run(ctx context.Context, listen string, routes ...func(*ops.Config)) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	services, serving := errgroup.WithContext(serving)
	roles, working := errgroup.WithContext(ctx)
	opsConfig := ops.Config{Listen: listen, Hosts: n.config.OpsHosts, Gatherer: n.metrics, Checks: n.checks()}
	for _, add := range routes {
		add(&opsConfig)
	}
	n.ops = ops.New(opsConfig, n.log)
	n.services = append(n.services, n.ops.Run, n.keepClaim)
	for _, service := range n.services {
		services.Go(func() error { return service(serving) })
	}
	for _, role := range n.roles {
		roles.Go(func() error { return role(working) })
	}
	// A service that fails takes the roles with it: they cannot work without.
	roles.Go(func() error {
		select {
		case <-working.Done():
			return nil
		case <-serving.Done():
			return context.Cause(serving)
		}
	})
	err := roles.Wait()
	stopServing()
	if serviceErr := services.Wait(); serviceErr != nil {
		return serviceErr
	}
	return err
}

func (n *node) close() error {
	var all error
	for i := len(n.closers) - 1; i >= 0; i-- {
		all = errors.Join(all, n.closers[i]())
	}
	return all
}
