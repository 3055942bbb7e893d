package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/ops"
)

const (
	shortestWait   = 50 * time.Millisecond // between two looks at a device's lease that another poll holds
	longestWait    = 500 * time.Millisecond
	deviceRelease  = time.Second // a poll's end does not wait longer than this for Redis
	deviceRenewals = 3           // per TTL
)

// DeviceLeases hands out the leases of devices (pollux:lease:<device>), which
// keep two nodes from reading one device at a time. A lease costs one round
// trip to take and one to give back; most polls end before the first renewal.
type DeviceLeases struct {
	client redis.UniversalClient
	prefix string
	log    *slog.Logger
	taken  atomic.Uint64
	lost   ops.Seldom // leases, in the log
}

// NewDeviceLeases prepares the leases of one process. holder names it for people, such as its NODE_ID.
func NewDeviceLeases(client redis.UniversalClient, holder string, log *slog.Logger) *DeviceLeases {
	return &DeviceLeases{client: client, prefix: holder + "/" + place() + "/" + random() + "-", log: log}
}

// Acquire takes the lease of a device for ttl and renews it at each third of
// ttl, but never past until: the poll's deadline in local time. While
// another poll holds it, Acquire waits, at most one ttl and not past until; then
// ok is false. An error means that Redis did not answer, or that ctx ended.
//
// release gives the lease back; it may be called more than once, works after
// the end of ctx, and takes at most one second. It is never nil.
func (d *DeviceLeases) Acquire(ctx context.Context, deviceID int64, ttl time.Duration, until time.Time) (release func(), ok bool, err error) {
	h := &deviceHold{
		leases: d, key: deviceLeases + strconv.FormatInt(deviceID, 10), ttl: ttl, until: until,
		// A token per hold: a late renewal of the last poll must not prolong the lease of this one.
		token: d.prefix + strconv.FormatUint(d.taken.Add(1), 10),
	}
	giveUp := time.Now().Add(ttl)
	if until.Before(giveUp) {
		giveUp = until
	}
	for wait := shortestWait; time.Now().Before(giveUp); wait = min(2*wait, longestWait) {
		held, err := h.call(ctx, false)
		if err != nil {
			return func() {}, false, fmt.Errorf("acquire the lease of device %d: %w", deviceID, err)
		}
		if held {
			h.start(context.WithoutCancel(ctx))
			return h.release, true, nil
		}
		pause(ctx, min(wait, time.Until(giveUp)))
		if ctx.Err() != nil {
			return func() {}, false, fmt.Errorf("wait for the lease of device %d: %w", deviceID, ctx.Err())
		}
	}
	return func() {}, false, nil
}

// deviceHold is one lease of a device while it is held.
type deviceHold struct {
	leases *DeviceLeases
	key    string
	token  string
	ttl    time.Duration
	until  time.Time
	ctx    context.Context // for the renewals and the release, which outlast the caller's context

	mu    sync.Mutex
	timer *time.Timer // nil when it is released or not to be renewed any more
	done  bool
}

// call takes or renews the lease. It never lasts beyond until, so that the
// device's next slot does not wait for a node that died in this one.
func (h *deviceHold) call(ctx context.Context, renewOnly bool) (bool, error) {
	only := 0
	if renewOnly {
		only = 1
	}
	lasts := max(min(h.ttl, time.Until(h.until)), time.Millisecond)
	return leaseScript.Run(ctx, h.leases.client, []string{h.key}, h.token, lasts.Milliseconds(), only).Bool()
}

// start arms the first renewal: a timer, not a goroutine, since it seldom fires.
func (h *deviceHold) start(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ctx = ctx
	h.timer = time.AfterFunc(h.ttl/deviceRenewals, h.renew)
}

func (h *deviceHold) renew() {
	if !time.Now().Before(h.until) {
		return
	}
	ctx, stop := context.WithTimeout(h.ctx, h.ttl/deviceRenewals)
	held, err := h.call(ctx, true)
	stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done {
		return
	}
	if err == nil && !held {
		// The poll goes on: the journal refuses what comes out of order.
		level, more := slog.LevelDebug, 0
		if count, due := h.leases.lost.Note(time.Now()); due { // many are, when Redis refused their renewal
			level, more = slog.LevelWarn, count
		}
		h.leases.log.Log(h.ctx, level, "the lease of a device was lost during its poll", "key", h.key, "untold_before", more)
		return
	}
	if err != nil {
		h.leases.log.Debug("the lease of a device is not renewed; trying again", "key", h.key, "error", err)
	}
	h.timer.Reset(h.ttl / deviceRenewals)
}

func (h *deviceHold) release() {
	h.mu.Lock()
	done := h.done
	h.done = true
	h.timer.Stop()
	h.mu.Unlock()
	if done {
		return
	}
	ctx, stop := context.WithTimeout(h.ctx, deviceRelease)
	defer stop()
	if err := releaseScript.Run(ctx, h.leases.client, []string{h.key}, h.token).Err(); err != nil {
		h.leases.log.Debug("the lease of a device is left to lapse", "key", h.key, "error", err)
	}
}
