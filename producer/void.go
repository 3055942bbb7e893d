package producer

import (
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"pollux/tasks"
)

// maxVoid bounds the tasks of a queue that are removed, in each of their states, at one look; the next look goes on.
const maxVoid = 1000

// removeVoid removes the tasks that nobody will ever take and whose slot is
// over, from the queues of poller groups without devices and live nodes. They
// are what is left when the devices of a group without a node were moved: else they would
// stay, and so would the alarm about them. Their slots are missed, and counted as such.
func (t *term) removeVoid(s *Schedule, service service, looks []queueLook) {
	names := t.groupNames()
	if names == nil {
		return
	}
	now := t.deps.Clock.Now()
	for _, q := range looks {
		_, group := tasks.SplitQueue(q.Queue)
		if group < 0 || !exists(names, group) || s.Groups()[group] > 0 || len(service.of(q.Queue)) > 0 {
			continue
		}
		if q.Pending+q.Retry+q.Scheduled == 0 || !t.mayOffer() {
			continue
		}
		removed, err := t.queues.removeVoid(q.Queue, now)
		if err != nil {
			t.log.Warn("tasks that nobody takes cannot be removed; the next look tries again", "queue", q.Queue, "err", err)
		}
		if removed > 0 {
			t.log.Info("tasks whose slot is over were removed: their poller group has neither devices nor nodes", "queue", q.Queue, "tasks", removed)
		}
	}
}

// removeVoid removes the waiting tasks of a queue whose slot is over.
func (q *queues) removeVoid(name string, now time.Time) (removed int, err error) {
	for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		q.inspector.ListPendingTasks, q.inspector.ListRetryTasks, q.inspector.ListScheduledTasks,
	} {
		found, err := list(name, asynq.PageSize(maxVoid))
		if err != nil {
			return removed, err
		}
		for _, task := range found {
			if !over(task, now) {
				continue
			}
			err := q.inspector.DeleteTask(name, task.ID)
			switch {
			case err == nil:
				removed++
			case !errors.Is(err, asynq.ErrTaskNotFound):
				return removed, err
			}
		}
	}
	return removed, nil
}

// over says whether a task of a group without devices is void: the slot of a
// poll has ended, a discovery has waited for as long as one may take. A malformed one nobody can carry out.
func over(task *asynq.TaskInfo, now time.Time) bool {
	switch task.Type {
	case tasks.TypePoll:
		p, err := tasks.ParsePoll(task.Payload)
		return err != nil || p.End() <= now.Unix()
	case tasks.TypeDiscover:
		d, err := tasks.ParseDiscover(task.Payload)
		return err != nil || d.Slot+tasks.MaxDiscovery <= now.Unix()
	default:
		return true
	}
}
