package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const (
	syncEvery     = 30 * time.Second
	syncSoon      = 5 * time.Second // after a failed sync, or while the clock is not settled
	roundTrips    = 5
	fewestTrips   = 3               // of the five must be good
	longestTrip   = time.Second     // half of it is the error of one reading
	skewLimit     = 5 * time.Second // asynq's leases are written with each node's wall clock and bear this much
	jumpLimit     = 2 * time.Second // what the journal takes for the future
	settlingSyncs = 2               // stable syncs after a jump until the clock is trusted again
)

// Clock is the time that all nodes share: Redis TIME, carried on by the local
// monotonic clock between two syncs. A step of the local wall clock does not
// move it, so it does not move the time of samples either.
//
// A Clock may be used by several goroutines; Sync by one at a time.
type Clock struct {
	epoch  time.Time // the local reading that monotonic times are counted from
	read   func() reading
	server func(context.Context) (time.Time, error)
	log    *slog.Logger
	gauge  prometheus.Gauge
	state  atomic.Pointer[clockState]
}

// reading is one look at the local clocks.
type reading struct {
	wall      time.Time
	monotonic time.Duration // since the epoch
}

type clockState struct {
	synced   bool
	offset   time.Duration // Redis TIME - (epoch + monotonic)
	skew     time.Duration // local wall clock - Redis TIME
	settling int           // stable syncs that are missing since the last jump
}

func (s clockState) skewed() bool {
	return !s.synced || s.skew.Abs() > skewLimit || s.settling > 0
}

// NewClock prepares a clock; until the first Sync it shows local time and is skewed.
// It registers pollux_clock_skew_seconds.
func NewClock(client redis.UniversalClient, log *slog.Logger, registerer prometheus.Registerer) *Clock {
	c := &Clock{
		epoch: time.Now(), log: log,
		server: func(ctx context.Context) (time.Time, error) { return client.Time(ctx).Result() },
		gauge: register(registerer, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_clock_skew_seconds",
			Help: "Local wall clock minus Redis TIME at the last sync; beyond 5 s the node neither leads nor consumes.",
		})),
	}
	c.read = func() reading {
		now := time.Now()
		return reading{wall: wallOf(now), monotonic: now.Sub(c.epoch)}
	}
	c.state.Store(&clockState{})
	return c
}

// Now is the present time of Redis, in UTC. It seldom goes back, and then by
// the error of a sync only: some milliseconds at most in one network.
func (c *Clock) Now() time.Time { return c.at(c.read().monotonic) }

// At converts a local reading (time.Now) to the time of Redis, in UTC. It uses
// the reading's monotonic part, so it must not have been stored or rounded.
func (c *Clock) At(local time.Time) time.Time { return c.at(local.Sub(c.epoch)) }

func (c *Clock) at(monotonic time.Duration) time.Time {
	return c.epoch.Round(0).Add(monotonic + c.state.Load().offset).UTC()
}

// Skewed says that this node must neither lead nor consume: its wall clock is
// more than 5 s off Redis TIME, or the offset between its monotonic clock and
// Redis TIME changed by more than 2 s from one sync to the next (a suspended
// machine, a stepped clock of the Redis host, another Redis host) and two
// syncs in a row have not confirmed the new one yet, or it was never synced.
func (c *Clock) Skewed() bool { return c.state.Load().skewed() }

// Run syncs every 30 s until ctx ends, and every 5 s while the last sync
// failed or the clock is skewed. It logs when that changes.
func (c *Clock) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing, reported := false, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := c.Sync(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			c.log.Warn("the clock is not synced with Redis; it runs on by itself", "error", err)
		}
		failing = err != nil
		if skewed := c.Skewed(); err == nil && skewed != reported {
			c.logChange(skewed)
			reported = skewed
		}
		if failing || c.Skewed() {
			timer.Reset(syncSoon)
		} else {
			timer.Reset(syncEvery)
		}
	}
}

func (c *Clock) logChange(skewed bool) {
	state := c.state.Load()
	if skewed {
		c.log.Error("the clock does not agree with Redis: this node stops leading and consuming; look at its time service (chrony, ntpd) and at that of the Redis host",
			"skew", state.skew, "offset", state.offset)
		return
	}
	c.log.Info("the clock agrees with Redis", "skew", state.skew)
}

// Sync measures the offset to Redis TIME by five round trips, each read at its
// middle: the median of the three that took the shortest. Half of what a trip took
// is its error, so an offset in use that lies within it stays: on a machine that is
// busy for a moment, all five may take long, and a clock that moves by their
// error would shift slots and samples. After an error the last offset stays in use, too.
func (c *Clock) Sync(ctx context.Context) error {
	last := *c.state.Load()
	var trips []trip
	var failures []error
	for range roundTrips {
		one, err := c.roundTrip(ctx)
		if err != nil {
			failures = append(failures, err)
			if len(failures) > roundTrips-fewestTrips {
				return fmt.Errorf("sync the clock with Redis: %w", errors.Join(failures...))
			}
			continue
		}
		trips = append(trips, one)
	}
	slices.SortFunc(trips, func(a, b trip) int { return cmp.Compare(a.took, b.took) })
	trips = trips[:fewestTrips]
	slices.SortFunc(trips, func(a, b trip) int { return cmp.Compare(a.offset, b.offset) })
	read := trips[len(trips)/2]
	next := read.clockState
	next.synced = true
	if moved := next.offset - last.offset; last.synced && moved.Abs() <= read.took/2 {
		next.offset, next.skew = last.offset, next.skew+moved
	}
	switch {
	case last.synced && (next.offset-last.offset).Abs() > jumpLimit:
		next.settling = settlingSyncs
	case last.settling > 0:
		next.settling = last.settling - 1
	}
	c.state.Store(&next)
	c.gauge.Set(next.skew.Seconds())
	return nil
}

// trip is one reading of the server's clock.
type trip struct {
	clockState
	took time.Duration
}

func (c *Clock) roundTrip(ctx context.Context) (trip, error) {
	sent := c.read()
	server, err := c.server(ctx)
	if err != nil {
		return trip{}, err
	}
	took := c.read().monotonic - sent.monotonic
	if took > longestTrip {
		return trip{}, fmt.Errorf("a round trip of %v is too long to read a clock by", took)
	}
	middle := c.epoch.Round(0).Add(sent.monotonic + took/2)
	return trip{clockState{offset: server.Sub(middle), skew: sent.wall.Add(took / 2).Sub(server)}, took}, nil
}
