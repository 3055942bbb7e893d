package consumer

import (
	"context"
	"sync"
	"time"

	"pollux/journal"
)

const (
	// lossWindow is how far back a Redis that takes over may have lost what was acknowledged.
	lossWindow = 10 * time.Second
	// identityEvery is how often the journal's Redis is asked who it is.
	identityEvery = 2 * time.Second
	// maxRecent bounds the entries kept: about 60 MB at 48 ports each, and more than a node polls in the window.
	maxRecent = 10_000
)

// recent keeps the entries that were accepted last. Redis replicates behind its
// answers, and writes its file once a second: a server that takes over, or
// comes back after a crash, may not have them.
type recent struct {
	mu      sync.Mutex
	entries []accepted // in the order of their acceptance
}

// accepted is an entry and when it was accepted.
type accepted struct {
	entry journal.Entry
	at    time.Time
}

func (r *recent) add(entry journal.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) >= maxRecent {
		r.entries = append(r.entries[:0], r.entries[1:]...)
	}
	r.entries = append(r.entries, accepted{entry, time.Now()})
}

// forget drops what was accepted before a time.
func (r *recent) forget(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	for old < len(r.entries) && r.entries[old].at.Before(before) {
		old++
	}
	r.entries = append([]accepted(nil), r.entries[old:]...)
}

// all are the entries kept.
func (r *recent) all() []accepted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]accepted(nil), r.entries...)
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
	known := ""
	for ctx.Err() == nil {
		known = c.lookAtJournal(ctx, known)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// lookAtJournal does it once and returns who answers now.
func (c *Consumer) lookAtJournal(ctx context.Context, known string) string {
	asked := time.Now()
	id, err := c.deps.JournalID(ctx)
	if err != nil {
		return known
	}
	if known == "" || id == known {
		c.recent.forget(asked.Add(-lossWindow))
		return id
	}
	again, present := 0, 0
	for _, kept := range c.recent.all() {
		result, err := c.deps.Journal.Append(ctx, kept.entry)
		switch {
		case err != nil:
			return known // the rest comes with the next look
		case result == journal.Accepted:
			again++
		default:
			present++
		}
	}
	c.metrics.reappended.Add(float64(again))
	c.log.Info("another Redis answers for the journal: recent measurements were appended again", "lost", again, "present", present)
	return id
}
