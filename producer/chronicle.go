package producer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
)

const (
	// maxWaiting is how many events are kept while the database is away. The oldest go first.
	maxWaiting = 1000
	// chroniclePause is how long after a failure the next try waits.
	chroniclePause = 5 * time.Second
	// chronicleLimit bounds the writing of one event, and what is tried when the process ends.
	chronicleLimit = 5 * time.Second
)

// EventWriter writes one event into the eventlog.
type EventWriter interface {
	AddEvent(ctx context.Context, e device.Event) error
}

// chronicle writes events in the background, in order, so that a database
// that is away or slow holds up nobody. Whatever finds no room is counted.
type chronicle struct {
	events  EventWriter
	log     *slog.Logger
	dropped prometheus.Counter

	mu      sync.Mutex
	waiting []device.Event
	wake    chan struct{} // told when there is something to write
}

func newChronicle(events EventWriter, dropped prometheus.Counter, log *slog.Logger) *chronicle {
	return &chronicle{events: events, log: log, dropped: dropped, wake: make(chan struct{}, 1)}
}

// add notes an event; it never waits.
func (c *chronicle) add(e device.Event) {
	c.mu.Lock()
	if len(c.waiting) >= maxWaiting {
		c.waiting = c.waiting[1:]
		c.dropped.Inc()
	}
	c.waiting = append(c.waiting, e)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run writes what was noted until ctx ends, and then what is left, once.
func (c *chronicle) run(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), chronicleLimit)
			defer cancel()
			if err := c.write(ending); err != nil {
				c.log.Warn("events are lost: they could not be written before the end", "events", c.left(), "err", err)
			}
			return
		case <-c.wake:
		case <-again:
		}
		again = nil
		if err := c.write(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("events cannot be written; they are written later", "waiting", c.left(), "err", err)
			again = time.After(chroniclePause)
		}
	}
}

// write writes all that waits, up to the first failure.
func (c *chronicle) write(ctx context.Context) error {
	for {
		e, found := c.next()
		if !found {
			return nil
		}
		limit, cancel := context.WithTimeout(ctx, chronicleLimit)
		err := c.events.AddEvent(limit, e)
		cancel()
		if err != nil {
			c.putBack(e)
			return err
		}
	}
}

func (c *chronicle) next() (device.Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return device.Event{}, false
	}
	e := c.waiting[0]
	c.waiting = c.waiting[1:]
	return e, true
}

// putBack keeps an event that was not written, unless others have taken its room.
func (c *chronicle) putBack(e device.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= maxWaiting {
		c.dropped.Inc()
		return
	}
	c.waiting = append([]device.Event{e}, c.waiting...)
}

func (c *chronicle) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}
