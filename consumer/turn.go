package consumer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/journal"
	"pollux/tasks"
)

// turn is one task in hand: one slot of one device.
type turn struct {
	tasks.Poll
	group int64        // whose queue it came from
	again bool         // it was taken up before, by a node that died or lost its lease
	began time.Time    // when it was taken up, by the local clock
	last  journal.Last // what the journal knew of the device when the turn was taken up
}

// readTurn reads a task. It trusts neither payload nor queue: whoever reaches Redis can write both.
func readTurn(ctx context.Context, task *asynq.Task) (*turn, error) {
	if task.Type() != tasks.TypePoll {
		return nil, fmt.Errorf("%w: a task of type %.40q", tasks.ErrPayload, task.Type())
	}
	p, err := tasks.ParsePoll(task.Payload())
	if err != nil {
		return nil, err
	}
	queue, _ := asynq.GetQueueName(ctx)
	kind, number, _ := strings.Cut(queue, ":")
	group, err := strconv.ParseInt(number, 10, 64)
	if kind != tasks.KindPoller || err != nil || !tasks.ValidQueue(queue) {
		return nil, fmt.Errorf("%w: a poll in queue %.60q", tasks.ErrPayload, queue)
	}
	retried, _ := asynq.GetRetryCount(ctx)
	return &turn{Poll: p, group: group, again: retried > 0, began: time.Now()}, nil
}

// remaining is how long the slot lasts at the time now of Redis' clock.
func (t *turn) remaining(now time.Time) time.Duration {
	return time.Unix(t.End(), 0).Sub(now)
}

// least is what must be left of a slot for a poll to be begun: a twentieth of the interval, at most 1 s.
func (t *turn) least() time.Duration {
	return min(time.Duration(t.Interval)*time.Second/20, time.Second)
}

// budget is how long the poll may take from now on: 0.8 of the interval, and not past the slot's end.
func (t *turn) budget(now time.Time) time.Duration {
	return min(time.Duration(t.Interval)*time.Second*4/5, t.remaining(now))
}

// leaseTTL is how long the device's lease lasts without being renewed. It is
// short at short intervals, so that a node that died costs one slot only.
func (t *turn) leaseTTL() time.Duration {
	interval := time.Duration(t.Interval) * time.Second
	if t.Interval < 20 {
		return max(interval/4, 2*time.Second)
	}
	return min(max(interval/2, 5*time.Second), 30*time.Second)
}

// ending is how a turn ended without a poll. It travels as an error through
// the steps of HandlePoll and is none to asynq.
type ending struct {
	outcome device.Outcome // "" for a repeat of a slot that is finished
	reason  string
}

// Error implements error.
func (e *ending) Error() string {
	if e.outcome == "" {
		return "a repeat: " + e.reason
	}
	return string(e.outcome) + ": " + e.reason
}

// The endings of turns. Their reasons are labels of the metrics.
var (
	errExpired   = &ending{device.OutcomeExpired, ""}
	errFinished  = &ending{"", repeatFinished}
	errOvertaken = &ending{"", repeatOvertaken}
	errTooLate   = &ending{"", repeatLate}

	errBusy     = &ending{device.OutcomeSkipped, skipBusy}
	errRemoved  = &ending{device.OutcomeSkipped, skipRemoved}
	errDisabled = &ending{device.OutcomeSkipped, skipDisabled}
	errMoved    = &ending{device.OutcomeSkipped, skipMoved}
	errUnknown  = &ending{device.OutcomeSkipped, skipDatabase}
	errSealed   = &ending{device.OutcomeSkipped, skipCredentials}
	errLate     = &ending{device.OutcomeSkipped, skipLate}
	errStale    = &ending{device.OutcomeSkipped, skipStale}
	errFuture   = &ending{device.OutcomeSkipped, skipFuture}
	errBlind    = &ending{device.OutcomeSkipped, skipICMP}
)

// elsewhere gives a task that this node cannot carry out to another one, which
// may be able to: after a twentieth of the interval, so that a cluster of which no
// node is does not hand tasks round and round, and that one of which a node
// is finds it in time. Too late for that, the slot ends.
func (t *turn) elsewhere(now time.Time, why *handBackError, end *ending) error {
	back := *why
	back.after = max(back.after, time.Duration(t.Interval)*time.Second/20)
	if t.remaining(now) <= 3*back.after+t.least() {
		return end
	}
	return &back
}

// handBackError is why a task goes back into its queue, to be taken again by
// whoever comes first. It is no failure and uses up no retry.
type handBackError struct {
	reason string        // label of the metric
	text   string        // what asynq notes of it
	after  time.Duration // when it comes again, at the earliest; then within twice as long
	uses   bool          // it uses up a retry, so that the task can tell how often it came back
}

// Error implements error.
func (h *handBackError) Error() string { return "handed back: " + h.text }

// Is lets errors.Is find a reason whatever the delay.
func (h *handBackError) Is(target error) bool {
	other, ok := target.(*handBackError)
	return ok && other.reason == h.reason
}

// The reasons to hand a task back.
var (
	errHandBack   = &handBackError{reason: "stopping", text: "this node stops"}
	errNoWorker   = &handBackError{reason: "worker", text: "all workers of this node are busy"}
	errProbesBusy = &handBackError{reason: "probe", text: "too many workers ask devices that are down", after: time.Second}
	errAgentBusy  = &handBackError{reason: "agent", text: "too many polls of the device's agent run", after: time.Second / 2}
	errNoICMP     = &handBackError{reason: "icmp", text: "this node may not send ICMP", after: time.Second}
	errNoTarget   = &handBackError{reason: "database", text: "the database is away and this node has no copy of the device", after: time.Second}
	errNoKey      = &handBackError{reason: "credentials", text: tasks.CredentialsDoNotOpen, after: time.Second}
)
