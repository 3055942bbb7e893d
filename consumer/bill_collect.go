package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"pollux/billing"
	"pollux/device"
	"pollux/settings"
	"pollux/tasks"
)

// collectTurn is one reading in hand: one collect slot of one device.
type collectTurn struct {
	tasks.BillingCollect
	group   int64 // whose queue it came from; -1 for the one that belongs to none
	retried int   // how often it came again
	ports   int   // that were to be read
}

// readCollect reads a task. It trusts neither payload nor queue.
func readCollect(ctx context.Context, task *asynq.Task) (*collectTurn, error) {
	b, err := tasks.ParseBillingCollect(task.Payload())
	if err != nil {
		return nil, err
	}
	queue, _ := asynq.GetQueueName(ctx)
	kind, group := tasks.SplitQueue(queue)
	if kind != tasks.KindBilling && queue != tasks.BillingQueue {
		return nil, fmt.Errorf("%w: a reading for billing in queue %.60q", tasks.ErrPayload, queue)
	}
	retried, _ := asynq.GetRetryCount(ctx)
	return &collectTurn{BillingCollect: b, group: group, retried: retried}, nil
}

// moment is when in its slot the reading is due.
func (t *collectTurn) moment() time.Time {
	return time.Unix(t.Slot+device.Phase(t.DeviceID, tasks.CollectSpread(t.Interval)), 0)
}

// remaining is how long the slot lasts at the time now of Redis' clock.
func (t *collectTurn) remaining(now time.Time) time.Duration { return time.Unix(t.End(), 0).Sub(now) }

// again hands a task back for a while, as long as its slot gives it another chance; else it ends.
func (t *collectTurn) again(now time.Time, why *handBackError, end *collectEndError) error {
	if t.remaining(now) <= 3*why.after+leastOfSlot {
		return end
	}
	return why
}

// leastOfSlot is what must be left of a collect slot for a reading to be begun.
const leastOfSlot = time.Second

// collectEndError is how a reading ended without samples. It is no error to asynq.
type collectEndError struct{ result string }

// Error implements error.
func (e *collectEndError) Error() string { return e.result }

// How readings end: labels of a metric.
const (
	collectDone     = "done"     // the device was asked, whatever it answered
	collectRepeat   = "repeat"   // all of it had been read in this slot
	collectExpired  = "expired"  // its slot was over
	collectNothing  = "nothing"  // no port of the device is billed any more, or it is removed, disabled or asked by ICMP only
	collectMoved    = "moved"    // the device is in another poller group, or its readings come through another queue
	collectBusy     = "busy"     // another conversation with the device went on
	collectDatabase = "database" // the database was away
	collectPanic    = "panic"    // the program failed
)

var collectResults = [...]string{
	collectDone, collectRepeat, collectExpired, collectNothing, collectMoved, collectBusy, collectDatabase, collectPanic,
}

var (
	errCollectBusy     = &handBackError{reason: "collect_busy", text: "a poll of the device runs", after: 2 * time.Second}
	errCollectDatabase = &handBackError{reason: "collect_database", text: "the database does not keep readings of billed ports", after: 5 * time.Second}
	errCollectQueue    = &handBackError{reason: "collect_queue", text: "billing has become distributed", after: 5 * time.Second, uses: true}
)

// settleCollect counts how a reading ended and says what asynq is to know of it.
func (c *Consumer) settleCollect(t *collectTurn, err error) error {
	var end *collectEndError
	var back *handBackError
	switch {
	case err == nil:
		c.metrics.collects.WithLabelValues(collectDone).Inc()
		return nil
	case errors.As(err, &back):
		c.metrics.handBacks.WithLabelValues(back.reason).Inc()
		return err
	case !errors.As(err, &end):
		return err
	}
	c.metrics.collects.WithLabelValues(end.result).Inc()
	c.log.Debug("a reading for billing ended without samples", "device", t.DeviceID, "slot", t.Slot, "why", end.result)
	if end.result == collectPanic {
		return fmt.Errorf("the reading of device %d for billing panicked: %w", t.DeviceID, asynq.SkipRetry)
	}
	return nil
}

// collect is the life of one reading. Each step may end it.
func (c *Consumer) collect(t *collectTurn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.complain(&c.panics, slog.LevelError, "a reading for billing panicked", "device", t.DeviceID, "panic", fmt.Sprintf("%.200v", r), "stack", string(debug.Stack()))
			err = &collectEndError{collectPanic}
		}
	}()
	readings, err := c.collectReadings(t)
	if err != nil {
		return err
	}
	return c.keepReadings(t, readings)
}

// collectReadings has a worker read a device. The worker is free for others while the readings wait to be written.
func (c *Consumer) collectReadings(t *collectTurn) ([]billing.Reading, error) {
	leave, err := c.takeCollector(t)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := c.checkQueue(t); err != nil {
		return nil, err
	}
	target, err := c.billTarget(t)
	if err != nil {
		return nil, err
	}
	return c.readBilled(t, target)
}

// takeCollector waits for a free worker of billing.
func (c *Consumer) takeCollector(t *collectTurn) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(c.reading, min(t.remaining(c.deps.Clock.Now()), workerWait))
	defer cancel()
	defer context.AfterFunc(c.draining, cancel)()
	if err := c.biller.workers.enter(ctx, 0); err != nil {
		switch {
		case c.stopping():
			return nil, errHandBack
		case t.remaining(c.deps.Clock.Now()) <= leastOfSlot:
			return nil, &collectEndError{collectExpired}
		}
		return nil, errNoWorker
	}
	began := time.Now()
	return func() {
		c.metrics.workerSeconds.WithLabelValues(kindBilling).Add(time.Since(began).Seconds())
		c.biller.workers.leave()
	}, nil
}

// checkQueue ends a reading whose slot is over, and keeps one out of the queue
// that belongs to no group while each group reads its own devices. The producer may have seen the setting later than this node,
// then it offers the reading anew in the group's queue; or earlier, then this node sees it a few seconds later. So the task waits, a few times.
func (c *Consumer) checkQueue(t *collectTurn) error {
	now := c.deps.Clock.Now()
	switch {
	case t.remaining(now) <= leastOfSlot:
		return &collectEndError{collectExpired}
	case t.group >= 0 || !c.deps.Settings().Bool(settings.KeyDistributedBilling):
		return nil
	case t.retried >= queueTries:
		return &collectEndError{collectMoved}
	default:
		return t.again(now, errCollectQueue, &collectEndError{collectMoved})
	}
}

// queueTries is how often a reading waits for all to see the same setting: 5 to 10 s each, and a setting is seen within 10 s.
const queueTries = 3
