package consumer

import (
	"errors"
	"slices"
	"sync"
	"time"

	"pollux/device"
)

const (
	workWindow   = 5 * time.Minute // what lists of nodes and their history speak of
	bucketLength = 10 * time.Second
	maxBuckets   = 64 // more than a window, so that one which has ended can be read a little later
)

// tally counts what this node did: since its start, and in buckets of ten
// seconds for the last minutes. All times are those of Redis' clock.
type tally struct {
	kind     string
	mu       sync.Mutex
	begun    time.Time
	total    counts
	buckets  [maxBuckets]bucket // by number, modulo their count
	strength []strength         // in the order of time; those that ended before all buckets are left out
}

// strength is how many workers there were from a moment until the next one.
type strength struct {
	from    time.Time
	workers int
}

type counts struct {
	done, failed int64
	busy         time.Duration
	late, latest time.Duration // the sum and the longest
}

type bucket struct {
	number int64 // Unix time / bucketLength
	counts
}

func (t *tally) begin(now time.Time) { t.begun = now }

// resize notes how many workers there are from now on. It is called every few
// seconds at most, which bounds how many changes are kept.
func (t *tally) resize(now time.Time, workers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.strength) - 1
	if last >= 0 && t.strength[last].workers == workers {
		return
	}
	t.strength = append(t.strength, strength{now, workers})
	first := 0
	for first < last && t.strength[first+1].from.Before(now.Add(-maxBuckets*bucketLength)) {
		first++
	}
	t.strength = slices.Delete(t.strength, 0, first)
}

// capacity is how long all workers together could have worked between two moments. The caller holds mu.
func (t *tally) capacity(from, to time.Time) (sum time.Duration) {
	for i, s := range t.strength {
		end := to
		if i+1 < len(t.strength) && t.strength[i+1].from.Before(to) {
			end = t.strength[i+1].from
		}
		if s.from.Before(from) {
			s.from = from
		}
		sum += time.Duration(s.workers) * max(end.Sub(s.from), 0)
	}
	return sum
}

// size is how many workers there are. The caller holds mu.
func (t *tally) size() int {
	if len(t.strength) == 0 {
		return 0
	}
	return t.strength[len(t.strength)-1].workers
}

// poll counts a device that was asked, so long after its slot had begun.
func (t *tally) poll(now time.Time, lateness time.Duration) {
	t.add(now, func(c *counts) {
		c.done++
		c.late += lateness
		c.latest = max(c.latest, lateness)
	})
}

// fail counts a turn that was taken up and not finished.
func (t *tally) fail(now time.Time) { t.add(now, func(c *counts) { c.failed++ }) }

// busy counts the time of a worker.
func (t *tally) busy(now time.Time, d time.Duration) { t.add(now, func(c *counts) { c.busy += d }) }

func (t *tally) add(now time.Time, count func(*counts)) {
	number := numberOf(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &t.buckets[number%maxBuckets]
	if b.number != number {
		*b = bucket{number: number}
	}
	count(&t.total)
	count(&b.counts)
}

func numberOf(t time.Time) int64 { return t.UnixNano() / int64(bucketLength) }

// work sums up the window before end. Windows that end at a multiple of ten
// seconds are exact, others begin with the first whole bucket.
func (t *tally) work(end time.Time) device.Work {
	from, to := numberOf(end.Add(-workWindow+bucketLength-1)), numberOf(end.Add(-1))
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum counts
	for i := range t.buckets {
		b := &t.buckets[i]
		if b.number < from || b.number > to {
			continue
		}
		sum.done += b.done
		sum.failed += b.failed
		sum.busy += b.busy
		sum.late += b.late
		sum.latest = max(sum.latest, b.latest)
	}
	w := device.Work{
		Kind: t.kind, Workers: t.size(), Window: max(min(end.Sub(time.Unix(0, from*int64(bucketLength))), end.Sub(t.begun)), 0),
		Done: sum.done, Errors: sum.failed, Busy: sum.busy, LatenessMax: sum.latest,
		DoneTotal: t.total.done, ErrorsTotal: t.total.failed, BusyTotal: t.total.busy,
	}
	// A worker that was taken away while it was busy works on, and its time counts when it is done.
	w.Capacity = max(t.capacity(end.Add(-w.Window), end), w.Busy)
	if sum.done > 0 {
		w.LatenessMean = sum.late / time.Duration(sum.done)
	}
	return w
}

// isUnfinished says whether a turn ended without a result although there was a
// device to poll and this node had taken it up. A task that goes back, a
// repeat, and a device that is not to be polled here are none of that.
func isUnfinished(err error) bool {
	var end *ending
	switch {
	case err == nil, !isFailure(err):
		return false
	case !errors.As(err, &end):
		return true
	case end.outcome == "":
		return false
	default:
		return !slices.Contains([]string{skipRemoved, skipDisabled, skipMoved}, end.reason)
	}
}

// Work is what this node did in the five minutes before end, a time of Redis'
// clock, and since its start: of polls first, then of discoveries, when it makes any.
func (c *Consumer) Work(end time.Time) []device.Work {
	kinds := []device.Work{c.work.work(end)}
	if c.deps.Discovering != nil {
		kinds = append(kinds, c.discovered.work(end))
	}
	return kinds
}

// Served are the poller groups whose tasks this node takes now.
func (c *Consumer) Served() []int64 { return *c.served.Load() }

// Idle says that this node takes no tasks and has none in hand.
func (c *Consumer) Idle() bool {
	return len(c.Served()) == 0 && !c.holding.Load() && c.retiring.Load() == 0 && c.handling.Load() == 0
}

// Stopping says that Run was told to end.
func (c *Consumer) Stopping() bool { return c.stopping() }
