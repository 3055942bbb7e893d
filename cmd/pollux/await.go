package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/rrdcached"
)

// awaitServers returns when the Redis and RRDCached that are configured have
// answered, or with the error of the first that has not until the deadline.
// Servers that answer and refuse (a wrong password) are not waited for.
func (p *program) awaitServers(ctx context.Context, deadline time.Time) error {
	c, err := p.boot()
	if err != nil {
		return err
	}
	log := p.logger(c.LogLevel)
	cluster.LibraryLog{Log: p.logger("error")}.Install() // what it would print is in the error
	servers := []config.Redis{c.Redis}
	if c.JournalOwn {
		servers = append(servers, c.JournalRedis)
	}
	for _, server := range servers {
		if !configured(server) {
			continue
		}
		server.Timeout = max(time.Until(deadline), 0)
		client, err := cluster.Connect(ctx, server, log, cluster.Name("pollux-cli"))
		if err != nil {
			return err
		}
		if err := client.Close(); err != nil {
			return err
		}
	}
	for _, target := range c.RRDCached {
		if err := awaitRRDCached(ctx, target, deadline, log); err != nil {
			return err
		}
	}
	return nil
}

// awaitRRDCached asks an RRDCached each second until it answers.
func awaitRRDCached(ctx context.Context, target string, deadline time.Time, log *slog.Logger) error {
	for told := false; ; told = true {
		err := pingRRDCached(ctx, target)
		if err == nil || !errors.Is(err, rrdcached.ErrConnection) || time.Now().After(deadline) {
			return err
		}
		if !told {
			log.Info("RRDCached does not answer yet", "target", target, "err", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
