package cluster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

// loggedIn is a connection as the user of packaging/redis/users.acl, without
// the pauses after refusals that cluster.Connect brings.
func loggedIn(t *testing.T, user string) *redis.Client {
	t.Helper()
	server := polluxtest.Redis(t, "--aclfile", polluxtest.Packaged(t, "redis/users.acl", t.TempDir()), "--enable-debug-command", "yes")
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, Username: user, Password: polluxtest.PolluxPassword, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// What the packaged user may do is its own keys; what it may not do is all
// that reads other keys or harms the server.
func TestPackagedUserMayDoNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	client := loggedIn(t, "pollux")
	for _, allowed := range []string{
		"SET pollux:x 1", "GET asynq:x", "MEMORY USAGE pollux:x", "INFO memory", "TIME", "SCAN 0", "PUBLISH asynq:cancel x",
		"XADD pollux:{journal:0} * e x", "EVAL return(redis.call('set',KEYS[1],'x')) 1 asynq:{poller:0}:x", "DEL pollux:x",
	} {
		if err := client.Do(t.Context(), arguments(allowed)...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Errorf("%s: %v", allowed, err)
		}
	}
	for _, refused := range []string{
		"CONFIG GET maxmemory", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "KEYS *", "KEYS pollux:*", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1",
		"GET other", "SET other 1", "DEL other", "RENAME pollux:x other", "COPY pollux:x other", "MGET pollux:x other", "XREAD STREAMS other 0",
		"EVAL return(1) 1 other", "EVAL return(redis.call('get','other')) 0", "EVAL return(redis.call('flushall')) 0",
		"ACL LIST", "ACL SETUSER pollux +@all", "ACL WHOAMI", "DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE", "BGREWRITEAOF", "MONITOR",
		"REPLICAOF NO ONE", "SYNC", "PSYNC ? -1", "FAILOVER", "ROLE", "CLUSTER INFO", "MODULE LIST", "CLIENT LIST", "CLIENT KILL TYPE normal",
		"SLOWLOG GET", "LATENCY LATEST", "SORT pollux:x BY other", "MIGRATE 127.0.0.1 1 pollux:x 0 1", "RESTORE pollux:x 0 x",
		"SUBSCRIBE __keyspace@0__:x", "PSUBSCRIBE *", "PUBLISH other x",
	} {
		err := client.Do(t.Context(), arguments(refused)...).Err()
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't") {
			t.Errorf("%s is not refused: %v", refused, err)
		}
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the server does not answer any more: %v", err)
	}
}

// asynqmon in a container looks at the queues, and changes nothing: its own pages
// remove servers that are gone from their lists, and no more.
func TestPackagedAsynqmonMayOnlyLook(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t, "--aclfile", polluxtest.Packaged(t, "compose/asynqmon.acl", t.TempDir()))
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, Password: polluxtest.AsynqmonPassword, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	for _, allowed := range []string{
		"SMEMBERS asynq:queues", "GET asynq:x", "HGETALL asynq:x", "INFO", "LRANGE asynq:x 0 -1", "ZCARD asynq:x", "MEMORY USAGE asynq:x",
		"EVAL return(redis.call('zremrangebyscore',KEYS[1],'-inf','1')) 1 asynq:servers",
	} {
		if err := client.Do(t.Context(), arguments(allowed)...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Errorf("%s: %v", allowed, err)
		}
	}
	for _, refused := range []string{
		"SET asynq:x 1", "DEL asynq:x", "SADD asynq:{poller:0}:paused x", "GET pollux:x", "XRANGE pollux:{journal:0} - +", "KEYS *", "FLUSHALL",
		"CONFIG GET maxmemory", "ACL LIST", "CLIENT KILL TYPE normal", "EVAL return(redis.call('set',KEYS[1],'x')) 1 asynq:x", "SUBSCRIBE asynq:cancel", "SHUTDOWN NOSAVE",
	} {
		err := client.Do(t.Context(), arguments(refused)...).Err()
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't") {
			t.Errorf("%s is not refused: %v", refused, err)
		}
	}
}

func arguments(line string) (words []any) {
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	return words
}

func TestPackagedUsersLeaveNoOtherDoor(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "default"} {
		if err := loggedIn(t, user).Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
			t.Errorf("user %q logs in: %v", user, err)
		}
	}
}
