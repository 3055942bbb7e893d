package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/store"
)

// claimEvery is how often a running node looks whether its Redis still has the cluster's id.
const claimEvery = 10 * time.Second

// surelyGone is how long a node that does not stand in Redis must have been
// silent until a command takes it for dead: it refreshes its row every minute.
const surelyGone = 2 * time.Minute

// identify compares the cluster of a Redis with that of the database.
type identify func(ctx context.Context, s *store.Store, client cluster.Client, id string) error

// claimRedis is how a node does it: a Redis without an id becomes the cluster's.
func claimRedis(ctx context.Context, _ *store.Store, client cluster.Client, id string) error {
	return cluster.EnsureID(ctx, client, id)
}

// knowRedis is how a command does it: it writes nothing, and a Redis without
// an id is a wrong one as soon as a node has ever lived.
func knowRedis(ctx context.Context, s *store.Store, client cluster.Client, id string) error {
	err := cluster.SameID(ctx, client, id)
	if !errors.Is(err, cluster.ErrUnclaimed) {
		return err
	}
	rows, rowsErr := s.Nodes(ctx)
	if rowsErr != nil {
		return rowsErr
	}
	if len(rows) == 0 {
		return nil
	}
	return err
}

// keepClaim puts the cluster's id back into a Redis that lost its data while
// the node runs, so that commands know it again.
func (n *node) keepClaim(ctx context.Context) error {
	clients := []cluster.Client{n.redis}
	if n.config.JournalOwn {
		clients = append(clients, n.journalRedis)
	}
	told := false
	tick := time.NewTicker(claimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, client := range clients {
			// One that does not answer is told by those who need it.
			if err := cluster.EnsureID(ctx, client, n.cluster); errors.Is(err, cluster.ErrOtherCluster) && !told {
				n.log.Error("Redis has become that of another cluster; correct that, then restart this node", "err", err)
				told = true
			}
		}
	}
}

// maybeAlive are the nodes whose rows are too young, and say nothing of an
// end, for them to be taken for dead although Redis does not know them.
func maybeAlive(processes []cluster.Process) []device.Node {
	var young []device.Node
	for _, process := range processes {
		for _, s := range process.Roles {
			if s.Live == nil && s.Row.State != device.NodeStopped && time.Since(s.Row.LastSeen) < surelyGone {
				young = append(young, s.Row)
			}
		}
	}
	return young
}

// refuseYoung names the nodes that may live although Redis does not know them.
func refuseYoung(young []device.Node) error {
	if len(young) == 0 {
		return nil
	}
	var names []string
	for _, n := range young[:min(len(young), maxNamedNodes)] {
		names = append(names, fmt.Sprintf("%s %s (host %s, pid %d, seen %s)", n.Role, n.NodeID, n.Host, n.PID, ago(n.LastSeen)))
	}
	if more := len(young) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w: Redis does not know nodes that the database has seen within %s, so they may live: %s; correct REDIS_* if it is another Redis than theirs; "+
		"if they are dead, wait until they were silent for %s, or give --stopped", config.ErrInvalid, surelyGone, strings.Join(names, ", "), surelyGone)
}
