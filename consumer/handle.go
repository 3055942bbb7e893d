package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/ping"
	"pollux/poller"
	"pollux/secret"
	"pollux/store"
)

// HandlePoll carries out one poll task: one slot of one device.
//
// It returns nil for whatever a device or an operator did, and counts how the
// slot ended: exactly one of up, partial, down, auth, expired and skipped, or a
// repeat when another run of the task ends the slot. An error means that the journal
// could not be reached until the slot's end, that the task is handed back, or
// that the program is wrong.
func (c *Consumer) HandlePoll(ctx context.Context, task *asynq.Task) error {
	c.handling.Add(1)
	defer c.handling.Add(-1)
	t, err := readTurn(ctx, task)
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	return c.settle(t, c.carryOut(t))
}

// carryOut is the life of one poll. Each step may end it with an ending.
func (c *Consumer) carryOut(t *turn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.complain(&c.panics, slog.LevelError, "a poll panicked", "device", t.DeviceID, "panic", fmt.Sprintf("%.200v", r), "stack", string(debug.Stack()))
			err = &ending{device.OutcomeSkipped, skipPanic}
		}
	}()
	leave, err := c.takeWorker(t)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.checkTime(t); err != nil {
		return err
	}
	release, err := c.lockDevice(t)
	if err != nil {
		return err
	}
	defer release()
	target, err := c.target(t)
	if err != nil {
		return err
	}
	report, err := c.read(t, target)
	if err != nil {
		return err
	}
	if err := c.append(t, target.Device, report); err != nil {
		return err
	}
	c.count(t, report)
	c.save(t, report.Poll)
	return nil
}

const (
	// questionTimeout bounds how long a question to the journal holds up a poll.
	questionTimeout = 3 * time.Second
	// sampleGap is the least time between two samples of a device that the journal accepts, and a little more.
	sampleGap = 1100 * time.Millisecond
	// workerWait is how long a task waits in this node's hands for a worker.
	workerWait = 2 * time.Second
	// probeShare of the workers, 1/5, may ask devices that were down.
	probeShare = 5
)

// settle counts how a turn ended and says what asynq is to know of it.
func (c *Consumer) settle(t *turn, err error) error {
	var end *ending
	var back *handBackError
	if isUnfinished(err) {
		c.work.fail(c.deps.Clock.Now())
	}
	if errors.As(err, &end) && end.outcome != "" && end.reason != skipPanic && c.sight.wasAway(t.began) {
		err = errTooLate // the task was taken from this node: whoever runs it again counts the slot
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &back):
		c.metrics.handBacks.WithLabelValues(back.reason).Inc()
		return err
	case !errors.As(err, &end):
		return err
	case end.outcome == "":
		c.metrics.repeats.WithLabelValues(end.reason).Inc()
	case end.reason == skipPanic:
		c.metrics.countPoll(t.group, end.outcome)
		c.metrics.skips.WithLabelValues(end.reason).Inc()
		return fmt.Errorf("the poll of device %d panicked: %w", t.DeviceID, asynq.SkipRetry)
	default:
		c.metrics.countPoll(t.group, end.outcome)
		if end.reason != "" {
			c.metrics.skips.WithLabelValues(end.reason).Inc()
		}
	}
	c.log.Debug("a slot ended without a poll", "device", t.DeviceID, "slot", t.Slot, "why", end.Error())
	return nil
}

// takeWorker waits for a free worker. The servers of all lanes share them, and
// asynq counts a task as ended whose time was over while its poll still runs.
// A task that finds none for a while goes back: another node may have one.
func (c *Consumer) takeWorker(t *turn) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(c.reading, min(t.remaining(c.deps.Clock.Now()), workerWait))
	defer cancel()
	defer context.AfterFunc(c.draining, cancel)()
	if err := c.workers.enter(ctx, t.group); err != nil {
		if c.stopping() {
			return nil, errHandBack
		}
		if t.remaining(c.deps.Clock.Now()) > t.least() {
			return nil, errNoWorker
		}
		return nil, c.tooLate(t)
	}
	began := time.Now()
	return func() {
		c.metrics.workerSeconds.WithLabelValues(kindPoller).Add(time.Since(began).Seconds())
		c.work.busy(c.deps.Clock.Now(), time.Since(began))
		c.workers.leaveFor(t.group)
	}, nil
}

// lockDevice takes the device's lease, and waits for it when another poll of
// the device runs. Without an answer of Redis the poll goes on without it: the lease saves work only.
func (c *Consumer) lockDevice(t *turn) (release func(), err error) {
	ctx, cancel := context.WithCancel(c.reading)
	defer cancel()
	defer context.AfterFunc(c.draining, cancel)()
	release, ok, err := c.deps.Leases.Acquire(ctx, t.DeviceID, t.leaseTTL(), time.Now().Add(t.budget(c.deps.Clock.Now())))
	switch {
	case err != nil && c.stopping():
		return nil, errHandBack
	case err != nil:
		c.log.Debug("polled without the device's lease", "device", t.DeviceID, "err", err)
		return release, nil
	case !ok && t.remaining(c.deps.Clock.Now()) <= 0:
		return nil, c.tooLate(t)
	}
	// Whoever held the lease before may have finished this very slot.
	err = t.refused(c.slotState(t))
	if err == nil && !ok {
		err = errBusy
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// target reads whom to ask and how. A task of a device that has gone, or went
// to another group, is left: the group's own nodes reach the device.
func (c *Consumer) target(t *turn) (poller.Target, error) {
	found, err := c.inventory.read(c.reading, t.DeviceID)
	d := found.device
	switch {
	case errors.Is(err, store.ErrNotFound):
		return poller.Target{}, errRemoved
	case err != nil && c.stopping():
		return poller.Target{}, errHandBack
	case errors.Is(err, secret.ErrOpen):
		c.complain(&c.secrets, slog.LevelError, "the credentials of a device do not open; give this node the key in APP_PREVIOUS_KEYS, or set them anew with: pollux device set", "device", t.DeviceID, "err", err)
		return poller.Target{}, t.elsewhere(c.deps.Clock.Now(), errNoKey, errSealed) // a node that has a former key may read them
	case err != nil:
		return poller.Target{}, t.elsewhere(c.deps.Clock.Now(), errNoTarget, errUnknown)
	case d.Disabled:
		return poller.Target{}, errDisabled
	case d.Group != t.group:
		return poller.Target{}, errMoved
	case d.PingOnly && c.deps.Pinger.Mode() == ping.Off:
		c.complain(&c.blind, slog.LevelWarn, "a device is asked by ICMP only, which this node may not send; see: pollux doctor", "device", t.DeviceID)
		return poller.Target{}, t.elsewhere(c.deps.Clock.Now(), errNoICMP, errBlind) // another node of the group may
	default:
		return c.recall(t, c.apply(poller.Target{Device: d, Ports: found.ports, Components: found.components, Outages: found.outages, Memory: found.memory})), nil
	}
}

// read polls the device. What it finds is a report, whatever the device did.
func (c *Consumer) read(t *turn, target poller.Target) (poller.Report, error) {
	if c.stopping() {
		return poller.Report{}, errHandBack
	}
	leaveAgent, err := c.enterAgent(t, target.Device)
	if err != nil {
		return poller.Report{}, err
	}
	defer leaveAgent()
	leave, err := c.takeProbe(t, &target)
	if err != nil {
		return poller.Report{}, err
	}
	defer leave()
	if err := c.keepGap(t); err != nil {
		return poller.Report{}, err
	}
	ctx, cancel := context.WithTimeout(c.reading, t.budget(c.deps.Clock.Now()))
	defer cancel()
	inFlight := c.metrics.inFlight(t.group)
	inFlight.Inc()
	defer inFlight.Dec()
	report := c.ask(ctx, target, leave)
	c.inventory.remember(t.DeviceID, report.Memory)
	c.date(t, &report)
	switch {
	case c.reading.Err() != nil && report.Poll.Outcome != device.OutcomeUp:
		return report, errHandBack // it was interrupted: the rest says nothing about the device
	case !report.Poll.Outcome.Finished():
		return report, errLate
	default:
		return report, nil
	}
}

// keepGap waits until a sample of the device is acceptable again: its last slot
// may have been polled in its last moment.
func (c *Consumer) keepGap(t *turn) error {
	wait := min(t.last.SampleAt.Add(sampleGap).Sub(c.deps.Clock.Now()), sampleGap)
	if wait <= 0 {
		return nil
	}
	select {
	case <-c.draining.Done():
		return errHandBack
	case <-time.After(wait):
		return nil
	}
}

// takeProbe takes one of the few workers that may ask devices which were down,
// so that a site that is down does not hold up the others. Without a free one
// the task goes back into its queue for a moment.
func (c *Consumer) takeProbe(t *turn, target *poller.Target) (leave func(), err error) {
	if t.last.Outcome == device.OutcomeDown {
		target.Device.Status = device.StatusDown // the journal knows it before the inventory
	}
	if target.Device.Status != device.StatusDown {
		return func() {}, nil
	}
	if !c.probes.tryEnter() {
		return nil, errProbesBusy
	}
	return once(c.probes.leave), nil
}

func (c *Consumer) stopping() bool { return c.draining.Err() != nil }
