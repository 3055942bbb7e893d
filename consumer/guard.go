package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"pollux/journal"
)

const (
	// identityEvery is how often the journal's Redis is asked who it is.
	identityEvery = time.Second
	// settleTime is how long after a change of the journal's Redis newer entries
	// wait, so that the guards of the other nodes bring theirs first. They see
	// the change within identityEvery.
	settleTime = 3 * time.Second
	// questionTime is how long after it a slot is said not to be finished: polls
	// that were under way append first.
	questionTime = settleTime + time.Second
	// waitMargin is what is left of a slot for an append that waited for the guard.
	waitMargin = 3 * time.Second
	// awayLimit is how long this node may see nothing of Redis, frozen or cut off,
	// and still have its tasks: asynq's leases last 30 s and are renewed every 5 s.
	awayLimit = 25 * time.Second
)

// sight is what the guard knows of the Redis that answers for the journal.
type sight struct {
	look chan struct{} // asks the guard to look at once

	mu       sync.Mutex
	id       string    // "" before the first look
	asked    time.Time // when the last look began that found all in order
	changing bool      // another Redis answers, and the recent entries are not all brought to it
	changed  time.Time // when they were, the last time
	returned time.Time // when Redis was seen again after awayLimit, the last time
}

func newSight() *sight { return &sight{look: make(chan struct{}, 1)} }

// lookNow has the guard look at once: another Redis was met.
func (s *sight) lookNow() {
	select {
	case s.look <- struct{}{}:
	default: // it is told already
	}
}

// last is who answered at the last look that found all in order, and when that began.
func (s *sight) last() (id string, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.asked
}

// change notes that another Redis answers.
func (s *sight) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing = true
}

// inOrder notes who answers, and that it has the recent entries.
func (s *sight) inOrder(id string, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changing {
		s.changed = time.Now()
	}
	if !s.asked.IsZero() && asked.Sub(s.asked) > awayLimit {
		s.returned = asked
	}
	s.id, s.asked, s.changing = id, asked, false
}

// wasAway says whether this node saw nothing of Redis for longer than its tasks
// are left to it, now or while a turn lasted that began at a time. A task that Redis gave away
// before, and that was read after it, begins within a moment.
func (s *sight) wasAway(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() {
		return false
	}
	return time.Since(s.asked) > awayLimit || !s.returned.IsZero() && s.returned.After(began.Add(-time.Second))
}

// trusted is the Redis that has the recent entries of all nodes: all is in
// order, was at a look that began after a time, and the last change is as long
// ago as settle. Before the first look it is "", any.
func (s *sight) trusted(after time.Time, settle time.Duration) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := after.IsZero() || s.asked.After(after)
	return s.id, seen && !s.changing && time.Since(s.changed) >= settle
}

// guardJournal appends the recent entries once more when another Redis answers
// for the journal than before. The journal refuses those it has. Only while
// the same one answers are old entries forgotten: an outage does not count.
func (c *Consumer) guardJournal(ctx context.Context) {
	if c.deps.JournalID == nil {
		return
	}
	tick := time.NewTicker(identityEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.lookAtJournal(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-c.sight.look:
		}
	}
}

// lookAtJournal does it once.
func (c *Consumer) lookAtJournal(ctx context.Context) {
	asked := time.Now()
	id, err := c.deps.JournalID(ctx)
	if err != nil {
		return
	}
	known, seen := c.sight.last()
	if known == "" || id == known {
		c.recent.forget(asked.Add(-lossWindow))
		c.sight.inOrder(id, asked)
		return
	}
	c.sight.change()
	if err := c.appendRecent(ctx, seen); err != nil {
		c.log.Debug("not all recent measurements were appended again; the next look goes on", "err", err)
		return
	}
	c.sight.inOrder(id, asked)
}

// appendRecent appends the recent entries once more. The journal's Redis was the former one at the time seen.
func (c *Consumer) appendRecent(ctx context.Context, seen time.Time) error {
	counts := map[journal.Result]int{}
	var stale []accepted
	var moving error
	for _, kept := range c.recent.all() {
		result, err := c.deps.Journal.AppendOn(ctx, "", kept.entry)
		if errors.Is(err, journal.ErrMoving) {
			moving = err // the others go on; what they brought is refused at the next look
			continue
		}
		if err != nil {
			return err
		}
		if newestSample(kept.entry).IsZero() {
			continue // it holds no measurement
		}
		if result == journal.Stale {
			stale = append(stale, kept)
			continue
		}
		counts[result]++
		c.metrics.reappended.WithLabelValues(string(result)).Inc()
	}
	if moving != nil {
		return moving
	}
	overtaken, err := c.overtaken(ctx, stale, seen)
	if err != nil {
		return err
	}
	c.metrics.reappended.WithLabelValues(string(journal.Stale)).Add(float64(overtaken))
	c.log.Info("another Redis answers for the journal: recent measurements were appended again", "lost_before", counts[journal.Accepted],
		"present", len(stale)-overtaken, "overtaken", overtaken, "future", counts[journal.Future])
	return nil
}

// overtaken counts which of the entries that were refused as stale are not in
// the journal: a newer one of their device came first. An entry is there when
// the journal's last sample is its own; or when a later one is there that the
// former Redis accepted before seen, since a replica misses the end only.
func (c *Consumer) overtaken(ctx context.Context, stale []accepted, seen time.Time) (int, error) {
	ids := make([]int64, len(stale))
	for i, refused := range stale {
		ids[i] = refused.entry.DeviceID
	}
	lasts, err := c.deps.Journal.LastOn(ctx, "", ids)
	if err != nil {
		return 0, err
	}
	lost, present := 0, map[int64]bool{}
	for i, refused := range slices.Backward(stale) {
		there := present[ids[i]] || newestSample(refused.entry).UnixMilli() == lasts[i].SampleAt.UnixMilli()
		if !there {
			lost++
		}
		present[ids[i]] = there && refused.at.Before(seen)
	}
	return lost, nil
}

// awaitGuard waits, while another Redis takes over the journal, until the
// recent entries have been brought to it, and returns which Redis that is: a
// newer entry of a device that got in before them would shut them out, and a
// slot whose entry was lost would look as if it had not been polled. failed is when
// the last try ended, zero at the first one: Redis must have been seen since, and
// the entries there for as long as settle. The wait ends in any case a little
// before the slot does; then any Redis will do, "".
func (c *Consumer) awaitGuard(ctx context.Context, t *turn, failed time.Time, settle time.Duration) (server string) {
	if c.deps.JournalID == nil {
		return ""
	}
	if server, ok := c.sight.trusted(failed, settle); ok {
		return server
	}
	ctx, cancel := context.WithTimeout(ctx, t.remaining(c.deps.Clock.Now())-waitMargin)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if server, ok := c.sight.trusted(failed, settle); ok {
			return server
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return ""
}
