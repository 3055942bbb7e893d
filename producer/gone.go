package producer

import (
	"context"
	"fmt"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/tasks"
)

// goneAfter is how long a poller group must have been gone before its queues are removed.
const goneAfter = 10 * time.Minute

// leaseLapsed is how long ago the lease of an active task must have ended for
// its node to be dead: a live one renews it, 30 s long, every few seconds.
const leaseLapsed = time.Minute

// removeGone removes the queues of poller groups that do not exist any more:
// nobody takes their tasks, which are void, since their devices are in other
// groups. A queue with active tasks stays until they have ended, or until the
// node that had them is surely dead.
func (t *term) removeGone(ctx context.Context, s *Schedule, looks []queueLook) {
	names := t.groupNames()
	if names == nil || !t.reportKnown {
		return
	}
	now, there := t.deps.Clock.Now(), map[string]bool{}
	for _, q := range looks {
		_, group := tasks.SplitQueue(q.Queue)
		if group < 0 || exists(names, group) || s.Groups()[group] > 0 {
			continue
		}
		since, seen := t.memory.report.Gone[q.Queue]
		if !seen {
			since = now.Unix()
		}
		if now.Sub(time.Unix(since, 0)) >= goneAfter && t.mayOffer() && t.removeQueue(ctx, q, now) {
			continue
		}
		if there[q.Queue] = true; len(t.memory.report.Gone) < maxQueues {
			t.memory.report.Gone[q.Queue] = since
		}
	}
	for name := range t.memory.report.Gone {
		if !there[name] {
			delete(t.memory.report.Gone, name)
		}
	}
}

// removeQueue removes one queue and says whether it is gone.
func (t *term) removeQueue(ctx context.Context, q queueLook, now time.Time) bool {
	if q.Active > 0 {
		if left, err := cluster.Abandon(ctx, t.deps.Redis, q.Queue, now.Add(-leaseLapsed)); err != nil || left > 0 {
			t.log.Debug("the queue of a removed poller group has active tasks", "queue", q.Queue, "active", left, "err", err)
			return false
		}
	}
	if err := t.queues.remove(ctx, q.Queue); err != nil {
		t.log.Warn("the queue of a removed poller group cannot be removed; the next look tries again", "queue", q.Queue, "err", err)
		return false
	}
	t.renewClient.Store(true)
	t.renewDiscoveries.Store(true)
	t.renewBills.Store(true)
	held := q.Pending + q.Active + q.Retry + q.Scheduled + q.Archived
	t.log.Info("the queue of a removed poller group was removed", "queue", q.Queue, "tasks", held)
	t.chronicle.add(device.Event{
		Time: now, Type: eventCoverage, Severity: device.SeverityInfo, Node: t.config.NodeID,
		Message: fmt.Sprintf("queue %s of a removed poller group was removed with %s", q.Queue, count(held, "task")),
	})
	return true
}

// remove deletes a queue with all that asynq keeps of it. asynq's own removal
// leaves finished tasks, which only a server of the queue would clean up, and
// the mark of a pause, which the next group of that number would inherit.
func (q *queues) remove(ctx context.Context, name string) error {
	if _, err := q.inspector.DeleteAllCompletedTasks(name); err != nil {
		return fmt.Errorf("remove the finished tasks of queue %s: %w", name, err)
	}
	if err := q.inspector.DeleteQueue(name, true); err != nil {
		return fmt.Errorf("remove queue %s: %w", name, err)
	}
	if err := q.client.Del(ctx, pausedKey(name)).Err(); err != nil {
		return fmt.Errorf("remove the pause of queue %s: %w", name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.depths, name)
	q.metrics.forgetQueue(name)
	return nil
}
