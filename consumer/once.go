package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/ping"
	"pollux/poller"
	"pollux/tasks"
)

// Once is what one poll outside the queues found.
type Once struct {
	Report  poller.Report  // with times by the clock of Redis
	Slot    int64          // Unix second, the slot of the device that the poll fell into
	Journal journal.Result // journal.Stale when the device was polled less than a second before, or a newer slot is finished
	SaveErr error          // why the state was not saved; nil when it was
}

// PollOnce polls a device now, outside the queues, through the same steps as a
// task of its current slot: lease, read, journal, store. It polls a finished
// slot again. The error says that the device could not be read from the store, that another poll of
// it runs, or that the journal did not answer; what the device did wrong stands in the report.
func PollOnce(ctx context.Context, config Config, deps Deps, id int64) (Once, error) {
	c, err := New(config, deps)
	if err != nil {
		return Once{}, err
	}
	defer c.interrupt()
	defer context.AfterFunc(ctx, func() { c.drain(); c.interrupt() })()
	target, err := targetOnce(ctx, deps.Store, id)
	if err != nil {
		return Once{}, fmt.Errorf("read device %d: %w", id, err)
	}
	d := target.Device
	if d.PingOnly && c.deps.Pinger.Mode() == ping.Off {
		return Once{}, fmt.Errorf("poll device %d: %w", id, ping.ErrOff)
	}
	slot := device.SlotAt(d.ID, d.Interval, deps.Clock.Now().Unix())
	t := &turn{Poll: tasks.Poll{DeviceID: d.ID, Slot: slot, Interval: d.Interval}, group: d.Group}
	result := Once{Slot: slot}
	deadline := time.Now().Add(time.Duration(d.Interval) * time.Second * 4 / 5)
	release, ok, err := deps.Leases.Acquire(ctx, id, t.leaseTTL(), deadline)
	if err != nil {
		return result, fmt.Errorf("poll device %d: %w", id, err)
	}
	if !ok {
		return result, fmt.Errorf("poll device %d: another poll of it runs", id)
	}
	defer release()
	c.slotState(t)
	target = c.recall(t, c.apply(target))
	reading, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	result.Report = c.ask(reading, target, func() {})
	c.date(t, &result.Report)
	if err := ctx.Err(); err != nil {
		return result, fmt.Errorf("poll device %d: %w", id, err)
	}
	if !result.Report.Poll.Outcome.Finished() {
		return result, errors.New("the poll was interrupted before the device answered")
	}
	result.Journal, err = deps.Journal.AppendAgain(ctx, entryOf(t, d, result.Report))
	if err != nil {
		return result, fmt.Errorf("poll device %d: %w", id, err)
	}
	if result.Journal == journal.Accepted {
		result.SaveErr = deps.Store.SavePoll(ctx, result.Report.Poll)
	}
	return result, nil
}

// targetOnce reads a device with all that belongs to it.
func targetOnce(ctx context.Context, s Store, id int64) (poller.Target, error) {
	components, err := s.Components(ctx, id) // before the device, as store.PollTarget reads the ports
	if err != nil {
		return poller.Target{}, err
	}
	d, ports, err := s.PollTarget(ctx, id)
	if err != nil {
		return poller.Target{}, err
	}
	target := poller.Target{Device: d, Ports: ports, Components: components}
	if !d.OutagesChanged.IsZero() {
		target.Outages, err = s.Outages(ctx, id)
	}
	return target, err
}
