package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"pollux/tasks"
)

// Pending counts the tasks of a kind (tasks.KindPoller, ...) that wait in the queues of poller groups. Every
// group that is asked for is in the answer; a queue that does not exist is empty.
func Pending(ctx context.Context, client redis.UniversalClient, kind string, groups []int64) (map[int64]int64, error) {
	waiting := make(map[int64]int64, len(groups))
	for _, group := range groups {
		waiting[group] = 0
	}
	if len(waiting) == 0 {
		return waiting, nil
	}
	lengths := make(map[int64]*redis.IntCmd, len(waiting))
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for group := range waiting {
			lengths[group] = pipe.LLen(ctx, "asynq:{"+tasks.Queue(kind, group)+"}:pending")
		}
		return nil
	})
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) { // a reply concerns one key only, of another type
		return nil, fmt.Errorf("count the tasks that wait in Redis: %w", err)
	}
	for group, length := range lengths {
		waiting[group] = length.Val()
	}
	return waiting, nil
}
