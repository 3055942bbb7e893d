package producer

import (
	"context"
	"iter"
	"time"

	"pollux/device"
	"pollux/settings"
)

const (
	buryEvery  = 5 * time.Second // a removed device has its tombstone after that, at the latest
	renewEvery = time.Minute     // of all tombstones that still count: a Redis that lost them gets them again
	// lastAppend is how long after its removal a device's last poll may be appended: a slot of the longest interval.
	lastAppend = time.Hour
	// settled is what a trim of the log waits for beside the flush window, see package journal.
	settled = time.Minute
)

// Removals lists devices that were removed after a time and have ids above
// afterID, by their ids and as many as it likes at a time; none when there are no more.
type Removals interface {
	Removed(ctx context.Context, after time.Time, afterID int64) ([]device.Removed, error)
}

// Tombs are the tombstones in the log of one shard.
type Tombs interface {
	// Tombstone marks a removed device for twice the window.
	Tombstone(ctx context.Context, deviceID int64, window time.Duration) error
	// Oldest is when the oldest entry of the log was appended, by the clock of Redis; zero when there is none.
	Oldest(ctx context.Context) (time.Time, error)
}

// Moves are where devices belong that were moved to other shards.
type Moves interface {
	// ForgetMoves drops devices that were removed, each with the time after which nothing of it can be appended, once no log is as old.
	ForgetMoves(ctx context.Context, removed map[int64]time.Time) error
}

// bury puts a tombstone for each removed device into the journal, and renews
// it for as long as the log may hold an entry of the device. Without one, a
// replay after the files were taken away would make them again. The database knows
// what was removed, so neither the command that removes a device
// nor a Redis that forgets can lose it.
func (t *term) bury(ctx context.Context) {
	if t.deps.Removals == nil || t.deps.Tombs == nil {
		return
	}
	marked := map[int64]bool{} // since the last renewal
	var renewed time.Time
	failing := false
	every(ctx, buryEvery, func() {
		back := lately
		if time.Since(renewed) >= renewEvery {
			clear(marked)
			back = farBack
		}
		err := t.tombstones(ctx, back, marked)
		switch {
		case err == nil && back == farBack:
			renewed = time.Now()
		case err != nil && !failing && ctx.Err() == nil:
			t.log.Warn("removed devices cannot be marked in the journal; it is tried again", "err", err)
		}
		failing = err != nil
	})
}

// tombstones marks the devices that were removed not longer than that ago and are not marked already.
func (t *term) tombstones(ctx context.Context, back time.Duration, marked map[int64]bool) error {
	window := t.deps.Settings().Seconds(settings.KeyRRDFlushWindow) + settled
	now := t.deps.Clock.Now()
	oldest := map[int]time.Time{} // entry, by shard
	over := map[int64]time.Time{} // of which their log holds nothing any more
	for d, err := range t.removed(ctx, now.Add(-back)) {
		if err != nil {
			return err
		}
		if marked[d.ID] {
			continue
		}
		log := t.deps.Tombs(d.Shard)
		first, known := oldest[d.Shard]
		if !known {
			if first, err = log.Oldest(ctx); err != nil {
				return err
			}
			if recent := now.Add(-2 * window); first.IsZero() || first.After(recent) {
				first = recent
			}
			oldest[d.Shard] = first
		}
		if d.At.Add(lastAppend).Before(first) {
			over[d.ID] = d.At.Add(lastAppend)
			continue
		}
		if err := log.Tombstone(ctx, d.ID, window); err != nil {
			return err
		}
		marked[d.ID] = true
	}
	if t.deps.Moves == nil || len(over) == 0 {
		return nil
	}
	return t.deps.Moves.ForgetMoves(ctx, over)
}

// removed are all devices that were removed after a time; an error ends them.
func (t *term) removed(ctx context.Context, after time.Time) iter.Seq2[device.Removed, error] {
	return func(yield func(device.Removed, error) bool) {
		for last := int64(0); ; {
			list, err := t.deps.Removals.Removed(ctx, after, last)
			if err != nil {
				yield(device.Removed{}, err)
				return
			}
			if len(list) == 0 {
				return
			}
			for _, d := range list {
				if last = d.ID; !yield(d, nil) {
					return
				}
			}
		}
	}
}

// How far back removed devices are looked for: at a renewal, for longer than a log
// holds entries, and in between, with room for clocks that differ.
const (
	farBack = 60 * 24 * time.Hour
	lately  = 10 * time.Minute
)
