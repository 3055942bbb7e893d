package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

const (
	// billedEvery is how often the leader looks which devices have billed ports.
	billedEvery = 5 * time.Second
	// tallyEvery is how often it looks what the bills say.
	tallyEvery = time.Minute
	// maxBilled bounds the devices.
	maxBilled = 1_000_000
	// collectSlack is how many devices more a queue of billing counts as having when it is judged whether it is
	// full: calculations lie there too, and what was taken since it was read last is not known.
	collectSlack = 16
	// billedPage is how many one question is about.
	billedPage = 5000
)

// BilledDevices tells which devices have ports that are in bills.
type BilledDevices interface {
	// BilledDevices lists those with ids above afterID, in the order of their ids.
	BilledDevices(ctx context.Context, afterID int64, limit int) ([]billing.Device, error)
}

// Billed is what the producer needs of bills.
type Billed interface {
	BilledDevices
	// TallyBills counts the bills.
	TallyBills(ctx context.Context) (store.BillTally, error)
	// PurgeBilling removes samples of slots that began before a time and says how many.
	PurgeBilling(ctx context.Context, before time.Time) (int64, error)
}

// biller offers the tasks of billing during one term.
type biller struct {
	*term
	client *asynq.Client

	// What has been offered: everything up to offered, of the collects known.
	offered    int64
	known      *collects
	calculated tasks.BillingCalculate // that was offered last
	failing    bool
}

// bill offers readings and calculations until ctx ends.
func (t *term) bill(ctx context.Context) {
	if t.deps.Billed == nil {
		return
	}
	b := &biller{term: t, client: asynq.NewClientFromRedisClient(t.deps.Redis)}
	every(ctx, time.Second, func() { b.tick(ctx, t.deps.Clock.Now().Unix()) })
}

// keepBilled reads which devices have billed ports until ctx ends. While the
// database is away the last ones stay. A slow database is asked less often.
func (t *term) keepBilled(ctx context.Context) {
	if t.deps.Billed == nil {
		return
	}
	failing := false
	var tallied time.Time
	for ctx.Err() == nil {
		began := time.Now()
		devices, err := t.readBilled(ctx)
		if err == nil && time.Since(tallied) >= tallyEvery {
			tallied = began
			err = t.tallyBills(ctx)
		}
		switch {
		case err == nil:
			if last := t.billed.Load(); last == nil || !slices.Equal(*last, devices) {
				t.billed.Store(&devices)
			}
		case ctx.Err() == nil && !failing:
			t.log.Warn("it cannot be read which devices have billed ports; the last ones stay in force", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(max(billedEvery, min(restFactor*time.Since(began), longestRest))):
		}
	}
}

// tallyBills exports what the bills say.
func (t *term) tallyBills(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	tally, err := t.deps.Billed.TallyBills(ctx)
	if err != nil {
		return err
	}
	t.metrics.showBills(tally)
	return nil
}

func (t *term) readBilled(ctx context.Context) ([]billing.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return listBilled(ctx, t.deps.Billed)
}

// listBilled lists all devices with billed ports.
func listBilled(ctx context.Context, from BilledDevices) ([]billing.Device, error) {
	var all []billing.Device
	for after := int64(0); len(all) < maxBilled; {
		page, err := from.BilledDevices(ctx, after, billedPage)
		if err != nil {
			return nil, fmt.Errorf("read which devices have billed ports: %w", err)
		}
		all = append(all, page...)
		if len(page) < billedPage {
			break
		}
		after = page[len(page)-1].ID
	}
	return all, nil
}

// collects are the readings that the devices and settings of this moment ask for; nil while the devices are not known.
func (t *term) collects() *collects {
	devices := t.billed.Load()
	if devices == nil {
		return nil
	}
	values := t.deps.Settings()
	wanted := &collects{round: round{interval: int64(values.Int(settings.KeyBillingFrequency))}, distributed: values.Bool(settings.KeyDistributedBilling)}
	if last := t.arranged.Load(); last != nil && last.of == devices && last.same(wanted) {
		return last.collects
	}
	made := newCollects(*devices, int(wanted.interval), wanted.distributed)
	t.arranged.Store(&arrangement{made, devices})
	return made
}

// arrangement is collects and the reading of the devices that they were made of.
type arrangement struct {
	*collects
	of *[]billing.Device
}

// tick offers what is due. What has been offered is remembered only when all of it went through. When slots or queues are
// others than before, because a setting was changed, all present slots are offered anew: what was offered
// before may lie in a queue that nobody serves any more. What was read already is not read again.
func (b *biller) tick(ctx context.Context, now int64) {
	wanted := b.collects()
	if wanted == nil || b.full.Load() || !b.mayOffer() {
		return
	}
	if b.renewBills.Swap(false) {
		b.client = asynq.NewClientFromRedisClient(b.deps.Redis)
		b.offered, b.calculated = 0, tasks.BillingCalculate{}
	}
	if !wanted.same(b.known) {
		b.offered = 0
	}
	if wanted != b.known {
		b.metrics.showBilled(wanted.sizes)
	}
	offers := wanted.due(b.offered, now)
	if wanted != b.known && b.offered != 0 {
		offers = append(offers, wanted.changed(b.known, now)...)
	}
	err := b.offerCollections(ctx, wanted, offers)
	if err == nil {
		b.offered, b.known = max(b.offered, now), wanted
		err = b.offerCalculation(ctx, now)
	}
	if err != nil && ctx.Err() == nil && !b.failing && !errors.Is(err, errStopBatch) {
		b.log.Warn("tasks of billing cannot be offered; each second tries again", "due", len(offers), "err", err)
	}
	b.failing = err != nil
}

func (b *biller) offerCollections(ctx context.Context, wanted *collects, offers []Collection) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(b.config.Workers)
	for i, o := range offers {
		if inner.Err() != nil {
			break
		}
		if i%batchSize == batchSize-1 && !b.mayOffer() {
			return errors.Join(group.Wait(), errStopBatch)
		}
		if !b.queues.room(o.Queue, wanted.inQueue(o.Queue)+collectSlack) {
			b.metrics.countBilling(tasks.TypeBillingCollect, resultQueueFull)
			continue
		}
		group.Go(func() error {
			task, err := o.Task(o.Queue)
			if err != nil {
				return err
			}
			return b.enqueueBilling(inner, task, o.Queue, o.ID())
		})
	}
	return group.Wait()
}

// offerCalculation offers the calculation of the bills when its slot begins.
func (b *biller) offerCalculation(ctx context.Context, now int64) error {
	every := b.deps.Settings().Int(settings.KeyBillingCalculate)
	c := tasks.BillingCalculate{Slot: now - modulo(now, int64(every)), Interval: every}
	if c == b.calculated {
		return nil
	}
	if len(b.known.groups) == 0 { // bills without ports have periods that end, all the same
		asking, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		tally, err := b.deps.Billed.TallyBills(asking)
		if err != nil {
			return fmt.Errorf("ask whether there are bills: %w", err)
		}
		if tally.Bills == 0 {
			b.calculated = c
			return nil
		}
	}
	task, err := c.Task()
	if err != nil {
		return err
	}
	if err := b.enqueueBilling(ctx, task, tasks.BillingQueue, c.ID()); err != nil {
		return err
	}
	b.calculated = c
	return nil
}

// enqueueBilling puts a task into its queue. One that is there already is a success.
func (b *biller) enqueueBilling(ctx context.Context, task *asynq.Task, queue, id string) error {
	_, err := b.client.EnqueueContext(ctx, task)
	switch {
	case err == nil:
		b.queues.addedTo(queue)
		b.metrics.countBilling(task.Type(), resultOffered)
		return nil
	case errors.Is(err, asynq.ErrTaskIDConflict):
		b.metrics.countBilling(task.Type(), resultConflict)
		return nil
	default:
		if ctx.Err() == nil {
			b.metrics.countBilling(task.Type(), resultError)
		}
		return fmt.Errorf("enqueue %s: %w", id, err)
	}
}
