package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	// clearBatch is how many failed tasks go in one step of Redis, which answers nobody else meanwhile.
	clearBatch = 500
	// clearShown is how many of the tasks that go are told of, by queue.
	clearShown = 10
)

// FailedTask is a task that failed for good. Its texts come from Redis and are not to be trusted.
type FailedTask struct {
	Type, ID, LastError string

	Failed time.Time // zero when it is not known
}

// Cleared is a queue that Clear was asked for.
type Cleared struct {
	Name    string
	Deleted int
	Some    []FailedTask // up to 10 of them, those that failed first
}

// Clear deletes the tasks that failed for good, which asynq calls archived and
// keeps for 90 days, of the queues of those names, or of all when there are
// none. Those that fail meanwhile may stay. actor stands in the event. What was
// deleted is in the answer also when there is an error. ErrNoQueue names the queues there are; nothing is deleted then.
func (d *Desk) Clear(ctx context.Context, names []string, actor string) ([]Cleared, error) {
	queues, err := d.named(ctx, names...)
	if err != nil {
		return nil, err
	}
	var all []Cleared
	for _, name := range queues {
		cleared, err := d.clear(ctx, name)
		if cleared.Deleted > 0 {
			err = errors.Join(err, d.tell(ctx, name, "cleared of "+count(cleared.Deleted, "failed task"), actor))
		}
		if err == nil || cleared.Deleted > 0 {
			all = append(all, cleared)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// clear deletes the failed tasks of one queue, as many as there are when it begins.
func (d *Desk) clear(ctx context.Context, name string) (Cleared, error) {
	cleared := Cleared{Name: name}
	left, err := d.deps.Redis.ZCard(ctx, archivedKey(name)).Result()
	if err != nil {
		return cleared, fmt.Errorf("count the failed tasks of queue %s: %w", name, err)
	}
	if left > 0 {
		cleared.Some = d.failed(name)
	}
	for left > 0 {
		gone, err := clearScript.Run(ctx, d.deps.Redis, []string{archivedKey(name)}, taskPrefix(name), min(left, clearBatch)).Int64()
		if err != nil {
			return cleared, fmt.Errorf("delete the failed tasks of queue %s: %w", name, err)
		}
		if gone == 0 { // somebody else deletes them too
			break
		}
		left -= gone
		cleared.Deleted += int(gone)
	}
	cleared.Some = cleared.Some[:min(len(cleared.Some), cleared.Deleted)]
	return cleared, nil
}

// failed reads the first failed tasks of a queue. What cannot be read, because
// its keys are damaged, is not told of: it must be possible to delete it all the same.
func (d *Desk) failed(name string) []FailedTask {
	infos, err := d.inspector.ListArchivedTasks(name, asynq.PageSize(clearShown))
	if err != nil {
		return nil
	}
	var found []FailedTask
	for _, info := range infos {
		found = append(found, FailedTask{Type: info.Type, ID: info.ID, LastError: info.LastErr, Failed: info.LastFailedAt})
	}
	return found
}

// archivedKey is where asynq keeps the ids of a queue's tasks that failed for good.
func archivedKey(queue string) string { return "asynq:{" + queue + "}:archived" }

// taskPrefix stands before the id of a task in the name of its key.
func taskPrefix(queue string) string { return "asynq:{" + queue + "}:t:" }

// clearScript deletes the first ARGV[2] failed tasks of KEYS[1] and says how
// many entries that were. asynq's own script deletes all of them in one step,
// and whatever bears their ids, be it that somebody had the task run again.
// Pollux makes no unique tasks, so no lock of asynq is left behind.
var clearScript = redis.NewScript(`
local ids = redis.call("ZRANGE", KEYS[1], 0, ARGV[2] - 1)
for _, id in ipairs(ids) do
	local key = ARGV[1] .. id
	local state = redis.pcall("HGET", key, "state")
	if not state or state == "archived" or type(state) == "table" then
		redis.call("DEL", key)
	end
	redis.call("ZREM", KEYS[1], id)
end
return #ids`)

// named are the queues of those names, each once, or all when there are none. ErrNoQueue names the queues there are.
func (d *Desk) named(ctx context.Context, names ...string) ([]string, error) {
	var v view
	if err := d.groupsOf(ctx, &v); err != nil {
		return nil, err
	}
	there, err := d.queueNames(v)
	if err != nil || len(names) == 0 {
		return there, err
	}
	for _, name := range names {
		if !slices.Contains(there, name) {
			return nil, fmt.Errorf("%w: %.60q; there are %s", ErrNoQueue, name, some(there))
		}
	}
	names = slices.Clone(names)
	slices.SortFunc(names, compareQueues)
	return slices.Compact(names), nil
}
