package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pollux/billing"
	"pollux/ops"
	"pollux/store"
)

const (
	// Readings of many devices are written at once, 500 to 1,000 in a statement when there are that many: what is written
	// for each device alone costs the database several times as much. They are written as soon as there are gatherRows of
	// them, or of gatherDevices, whose tasks are most of those in hand; or when gatherTimes are over.
	gatherRows    = 800
	gatherDevices = 512
	// Readings wait for a part of their slot: what a killed node had in hand is read again in the same slot.
	gatherShare, gatherLeast, gatherMost = 30, 3 * time.Second, 8 * time.Second
	idleShare, idleLeast, idleMost       = 100, time.Second, 3 * time.Second
	// collectSave bounds one writing, and collectWait how long a task waits for its own: both, and gatherMost.
	collectSave = 20 * time.Second
	collectWait = 30 * time.Second
)

// gathered are the readings of one device on their way into the database.
type gathered struct {
	readings []billing.Reading
	written  chan error // has room for the one answer
}

// collector writes the readings of many devices together.
type collector struct {
	*Consumer
	in       chan gathered
	failures ops.Seldom
}

func newCollector(c *Consumer) *collector {
	return &collector{Consumer: c, in: make(chan gathered)}
}

// keepReadings has the readings of a device written. When that fails the task comes again, and the device is asked once more.
func (c *Consumer) keepReadings(t *collectTurn, readings []billing.Reading) error {
	if len(readings) == 0 {
		return nil
	}
	// Not under c.reading: what was read is worth a moment, also while the node stops.
	ctx, cancel := context.WithTimeout(context.Background(), collectWait)
	defer cancel()
	mine := gathered{readings, make(chan error, 1)}
	err := errCollectLost
	select {
	case c.biller.writer.in <- mine:
		select {
		case err = <-mine.written:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrInvalid):
		return &collectEndError{collectDatabase}
	default:
		return t.again(c.deps.Clock.Now(), errCollectDatabase, &collectEndError{collectDatabase})
	}
}

var errCollectLost = errors.New("the database does not keep readings in time")

// run writes until ctx ends.
func (w *collector) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.in:
			w.write(w.gather(ctx, first))
		}
	}
}

// gatherTimes are how long a reading waits for others at most, and how long for the next one, in a slot of so many seconds.
func gatherTimes(interval int) (most, idle time.Duration) {
	slot := time.Duration(interval) * time.Second
	return min(max(slot/gatherShare, gatherLeast), gatherMost), min(max(slot/idleShare, idleLeast), idleMost)
}

// gather waits a moment for the readings of other devices; for the shortest one while the node drains.
func (w *collector) gather(ctx context.Context, first gathered) []gathered {
	all, rows := []gathered{first}, len(first.readings)
	most, pause := gatherTimes(first.readings[0].Interval)
	draining := w.draining.Done()
	if w.stopping() {
		most, pause, draining = gatherLeast, idleLeast, nil
	}
	wait, idle := time.NewTimer(most), time.NewTimer(pause)
	defer wait.Stop()
	defer idle.Stop()
	for rows < gatherRows && len(all) < gatherDevices {
		select {
		case next := <-w.in:
			all, rows = append(all, next), rows+len(next.readings)
			idle.Reset(pause)
		case <-idle.C:
			return all
		case <-wait.C:
			return all
		case <-draining:
			return all
		case <-ctx.Done():
			return all
		}
	}
	return all
}

// write writes what was gathered. One reading that cannot be costs those of its device only.
func (w *collector) write(all []gathered) {
	var readings []billing.Reading
	for _, g := range all {
		readings = append(readings, g.readings...)
	}
	err := w.save(readings)
	if errors.Is(err, store.ErrInvalid) && len(all) > 1 {
		for _, g := range all {
			g.written <- w.save(g.readings)
		}
		return
	}
	for _, g := range all {
		g.written <- err
	}
}

// save writes readings and counts the samples that they make.
func (w *collector) save(readings []billing.Reading) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("keep readings: panic: %.200v", r)
			w.complain(&w.panics, slog.LevelError, "the keeping of readings for billing panicked", "panic", fmt.Sprintf("%.200v", r))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), collectSave)
	defer cancel()
	samples, err := w.deps.Billing.Store.Collect(ctx, readings, w.deps.Clock.Now())
	for _, s := range samples {
		w.metrics.samples.WithLabelValues(s.Flags.Worst()).Inc()
	}
	if err != nil {
		w.complain(&w.failures, slog.LevelWarn, "readings of billed ports are not kept; they are read again, or the next slot brings them", "readings", len(readings), "err", err)
		return err
	}
	w.metrics.samples.WithLabelValues(sampleRefused).Add(float64(len(readings) - len(samples)))
	return nil
}

// sampleRefused counts readings that made no sample: their slot had one.
const sampleRefused = "refused"
