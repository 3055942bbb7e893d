package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pollux/cluster"
	"pollux/producer"
	"pollux/settings"
	"pollux/store"
)

// shardsTTL is longer than a change of rrd.shards takes.
const shardsTTL = time.Minute

// errMoving says that devices go from shard to shard.
var errMoving = errors.New("devices are being moved to other shards")

// changeShards changes rrd.shards. The store refuses that when a shard is left out
// which has devices by the inventory; here the journal is asked too, which says where the entries of a device go
// and may be ahead. Nobody moves devices meanwhile.
func (p *program) changeShards(ctx context.Context, value string, change func(s *store.Store) error) error {
	shards, err := settings.ParseShards(value)
	if err != nil {
		return usagef("%v", err)
	}
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) (err error) {
		lease := n.moverLease(shardsTTL)
		held, err := lease.TryAcquire(ctx)
		if err != nil {
			return err
		}
		if !held {
			return fmt.Errorf("%w; try again when pollux rrd rebalance has ended; one that was killed counts for %v", errMoving, moverTTL)
		}
		defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
		if err := n.checkHomes(ctx, store.ShardNumbers(shards)); err != nil {
			return err
		}
		return change(n.store)
	})
}

// moverLease is held by the one who moves devices.
func (n *node) moverLease(ttl time.Duration) *cluster.Lease {
	return cluster.NewLease(n.journalRedis, "pollux:{journal:0}:mover", orDefault(n.config.NodeID, "cli"), ttl)
}

// checkHomes refuses to leave out a shard to which a device was moved that the inventory has elsewhere.
func (n *node) checkHomes(ctx context.Context, kept []int) error {
	homes, err := n.shards.Homes(ctx)
	if err != nil {
		return err
	}
	count, first := 0, ""
	for d, err := range eachDevice(ctx, n.store) {
		if err != nil {
			return err
		}
		home, moved := homes[d.ID]
		if !moved || home == d.Shard || slices.Contains(kept, home) {
			continue
		}
		if count++; count == 1 {
			first = fmt.Sprintf("%s in shard %d", d.Hostname, home)
		}
	}
	if count > 0 {
		return usagef("%d devices were moved to shards that would be left out, such as %s, and the inventory does not know yet; run first: pollux rrd rebalance", count, first)
	}
	return nil
}
