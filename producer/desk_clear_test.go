package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/tasks"
)

// packagedRig is a rig on a Redis with the users of packaging/redis, as the one that nodes log in as.
func packagedRig(t *testing.T) *rig {
	t.Helper()
	server := polluxtest.PackagedRedis(t, 0)
	client := redis.NewClient(&redis.Options{
		Network: "unix", Addr: server.Socket, Username: "pollux", Password: polluxtest.PolluxPassword, DisableIdentity: true, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { _ = client.Close() })
	r := newRigOn(t, client, slog.New(slog.NewTextHandler(t.Output(), nil)), "p1", thirty(0, 10)...)
	r.store.groups = []device.Group{{ID: 3, Name: "Berlin"}}
	return r
}

// fail lets a server of asynq fail all that waits in the queue of a group, for good.
func (r *rig) fail(t *testing.T, group int64, because string, n int) {
	t.Helper()
	name, inspector := tasks.Queue(tasks.KindPoller, group), asynq.NewInspectorFromRedisClient(r.client)
	server := asynq.NewServerFromRedisClient(r.client, asynq.Config{Queues: map[string]int{name: 1}, Concurrency: 4, LogLevel: asynq.FatalLevel, TaskCheckInterval: 100 * time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		return fmt.Errorf("%s: %w", because, asynq.SkipRetry)
	})); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	polluxtest.Eventually(t, time.Minute, "the tasks failed", func() bool {
		info, err := inspector.GetQueueInfo(name)
		return err == nil && info.Archived == n
	})
}

// left counts the tasks of a queue that failed, those that wait, and the keys of tasks.
func (r *rig) left(t *testing.T, name string) [3]int64 {
	t.Helper()
	var keys int64
	for cursor := uint64(0); ; {
		found, next, err := r.client.Scan(t.Context(), cursor, "asynq:{"+name+"}:t:*", 1000).Result()
		if err != nil {
			t.Fatal(err)
		}
		keys += int64(len(found))
		if cursor = next; cursor == 0 {
			break
		}
	}
	return [3]int64{r.client.ZCard(t.Context(), "asynq:{"+name+"}:archived").Val(), r.client.LLen(t.Context(), "asynq:{"+name+"}:pending").Val(), keys}
}

// TestClearDeletesWhatFailed is done as the user that packaging/redis/users.acl has for nodes.
func TestClearDeletesWhatFailed(t *testing.T) {
	t.Parallel()
	r := packagedRig(t)
	desk, ctx := r.desk(), t.Context()
	r.enqueue(t, 3, 1, 2)
	r.fail(t, 3, "no such thing", 2)
	r.enqueue(t, 3, 5, 1)
	if _, err := desk.Clear(ctx, []string{"poller:3", "poller:9"}, "alice"); !errors.Is(err, ErrNoQueue) || !strings.Contains(err.Error(), "poller:0, poller:3") {
		t.Errorf("of a queue that does not exist: %v", err)
	}
	if left := r.left(t, "poller:3"); left != [3]int64{2, 1, 3} || len(r.store.events) > 0 {
		t.Fatalf("a mistaken name deletes: %v left, events %+v", left, r.store.events)
	}
	cleared, err := desk.Clear(ctx, []string{"poller:3", "poller:0", "poller:3"}, "alice")
	if err != nil || len(cleared) != 2 || cleared[0].Name != "poller:0" || cleared[0].Deleted != 0 || cleared[1].Deleted != 2 || len(cleared[1].Some) != 2 {
		t.Fatalf("cleared: %+v, %v", cleared, err)
	}
	for _, task := range cleared[1].Some {
		if task.Type != tasks.TypePoll || !strings.HasPrefix(task.ID, "poll:") || !strings.HasPrefix(task.LastError, "no such thing") || time.Since(task.Failed) > 5*time.Minute {
			t.Errorf("it is told of %+v", task)
		}
	}
	if left := r.left(t, "poller:3"); left != [3]int64{0, 1, 1} {
		t.Errorf("left are %v, want the task that waits", left)
	}
	if e := r.store.events; len(e) != 1 || e[0].Actor != "alice" || e[0].Type != "queue" || e[0].Message != "queue poller:3 cleared of 2 failed tasks" {
		t.Errorf("events: %+v", e)
	}
}

func TestClearTakesManyBatches(t *testing.T) {
	t.Parallel()
	r := packagedRig(t)
	r.enqueue(t, 0, 1, 2*clearBatch+7)
	r.enqueue(t, 3, 1, 1)
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	for _, name := range []string{"poller:0", "poller:3"} {
		if _, err := inspector.ArchiveAllPendingTasks(name); err != nil {
			t.Fatal(err)
		}
	}
	r.store.broken = true
	cleared, err := r.desk().Clear(t.Context(), nil, "alice")
	if err == nil || !strings.Contains(err.Error(), "is cleared of 1007 failed tasks, but the eventlog") {
		t.Errorf("without the database: %v", err)
	}
	if len(cleared) != 1 || cleared[0].Deleted != 2*clearBatch+7 || len(cleared[0].Some) != clearShown {
		t.Errorf("cleared: %+v", cleared)
	}
	r.store.broken = false
	if cleared, err := r.desk().Clear(t.Context(), nil, "alice"); err != nil || len(cleared) != 2 || cleared[0].Deleted != 0 || cleared[1].Deleted != 1 {
		t.Errorf("cleared: %+v, %v", cleared, err)
	}
	for _, name := range []string{"poller:0", "poller:3"} {
		if left := r.left(t, name); left != [3]int64{} {
			t.Errorf("left in %s are %v", name, left)
		}
	}
}

// TestClearOfDamagedKeys: entries of tasks that wait again, are gone, or never were tasks.
func TestClearOfDamagedKeys(t *testing.T) {
	t.Parallel()
	r := packagedRig(t)
	ctx := t.Context()
	r.enqueue(t, 3, 1, 1)
	waiting := r.client.LIndex(ctx, "asynq:{poller:3}:pending", 0).Val()
	r.client.Set(ctx, "asynq:{poller:3}:t:broken", "x", 0)
	for _, id := range []string{waiting, "broken", "gone"} {
		r.client.ZAdd(ctx, "asynq:{poller:3}:archived", redisZ(time.Now(), id))
	}
	cleared, err := r.desk().Clear(ctx, []string{"poller:3"}, "alice")
	if err != nil || len(cleared) != 1 || cleared[0].Deleted != 3 {
		t.Errorf("cleared: %+v, %v", cleared, err)
	}
	if left := r.left(t, "poller:3"); left != [3]int64{0, 1, 1} || !slices.Contains(r.client.LRange(ctx, "asynq:{poller:3}:pending", 0, -1).Val(), waiting) {
		t.Errorf("left are %v, want the task that waits", left)
	}
}
