package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Abandon removes from a queue the active tasks whose lease ended before a
// time, or that have none: those of nodes that died. asynq itself recovers
// them, but only on a node that serves the queue. It is for queues that nobody
// serves any more. It returns how many tasks are left active.
func Abandon(ctx context.Context, client redis.UniversalClient, queue string, before time.Time) (left int, err error) {
	key := queueKeys(queue)
	left, err = abandonScript.Run(ctx, client, []string{key.active, key.lease}, key.task, before.Unix()).Int()
	return left, wrap(err, "remove the abandoned tasks", queue)
}

// abandonScript looks at the oldest 2,000 active tasks, far more than a node has.
// KEYS: active, lease. ARGV: how the keys of tasks begin, Unix second.
var abandonScript = redis.NewScript(fmt.Sprintf(`
for _, id in ipairs(redis.call('LRANGE', KEYS[1], -%d, -1)) do
	local ends = redis.call('ZSCORE', KEYS[2], id)
	if not ends or tonumber(ends) < tonumber(ARGV[2]) then
		redis.call('LREM', KEYS[1], 0, id)
		redis.call('ZREM', KEYS[2], id)
		redis.call('DEL', ARGV[1] .. id)
	end
end
return redis.call('LLEN', KEYS[1])`, maxIDs))
