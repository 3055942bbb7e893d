package journal

import (
	"context"
	"errors"
	"fmt"
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

// ForgetTarget is Journal.ForgetTarget for a target of whatever shard.
func (s *Shards) ForgetTarget(ctx context.Context, target string) error {
	shard := 0
	switch text, err := s.client.HGet(ctx, common(keyOwners), target).Result(); {
	case errors.Is(err, redis.Nil): // an older program did not note it, when there was one shard only
	case err != nil:
		return fmt.Errorf("read the shard of target %.40s: %w", target, err)
	default:
		if shard, err = strconv.Atoi(text); err != nil || shard < 0 || shard > MaxShard {
			return fmt.Errorf("%w: its shard is %.20q", ErrNoTarget, text)
		}
	}
	return s.Shard(shard).ForgetTarget(ctx, target)
}
