package consumer

import (
	"context"
	"errors"
	"time"

	"pollux/device"
	"pollux/journal"
)

// checkTime ends a turn whose slot is over or takes no result any more. A slot of
// which next to nothing is left counts as over, since its poll would be cut
// short. A device that was down goes back when no probe is free, before its
// lease and its ports are asked for.
func (c *Consumer) checkTime(t *turn) error {
	if t.remaining(c.deps.Clock.Now()) <= t.least() {
		return c.tooLate(t)
	}
	state := c.slotState(t)
	if err := t.refused(state); err != nil {
		return err
	}
	if t.remaining(c.deps.Clock.Now()) <= t.least() { // the answer may have been waited for
		return c.over(t, state)
	}
	if t.last.Outcome == device.OutcomeDown && c.probes.full() {
		return errProbesBusy
	}
	return nil
}

// refused ends a turn whose slot was finished before, by this node or another
// one, when the acknowledgement of its task was lost; and one whose device has a
// later slot finished, since the journal would refuse its samples.
func (t *turn) refused(state journal.SlotState) error {
	switch {
	case state == journal.SlotFinished:
		return errFinished
	case state != "" && t.last.Slot > t.Slot:
		return errStale
	default:
		return nil
	}
}

// tooLate is how a turn ends whose slot is over.
func (c *Consumer) tooLate(t *turn) error { return c.over(t, c.slotState(t)) }

// over is how a turn ends whose slot is over: a slot that was finished before it
// ended did not expire. A task that comes again does so a minute or more later,
// because its node died or its acknowledgement was lost; the journal still tells
// the two apart. Where it cannot, the first run may have counted the slot, or may
// still append: then it is not counted here, and the leader counts it if it was missed.
func (c *Consumer) over(t *turn, state journal.SlotState) error {
	_, trusted := c.sight.trusted(time.Time{}, questionTime)
	certain := state == journal.SlotUnfinished && trusted && t.remaining(c.deps.Clock.Now()) < -writeGrace
	switch {
	case state == journal.SlotFinished:
		return errFinished
	case t.again && !certain:
		return errTooLate
	default:
		return errExpired
	}
}

// slotState asks the journal about the slot of a turn; "" when it does not answer.
// Then the poll goes on: the journal's own guard keeps the order, and refuses a second result of a slot.
func (c *Consumer) slotState(t *turn) journal.SlotState {
	last, err := c.lastOf(t)
	if err != nil || len(last) != 1 {
		c.log.Debug("the last finished slots cannot be read", "device", t.DeviceID, "err", err)
		return ""
	}
	t.last = last[0]
	return t.last.State(t.Slot)
}

// lastOf asks the journal. A Redis that has just taken over may lack the last
// entries of this node and of others: it is asked when they are there again,
// and the polls that its change held up too.
func (c *Consumer) lastOf(t *turn) ([]journal.Last, error) {
	for failed := (time.Time{}); ; failed = time.Now() {
		server := c.awaitGuard(c.reading, t, failed, questionTime)
		ctx, cancel := context.WithTimeout(c.reading, questionTimeout)
		last, err := c.deps.Journal.LastOn(ctx, server, []int64{t.DeviceID})
		cancel()
		if !errors.Is(err, journal.ErrServer) {
			return last, err
		}
		c.sight.lookNow()
	}
}
