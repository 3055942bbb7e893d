package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// ErrTargetShard says that one RRDCached was named for two shards.
var ErrTargetShard = errors.New("this RRDCached records another shard")

// ownScript notes the shard of a target, and returns the one that is noted.
//
//	KEYS owners
//	ARGV target, shard
var ownScript = redis.NewScript(`
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])
`)

// own refuses a target that records another shard: the two logs know nothing of
// each other's updates, and each would take those of the other for its own.
func (j *Journal) own(ctx context.Context, target string) error {
	shard, err := ownScript.Run(ctx, j.client, []string{common(keyOwners)}, target, j.shard).Text()
	if err != nil {
		return fmt.Errorf("note the shard of target %s: %w", target, err)
	}
	if shard != j.shard {
		return fmt.Errorf("%w, %.20s, and not shard %s; correct RRDCACHED or the setting rrd.shards, or, if no node feeds it any more: pollux journal forget %s",
			ErrTargetShard, shard, j.shard, target)
	}
	return nil
}

// Owners are the shards of the targets that recorders ever reached, by their
// ids, until they are forgotten: those too that are not in force any more. A value that makes no sense is left out.
func (s *Shards) Owners(ctx context.Context) (map[string]int, error) {
	all, err := s.client.HGetAll(ctx, common(keyOwners)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the shards of the targets: %w", err)
	}
	owners := make(map[string]int, len(all))
	for target, text := range all {
		if shard, err := strconv.Atoi(text); err == nil && shard >= 0 && shard <= MaxShard {
			owners[target] = shard
		}
	}
	return owners, nil
}

// ForgetTarget is Journal.ForgetTarget for a target of whatever shard. inForce
// are the shards that devices may be in: when the last target of another one is
// forgotten, its log goes with it, which nobody will read.
func (s *Shards) ForgetTarget(ctx context.Context, target string, inForce []int) error {
	shard, err := s.ShardOf(ctx, target, inForce)
	if err != nil {
		return err
	}
	return s.Shard(shard).forget(ctx, target, shard != 0 && !slices.Contains(inForce, shard))
}

// ShardOf is the shard of a target. One that no recorder has reached, such as one that
// was only seeded, and one of an older program, which knew one shard only, is in the list of its shard. inForce is as for ForgetTarget. ErrNoTarget.
func (s *Shards) ShardOf(ctx context.Context, target string, inForce []int) (int, error) {
	owners, err := s.Owners(ctx)
	if err != nil {
		return 0, err
	}
	if shard, known := owners[target]; known {
		return shard, nil
	}
	for _, shard := range slices.Concat(inForce, slices.Collect(maps.Values(owners))) {
		known, err := s.client.SIsMember(ctx, s.Shard(shard).key("targets"), target).Result()
		if err != nil {
			return 0, fmt.Errorf("read the targets of shard %d: %w", shard, err)
		}
		if known {
			return shard, nil
		}
	}
	return 0, fmt.Errorf("%w: %.40q", ErrNoTarget, target)
}
