package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"pollux/billing"
	"pollux/settings"
)

// batchSize is how many offers are made between two looks at the lease.
const batchSize = 500

// term is one time of leading: what is remembered ends with it.
type term struct {
	*Producer
	client *asynq.Client // notes which queues it has made known; a Redis that lost them needs a new one
	began  int64         // Unix second

	discoveries      *asynq.Client // only discover uses it
	renewDiscoveries atomic.Bool   // a queue was removed that it takes for known, or Redis lost them

	billed     atomic.Pointer[[]billing.Device] // devices with billed ports; nil until they were read
	arranged   atomic.Pointer[arrangement]      // what collects made last
	renewBills atomic.Bool                      // as renewDiscoveries, of the queues of billing

	runID   string       // of Redis, as watchRedis saw it last
	full    atomic.Bool  // Redis has too little memory left
	restart atomic.Int64 // Unix second at which all current slots are to be offered again; 0 for never

	// What has been offered: everything up to offered, of the schedule known.
	// Only offerEverySecond uses these.
	offered int64
	known   *Schedule
	shown   *Schedule // whose groups are exported
	ticked  int64     // last second that was looked at
	failing bool      // the last offers did not go through

	census      census // only watchNodes uses it
	seen        atomic.Pointer[sighting]
	renewClient atomic.Bool // a queue was removed that client takes for known

	// What observe remembers.
	memory      memory
	reportKnown bool      // what was told before this term was read
	nextLook    time.Time // not before then are the devices looked at again
}

func newTerm(p *Producer) *term {
	now := p.deps.Clock.Now().Unix()
	return &term{Producer: p, client: asynq.NewClientFromRedisClient(p.deps.Redis), discoveries: asynq.NewClientFromRedisClient(p.deps.Redis), began: now, known: NewSchedule(nil), ticked: now, census: census{since: map[string]time.Time{}}}
}

// offerEverySecond offers what is due at the beginning of each second of Redis' clock.
func (t *term) offerEverySecond(ctx context.Context) {
	for ctx.Err() == nil {
		now := t.deps.Clock.Now()
		t.tick(ctx, now.Unix())
		next := now.Truncate(time.Second).Add(time.Second)
		select {
		case <-ctx.Done():
		case <-time.After(next.Sub(t.deps.Clock.Now())):
		}
	}
}

// tick offers what is due. What has been offered is remembered only when all
// of it went through, so an outage repeats it: those that did go through are conflicts.
func (t *term) tick(ctx context.Context, now int64) {
	s := t.schedule.Load()
	if s != t.shown {
		t.metrics.show(s.Groups())
		t.shown = s
	}
	if at := t.restart.Load(); at != 0 && now >= at && t.restart.CompareAndSwap(at, 0) {
		t.offered = 0
		t.renewClient.Store(true)
		t.renewDiscoveries.Store(true)
		t.renewBills.Store(true)
	}
	if t.renewClient.Swap(false) {
		t.client = asynq.NewClientFromRedisClient(t.deps.Redis)
	}
	if t.full.Load() || !t.mayOffer() {
		if t.full.Load() {
			t.metrics.countOffers(Due(s, t.ticked, now), resultMemory)
		}
		t.ticked = now
		return
	}
	t.ticked = now
	offers := Due(s, t.offered, now)
	if s != t.known && t.offered != 0 {
		offers = append(offers, current(s.changes(t.known), now)...)
	}
	if err := t.offer(ctx, offers); err != nil {
		if !t.failing && !errors.Is(err, errStopBatch) && ctx.Err() == nil {
			t.failing = true
			t.log.Warn("slots cannot be offered; each second tries again", "due", len(offers), "err", err)
		}
		return
	}
	if t.failing {
		t.failing = false
		t.log.Info("slots are offered again", "due", len(offers))
	}
	t.offered, t.known = max(t.offered, now), s
}

// offer enqueues some slots. It returns at the first error of Redis, and when the lease is about to end.
func (t *term) offer(ctx context.Context, offers []Offer) error {
	for batch := range slices.Chunk(offers, batchSize) {
		if !t.mayOffer() {
			return errStopBatch
		}
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(t.config.Workers)
		for _, o := range batch {
			if inner.Err() != nil {
				break
			}
			if !t.queues.hasRoom(o.Group, t.schedule.Load().Groups()[o.Group]) {
				t.metrics.countOffer(o.Group, resultQueueFull)
				continue
			}
			group.Go(func() error { return t.enqueue(inner, o) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errStopBatch
		}
	}
	return nil
}

// enqueue puts one slot into its queue. A slot that is there already is a success.
func (t *term) enqueue(ctx context.Context, o Offer) error {
	task, err := o.Task(o.Group)
	if err != nil {
		return err
	}
	_, err = t.client.EnqueueContext(ctx, task)
	switch {
	case err == nil:
		t.queues.added(o.Group)
		t.metrics.countOffer(o.Group, resultOffered)
		return nil
	case errors.Is(err, asynq.ErrTaskIDConflict):
		t.metrics.countOffer(o.Group, resultConflict)
		return nil
	default:
		if ctx.Err() == nil {
			t.metrics.countOffer(o.Group, resultError)
		}
		return fmt.Errorf("enqueue slot %d of device %d: %w", o.Slot, o.DeviceID, err)
	}
}

// old is something that is removed at an age.
type old struct {
	what, key string
	days      int // that the setting counts in
	purge     func(context.Context, time.Time) (int64, error)
}

// oldest is what is removed at an age.
func (t *term) oldest() []old {
	all := []old{
		{"events", settings.KeyEventlogPurge, 1, t.deps.Purger.PurgeEvents},
		{"outages", settings.KeyOutagesPurge, 1, t.deps.Purger.PurgeOutages},
		{"history of nodes", settings.KeyNodeHistoryPurge, 1, t.deps.Purger.PurgeNodeHistory},
		{"what vanished from devices", settings.KeyVanishedPurge, 1, t.deps.Purger.PurgeVanished},
	}
	if t.deps.Billed != nil {
		all = append(all, old{"samples of billed ports", settings.KeyBillingPurge, daysOfMonth, t.deps.Billed.PurgeBilling})
	}
	return all
}

// daysOfMonth is how long a month of samples is.
const daysOfMonth = 31

// purge removes old events, outages, histories, samples, and what vanished from devices long ago, at once and then every hour.
func (t *term) purge(ctx context.Context) {
	every(ctx, purgeEvery, func() {
		ctx, cancel := context.WithTimeout(ctx, purgeLimit)
		defer cancel()
		for _, old := range t.oldest() {
			days := t.deps.Settings().Int(old.key) * old.days
			removed, err := old.purge(ctx, t.deps.Clock.Now().AddDate(0, 0, -days))
			switch {
			case err != nil && ctx.Err() == nil:
				t.log.Warn("what is old cannot be removed; the next hour tries again", "what", old.what, "err", err)
			case removed > 0:
				t.log.Info("what is old was removed", "what", old.what, "rows", removed, "older_than_days", days)
			}
		}
	})
}

// sweep runs the janitor. One that fails begins again after a while: housekeeping must not end with one error.
func (t *term) sweep(ctx context.Context) {
	every(ctx, observeEvery, func() {
		if err := t.deps.Janitor.Run(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("the janitor stopped; it begins again", "err", err)
		}
	})
}

// every calls work at once and then at each interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, work func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		work()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
