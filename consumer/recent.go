package consumer

import (
	"slices"
	"sync"
	"time"

	"pollux/journal"
)

const (
	// lossWindow is how far back a Redis that takes over may have lost what was
	// acknowledged. A master that is cut off takes writes for the 10 s of
	// min-replicas-max-lag, and 1 s or 2 more until it notices; then it takes the client
	// up to 2 s to leave it.
	lossWindow = 15 * time.Second
	// maxRecent bounds the entries kept: about 150 MB at 48 ports each. A node that
	// polls more than 650 devices a second keeps less than the window.
	maxRecent = 10_000
	// maxMeasured bounds the measurements in them, since a device may have 30,000 ports: as many as in that many entries of 48 ports.
	maxMeasured = 48 * maxRecent
)

// recent keeps the entries that were accepted last. Redis replicates behind its
// answers, and writes its file once a second: a server that takes over, or
// comes back after a crash, may not have them.
type recent struct {
	mu      sync.Mutex
	entries []accepted // in the order of their acceptance
	samples int        // measurements in them
}

// accepted is an entry and when it was accepted.
type accepted struct {
	entry journal.Entry
	at    time.Time
}

func (r *recent) add(entry journal.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples += len(entry.Measurements)
	for len(r.entries) >= maxRecent || r.samples > maxMeasured && len(r.entries) > 0 {
		r.drop(max(1, len(r.entries)/10)) // a tenth at once, so that not every append moves all of them
	}
	r.entries = append(r.entries, accepted{entry, time.Now()})
}

// drop drops the oldest n.
func (r *recent) drop(n int) {
	for i := range n {
		r.samples -= len(r.entries[i].entry.Measurements)
	}
	r.entries = slices.Delete(r.entries, 0, n)
}

// forget drops what was accepted before a time.
func (r *recent) forget(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	for old < len(r.entries) && r.entries[old].at.Before(before) {
		old++
	}
	r.drop(old)
}

// all are the entries kept.
func (r *recent) all() []accepted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.entries)
}
