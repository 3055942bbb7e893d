package rrd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"pollux/rrdcached"
)

const (
	// sickFor is how long an RRDCached that did not answer is asked after the others.
	sickFor = 5 * time.Second
	// readPatience is how long one is waited for while another one may answer.
	readPatience = 2 * time.Second
	// lateRows are how many rows at the end of a graph may be unknown in an RRDCached that
	// keeps up: of the slot that is under way, the one whose rate needs its sample, and one that was missed.
	lateRows = 3
)

// Reader reads graphs from the RRDCached of one shard. Each of them gets every
// measurement, so any will do: it takes the first that answers and is not behind.
// It is safe for concurrent use.
type Reader struct {
	clusterID string
	addresses []string

	mu   sync.Mutex
	sick map[string]time.Time // until when those that did not answer are asked last
}

// NewReader reads from RRDCached in the order of their addresses. It connects to none yet.
func NewReader(clusterID string, addresses []string) *Reader {
	return &Reader{clusterID: clusterID, addresses: slices.Clone(addresses), sick: map[string]time.Time{}}
}

// Question says what is read of a file; see rrdcached.Client.Fetch.
type Question struct {
	File     string // relative to the base of the tree
	Function string // AVERAGE, MIN, MAX or LAST
	From, To time.Time
}

// Graph is what was read. Values of counters are rates per second.
type Graph struct {
	rrdcached.Series
	Address string  // of the RRDCached that answered
	Passed  []error // why those before it were passed over
}

// Fetch reads some rows of a file, with all that RRDCached holds of it in memory. One that
// does not answer within 2 s is passed over while another may answer, and asked last for
// 5 s. One that lacks the file or the newest rows, such as one that was away and gets now
// what it missed, is passed over for one that has them.
//
// Errors: those of a question that makes no sense (rrdcached.ErrBadValue, rrdcached.ErrFile), and,
// of all RRDCached together, rrdcached.ErrConnection, rrdcached.ErrNoFile and ErrNotTree.
func (r *Reader) Fetch(ctx context.Context, q Question) (Graph, error) {
	var best Graph
	var passed []error
	order := r.order()
	for i, address := range order {
		alone := i == len(order)-1 && best.Address == ""
		series, err := r.ask(ctx, address, q, alone)
		if errors.Is(err, rrdcached.ErrBadValue) || errors.Is(err, rrdcached.ErrFile) || ctx.Err() != nil && err != nil {
			return Graph{}, err
		}
		if err != nil {
			passed = append(passed, err)
			continue
		}
		if best.Address == "" || newest(series).After(newest(best.Series)) {
			best = Graph{Series: series, Address: address, Passed: slices.Clone(passed)}
		}
		if !late(best.Series, q.To) {
			break
		}
		passed = append(passed, fmt.Errorf("RRDCached at %s has nothing of %s that is newer than %s", address, q.File, newest(series).UTC().Format(time.RFC3339)))
	}
	switch {
	case best.Address != "":
		return best, nil
	case len(order) == 0:
		return best, errors.New("the shard has no RRDCached")
	}
	err := passed[0]
	for _, next := range passed[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return best, err
}

// order are the addresses, those last that did not answer lately.
func (r *Reader) order() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	order := slices.Clone(r.addresses)
	slices.SortStableFunc(order, func(a, b string) int {
		return rank(now.Before(r.sick[a])) - rank(now.Before(r.sick[b]))
	})
	return order
}

func rank(sick bool) int {
	if sick {
		return 1
	}
	return 0
}

// ask reads from one RRDCached, and notes whether it answers.
func (r *Reader) ask(ctx context.Context, address string, q Question, alone bool) (series rrdcached.Series, err error) {
	asking, cancel := ctx, func() {}
	if !alone {
		asking, cancel = context.WithTimeout(ctx, readPatience)
	}
	defer cancel()
	e, err := dial(asking, address, r.clusterID)
	if err == nil {
		defer e.close()
		if series, err = e.client.Fetch(asking, q.File, q.Function, q.From, q.To); err != nil {
			err = fmt.Errorf("RRDCached at %s: read %s: %w", address, q.File, err)
		}
	}
	if ctx.Err() != nil {
		return series, err // that is not its fault
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, rrdcached.ErrConnection) {
		r.sick[address] = time.Now().Add(sickFor)
	} else {
		delete(r.sick, address)
	}
	return series, err
}

// newest is the end of the last row of which something is known.
func newest(series rrdcached.Series) time.Time {
	for _, row := range slices.Backward(series.Rows) {
		if slices.ContainsFunc(row.Values, func(v float64) bool { return !math.IsNaN(v) }) {
			return row.Time
		}
	}
	return time.Time{}
}

// late says whether too many rows are unknown at the end of what was asked for, as far as that is over.
func late(series rrdcached.Series, to time.Time) bool {
	if now := time.Now(); now.Before(to) {
		to = now
	}
	known, unknown := newest(series), 0
	for _, row := range series.Rows {
		if row.Time.After(known) && !row.Time.After(to) {
			unknown++
		}
	}
	return unknown > lateRows
}
