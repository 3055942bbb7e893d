package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"pollux/device"
	"pollux/settings"
	"pollux/tasks"
)

const (
	// discoverEvery is how often the leader looks for devices whose discovery is overdue; a new device waits so long at most.
	discoverEvery = 10 * time.Second
	// discoverBurst bounds the discoveries that are offered at one look, so that a cluster that was away for
	// hours, or 100,000 new devices, does not fill Redis.
	discoverBurst = 500
	// discoverPending bounds those that wait in one queue: what is offered too early waits in the database just as well.
	discoverPending = 2000
	// offerAgain is how long an offered discovery is not offered again: longer than its task keeps its id.
	offerAgain = 11 * time.Minute
)

// Discoverables tell which devices are to be discovered, and when each was last.
type Discoverables interface {
	Discoverable(ctx context.Context) ([]device.Discoverable, error)
}

// discover offers discoveries until ctx ends. A discovery that was lost, with a
// node or with Redis, leaves its device overdue and is offered again.
func (t *term) discover(ctx context.Context) {
	if t.deps.Discoverables == nil {
		return
	}
	offered := make(map[int64]offeredDiscovery)
	failing := false
	every(ctx, discoverEvery, func() {
		err := t.offerDiscoveries(ctx, offered)
		if err != nil && ctx.Err() == nil && !failing {
			t.log.Warn("discoveries cannot be offered; the next look tries again", "err", err)
		}
		failing = err != nil
	})
}

// offeredDiscovery is what this leader offered last for a device.
type offeredDiscovery struct {
	slot int64
	at   time.Time
}

func (t *term) offerDiscoveries(ctx context.Context, offered map[int64]offeredDiscovery) error {
	if t.full.Load() || !t.mayOffer() {
		return nil
	}
	if t.renewDiscoveries.Swap(false) {
		t.discoveries = asynq.NewClientFromRedisClient(t.deps.Redis)
		clear(offered)
	}
	reading, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	list, err := t.deps.Discoverables.Discoverable(reading)
	if err != nil {
		return fmt.Errorf("read which devices are to be discovered: %w", err)
	}
	every, now := t.deps.Settings().Int(settings.KeyDiscoveryFrequency), t.deps.Clock.Now()
	listed := make(map[int64]bool, len(list))
	room := make(map[int64]int)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(t.config.Workers)
	burst := 0
	for _, d := range list {
		listed[d.ID] = true
		slot, overdue := d.Overdue(every, now.Unix())
		last := offered[d.ID]
		if !overdue || last.slot == slot && now.Sub(last.at) < offerAgain || burst >= discoverBurst || !t.roomFor(room, d.Group) {
			continue
		}
		burst++
		offered[d.ID] = offeredDiscovery{slot, now}
		task := tasks.Discover{DeviceID: d.ID, Slot: slot, Interval: every}
		group.Go(func() error { return t.enqueueDiscovery(inner, task, d.Group) })
	}
	for id := range offered {
		if !listed[id] {
			delete(offered, id) // removed, disabled or down: it is offered at once when it is back
		}
	}
	if err := group.Wait(); err != nil {
		clear(offered) // which of them went through is not known; those are conflicts
		return err
	}
	return nil
}

// roomFor says whether the discovery queue of a group takes one more task. room holds what is left of each.
func (t *term) roomFor(room map[int64]int, group int64) bool {
	left, known := room[group]
	if !known {
		left = discoverPending
		if info, err := t.queues.info(tasks.Queue(tasks.KindDiscovery, group)); err == nil {
			left -= info.Pending
		}
	}
	room[group] = left - 1
	return left > 0
}

func (t *term) enqueueDiscovery(ctx context.Context, d tasks.Discover, group int64) error {
	task, err := d.Task(group)
	if err != nil {
		return err
	}
	if _, err = t.discoveries.EnqueueContext(ctx, task); err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue the discovery of device %d: %w", d.DeviceID, err)
	}
	return nil
}
