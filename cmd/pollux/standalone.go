package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"pollux/config"
	"pollux/standalone"
	"pollux/store"
)

func (p *program) standaloneCommand() *cobra.Command {
	return &cobra.Command{
		Use: "standalone", Short: "Run everything on this machine, with a redis-server and an rrdcached of its own", Args: words(0),
		Long: `Runs producer, consumer and recorder in one process on a data directory. Where
no Redis or RRDCached is configured it starts redis-server and rrdcached as
children; where no database is configured it keeps a SQLite file. Moving to
external ones is configuration only.`,
		Example: "  pollux standalone --data-dir /var/lib/pollux\n  pollux --data-dir /var/lib/pollux device add sw1 -c env:COMMUNITY",
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.standalone(command.Context(), nil)
		}),
	}
}

// standalone runs the whole of it. beside, when there is one, runs along as
// soon as everything is up; its end ends the rest.
func (p *program) standalone(ctx context.Context, beside func(context.Context, *node) error) error {
	given, err := config.Load(p.envFile, p.environ)
	if err != nil {
		return err
	}
	c, err := p.boot()
	if err != nil {
		return err
	}
	if c.DataDir == "" {
		return usagef("say where the data is to be kept: --data-dir DIR, or POLLUX_DATA_DIR")
	}
	log := p.logger(c.LogLevel)
	children, err := standalone.New(standalone.Config{
		DataDir: c.DataDir, Redis: !configured(given.Redis), RRDCached: len(given.RRDCached) == 0,
	}, log)
	if err != nil {
		return err
	}
	// The children outlive the roles, which write to them while they drain.
	childrenContext, stopChildren := context.WithCancel(context.WithoutCancel(ctx))
	defer stopChildren()
	group, running := errgroup.WithContext(childrenContext)
	group.Go(func() error { return children.Run(running) })
	group.Go(func() error {
		defer stopChildren()
		work, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(running, cancel) // the children failed: nothing can go on
		defer stop()
		return p.onChildren(work, c, children, beside)
	})
	return group.Wait()
}

func (p *program) onChildren(ctx context.Context, c config.Config, children *standalone.Children, beside func(context.Context, *node) error) (err error) {
	if err := children.Ready(ctx); err != nil {
		return orNil(ctx, err)
	}
	if c, err = p.withIdentity(c); err != nil {
		return err
	}
	log := p.logger(c.LogLevel)
	m, err := store.OpenMigrator(ctx, c.Database, c.AppKey, log)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	if err = errors.Join(err, m.Close()); err != nil {
		return err
	}
	n, err := openNode(ctx, c, log, claimRedis)
	if err != nil {
		return orNil(ctx, err)
	}
	defer func() { err = errors.Join(err, n.close()) }()
	p.followLevel(n.settings)
	if err := refuseSharedSQLite(ctx, n); err != nil {
		return err
	}
	if err := errors.Join(n.addProducer(ctx), n.addConsumer(ctx)); err != nil {
		return orNil(ctx, err)
	}
	listen := c.OpsListen
	if listen == "" {
		listen = opsProducer
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if beside != nil {
		n.roles = append(n.roles, func(ctx context.Context) error {
			defer cancel()
			return beside(ctx, n)
		})
	}
	return n.run(ctx, listen, n.queueMonitor)
}

// orNil forgets an error that only says that the process was told to stop.
func orNil(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
