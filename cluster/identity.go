package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// ErrOtherCluster says that this Redis belongs to another cluster than the database.
var ErrOtherCluster = errors.New("Redis and the database belong to two clusters")

// ErrUnclaimed says that this Redis has no id of a cluster: it is not the one
// that the nodes use, or it lost its data and no node has claimed it since.
var ErrUnclaimed = errors.New("Redis has no id of a cluster")

// claimScript stores the id when there is none, and returns the one that stands, cut to 255 bytes.
// It reads first, so that a node can start while Redis refuses writes.
var claimScript = redis.NewScript(`
local there = redis.call('GETRANGE', KEYS[1], 0, 254)
if there ~= '' then
	return there
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`)

// EnsureID compares the cluster id of the database with the one in Redis
// (pollux:cluster), and stores it there when Redis has none yet. Two different ids
// are ErrOtherCluster: two clusters in one Redis would poll each other's devices
// and write each other's files.
func EnsureID(ctx context.Context, client redis.UniversalClient, id string) error {
	if id == "" {
		return errors.New("check the cluster id: the database has none; run: pollux migrate")
	}
	found, err := claimScript.Run(ctx, client, []string{clusterKey}, id).Text()
	if err != nil {
		return fmt.Errorf("check the cluster id in Redis: %w", err)
	}
	return compareID(client, id, found)
}

// SameID is EnsureID for whoever does not run for the cluster: it writes
// nothing, and a Redis that has no id is ErrUnclaimed.
func SameID(ctx context.Context, client redis.UniversalClient, id string) error {
	found, err := client.GetRange(ctx, clusterKey, 0, maxText-1).Result()
	if err != nil {
		return fmt.Errorf("check the cluster id in Redis: %w", err)
	}
	if found == "" {
		return fmt.Errorf("%w: Redis at %s lacks the key %s, so it is not known to be that of the nodes: "+
			"correct REDIS_*; when it is the right one and lost its data, a producer or consumer that runs writes the key within seconds",
			ErrUnclaimed, serverOf(client), clusterKey)
	}
	return compareID(client, id, found)
}

func compareID(client redis.UniversalClient, id, found string) error {
	if found != id {
		return fmt.Errorf("%w: the database has the id %s, Redis at %s has %s: "+
			"correct DB_* or REDIS_*, or give this cluster a Redis (or REDIS_DB) of its own; "+
			"if that Redis is free for this cluster, delete its key %s",
			ErrOtherCluster, printable(id), serverOf(client), printable(found), clusterKey)
	}
	return nil
}

// serverOf names the server of a client for people.
func serverOf(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *followingClient:
		where := "the master of " + c.Options().Addr
		if master := c.follower.following(); master != "" {
			where = master
		}
		return fmt.Sprintf("%s (which the Sentinels name) database %d", where, c.Options().DB)
	case *redis.Client:
		return fmt.Sprintf("%s database %d", c.Options().Addr, c.Options().DB)
	}
	return "its address"
}
