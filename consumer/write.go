package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/poller"
	"pollux/settings"
)

const (
	// writeGrace is how long an append may go on when its slot ends at once:
	// a poll that used its slot to the end has its samples inside it.
	writeGrace = 3 * time.Second

	// movingGrace is how long an append may wait for its device to be moved: longer than a device is ever held.
	movingGrace = 35 * time.Second

	// eventReboot is the type of the event of a device that restarted.
	eventReboot = "reboot"

	firstPause = 100 * time.Millisecond // between two tries to append; it doubles
	lastPause  = 2 * time.Second
)

// date converts the local times of a report to the clock of Redis and adds what only the node knows.
func (c *Consumer) date(t *turn, report *poller.Report) {
	clock := c.deps.Clock
	p := &report.Poll
	p.DeviceID, p.Slot, p.Node = t.DeviceID, t.Slot, c.config.NodeID
	p.At = clock.At(p.At)
	for i := range p.Events {
		p.Events[i].Time, p.Events[i].Node = clock.At(p.Events[i].Time), c.config.NodeID
	}
	restarted := slices.ContainsFunc(p.Events, func(e device.Event) bool { return e.Type == eventReboot })
	p.Rediscover = restarted && c.deps.Settings().Bool(settings.KeyDiscoveryOnReboot)
	for i := range report.Measurements {
		m := &report.Measurements[i]
		if m.Time = clock.At(m.Time); m.Kind == measurement.KindAvailability {
			// It is not filed at each poll, so one sample fills several rows. RRDtool 1.7 then counts the part of a second to the wrong ones: 91 % and 101 % where there are 100.
			m.Time = wholeSecond(m.Time, t.last.SampleAt)
		}
	}
	report.FirstRequest = clock.At(report.FirstRequest)
}

// wholeSecond is the second in which a time lies. Where that is less than a second after the device's last sample (zero
// for none) it is the next one, since the journal would refuse the whole poll for it.
func wholeSecond(at, last time.Time) time.Time {
	whole := at.Truncate(time.Second)
	if whole.Sub(last) < time.Second {
		return whole.Add(time.Second)
	}
	return whole
}

// entryOf is what the journal gets of a poll.
func entryOf(t *turn, d device.Device, report poller.Report) journal.Entry {
	step, measured := d.Interval, report.Measurements
	if t.Slot < d.SlotFrom && t.Interval != d.Interval {
		step, measured = t.Interval, former(measured)
	}
	return journal.Entry{
		DeviceID: t.DeviceID, Shard: d.Shard, Slot: t.Slot, Outcome: report.Poll.Outcome,
		Dir: d.RRDDir, Step: step, Heartbeat: measurement.Heartbeat(step),
		Measurements: measurement.Part(measured, t.sampled(d), journal.MaxMeasurements),
	}
}

// former are the measurements of a slot that was under way when the device's
// interval was changed: they belong into the files of that interval, which the new ones go on from. In the
// new ones, which begin at a step of their own, they would be lost, and the seam a slot longer.
func former(measured []measurement.Measurement) []measurement.Measurement {
	measured = slices.Clone(measured)
	for i := range measured {
		measured[i].Generation = max(0, measured[i].Generation-1)
	}
	return measured
}

// sampled is when the device's latest sample was taken, by the clock of Redis;
// zero for never. The inventory knows it about when the journal does not.
func (t *turn) sampled(d device.Device) time.Time {
	switch {
	case !t.last.SampleAt.IsZero():
		return t.last.SampleAt
	case !d.PolledAt.IsZero():
		return d.PolledAt.Add(d.PollDuration)
	}
	return time.Time{}
}

// recall fills in what a poll must know of the samples before it, in local times.
func (c *Consumer) recall(t *turn, target poller.Target) poller.Target {
	target.Since = c.since(t, target.Device)
	if at := c.answeredAt(t, target.Device); !at.IsZero() {
		target.Sampled = c.local(at)
	}
	if !t.last.SampleAt.IsZero() {
		target.Filed = c.local(t.last.SampleAt)
	}
	outages := make([]device.Outage, len(target.Outages))
	for i, outage := range target.Outages {
		outages[i].Down = c.local(outage.Down)
		if !outage.Up.IsZero() {
			outages[i].Up = c.local(outage.Up)
		}
	}
	target.Outages = outages
	return target
}

// local is a time of Redis by the local clock.
func (c *Consumer) local(at time.Time) time.Time { return time.Now().Add(at.Sub(c.deps.Clock.Now())) }

// answeredAt is when the latest sample was taken of what the device answers by SNMP, at the
// latest. Of a device that was down there are samples of ICMP only since then: the others may be as long ago as a
// file takes a difference.
func (c *Consumer) answeredAt(t *turn, d device.Device) time.Time {
	at, outcome := t.sampled(d), t.last.Outcome
	if t.last.Slot == 0 {
		outcome = d.LastOutcome
	}
	if outcome != device.OutcomeDown && outcome != device.OutcomeAuth || at.IsZero() {
		return at
	}
	if long := c.deps.Clock.Now().Add(-time.Duration(measurement.Heartbeat(d.Interval)) * time.Second); long.Before(at) {
		return long
	}
	return at
}

// sinceMargin is by how much a poll may begin before its slot, by the clocks of two nodes.
const sinceMargin = 2 * time.Second

// since is a local time before which the last samples of a device's ports were
// not taken yet: the begin of its last slot, when that was up, so that all ports were
// read in it. Else some may have been read before: as long ago as a file still takes
// the difference. The journal knows it, for it orders the samples of all
// nodes; the inventory knows it when the journal's Redis has lost it or does not answer.
func (c *Consumer) since(t *turn, d device.Device) time.Time {
	slot, outcome := t.last.Slot, t.last.Outcome
	if slot == 0 {
		slot, outcome = d.PolledSlot, d.LastOutcome
	}
	if slot == 0 {
		return time.Time{}
	}
	now := c.deps.Clock.Now()
	since := now.Add(-time.Duration(measurement.Heartbeat(d.Interval)) * time.Second)
	if begin := time.Unix(slot, 0).Add(-sinceMargin); outcome == device.OutcomeUp && begin.After(since) {
		since = begin
	}
	return time.Now().Add(since.Sub(now))
}

// append puts what was measured into the journal and tries again until it is
// accepted, refused, or the slot is over. Neither asynq's lost lease nor the
// stop of the node ends it: the measurements are there and nowhere else.
func (c *Consumer) append(t *turn, d device.Device, report poller.Report) error {
	entry := entryOf(t, d, report)
	ctx, cancel := c.untilSlotEnd(t)
	defer cancel()
	moving, stop := context.WithTimeout(context.Background(), max(t.remaining(c.deps.Clock.Now()), movingGrace))
	defer stop()
	var failed time.Time
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		result, err := c.deps.Journal.AppendOn(ctx, c.awaitGuard(ctx, t, failed, settleTime), entry)
		switch {
		case err == nil:
			return c.verdict(t, entry, result)
		case errors.Is(err, journal.ErrEntry):
			c.complain(&c.refusals, slog.LevelError, "the journal refuses a poll", "device", t.DeviceID, "slot", t.Slot, "err", err)
			return &ending{device.OutcomeSkipped, skipRefused}
		case errors.Is(err, journal.ErrServer):
			c.sight.lookNow()
		case errors.Is(err, journal.ErrMoving): // nothing is wrong with Redis, and it takes a moment only
			pause = firstPause
			ctx = moving // which may be longer than what is left of the slot
		}
		if !errors.Is(err, journal.ErrMoving) {
			failed = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("append slot %d of device %d until its end: %w", t.Slot, t.DeviceID, err)
		case <-time.After(pause):
		}
	}
}

// verdict is what the journal's answer means for the turn. A stale entry may
// be our own, whose answer was lost: then the journal's last sample is ours.
func (c *Consumer) verdict(t *turn, entry journal.Entry, result journal.Result) error {
	switch result {
	case journal.Accepted:
		c.keep(entry)
		return nil
	case journal.Future:
		c.complain(&c.futures, slog.LevelWarn, "the journal refuses samples from the future: clocks differ", "device", t.DeviceID, "slot", t.Slot)
		return errFuture
	}
	if c.slotState(t) != journal.SlotFinished {
		return errStale
	}
	if newest := newestSample(entry); !newest.IsZero() && newest.UnixMilli() == t.last.SampleAt.UnixMilli() {
		c.keep(entry)
		return nil
	}
	return errOvertaken
}

// keep keeps an entry that the journal has, for another Redis that lacks it.
func (c *Consumer) keep(entry journal.Entry) {
	if c.deps.JournalID != nil {
		c.recent.add(entry)
	}
}

func newestSample(entry journal.Entry) time.Time {
	var newest time.Time
	for i := range entry.Measurements {
		if at := entry.Measurements[i].Time; at.After(newest) {
			newest = at
		}
	}
	return newest
}

// count counts a finished slot.
func (c *Consumer) count(t *turn, report poller.Report) {
	c.metrics.countPoll(t.group, report.Poll.Outcome)
	lateness := max(report.FirstRequest.Sub(time.Unix(t.Slot, 0)), 0)
	c.metrics.lateness.Observe(lateness.Seconds())
	c.work.poll(c.deps.Clock.Now(), lateness)
	for _, module := range report.Modules {
		c.metrics.duration.WithLabelValues(module.Name).Observe(module.Duration.Seconds())
	}
	c.metrics.refused.Add(float64(report.Poll.Refused))
	c.metrics.duration.WithLabelValues(wholePoll).Observe(report.Poll.Duration.Seconds())
}

// save keeps what the poll found. A database that is away costs the state of
// one slot only, since the next poll brings it again.
func (c *Consumer) save(t *turn, poll device.Poll) {
	ctx, cancel := c.untilSlotEnd(t)
	defer cancel()
	c.inventory.save(ctx, poll)
}

// untilSlotEnd is a context that ends with the slot, and with nothing else.
func (c *Consumer) untilSlotEnd(t *turn) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), max(t.remaining(c.deps.Clock.Now()), writeGrace))
}
