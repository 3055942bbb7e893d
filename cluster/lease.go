package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// leaseScript takes or renews a lease. It can be sent twice: the second time
// finds its own token, which a plain SET NX would take for somebody else's.
// ARGV: token, TTL in ms, "1" to renew only. Returns 1 when the token holds the lease.
var leaseScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return 1
end
if holder or ARGV[3] == '1' then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// releaseScript deletes a lease that the token still holds.
var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)

// Lease is a key in Redis that at most one token holds and that lapses by
// itself. It is an efficiency lock: a holder that was frozen, or whose Redis
// failed over, may go on for a moment beside the next one.
//
// One goroutine uses a Lease; only Deadline and Token may be called from others.
type Lease struct {
	client redis.UniversalClient
	key    string
	token  string
	ttl    time.Duration

	mu       sync.Mutex
	deadline time.Time
}

// NewLease prepares a lease on a key. holder is a name for people, such as the
// NODE_ID; it need not be unique. ttl is at least a few seconds in practice:
// the holder must renew within it.
func NewLease(client redis.UniversalClient, key, holder string, ttl time.Duration) *Lease {
	return &Lease{client: client, key: key, token: holder + "/" + place() + "/" + random(), ttl: ttl}
}

// Token is what stands in Redis while this lease is held:
// "<holder>/<host>:<pid>/<random>", unique to this Lease.
func (l *Lease) Token() string { return l.token }

// Deadline is until when the lease is surely held, by the local monotonic
// clock: the start of the last successful call plus the TTL. It is zero when
// the lease is not held, and past when it lapsed.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// TryAcquire takes the lease, or renews it when it is held, in one round trip.
// A lease that was held and is gone from Redis is lost: the answer is false
// once, even though nobody holds it, because somebody may have in between.
// After an error the lease stays held until its Deadline.
func (l *Lease) TryAcquire(ctx context.Context) (bool, error) {
	started := time.Now()
	renewOnly := 0
	if started.Before(l.Deadline()) {
		renewOnly = 1
	}
	held, err := leaseScript.Run(ctx, l.client, []string{l.key}, l.token, l.ttl.Milliseconds(), renewOnly).Bool()
	if err != nil {
		return false, fmt.Errorf("acquire the lease %s: %w", l.key, err)
	}
	if !held {
		l.setDeadline(time.Time{})
		return false, nil
	}
	l.setDeadline(started.Add(l.ttl))
	return true, nil
}

// Release gives the lease up when it is still held, so that the next holder
// need not wait for it to lapse.
func (l *Lease) Release(ctx context.Context) error {
	l.setDeadline(time.Time{})
	if err := releaseScript.Run(ctx, l.client, []string{l.key}, l.token).Err(); err != nil {
		return fmt.Errorf("release the lease %s: %w", l.key, err)
	}
	return nil
}

// Holder is the token of whoever holds the lease now, cut to 255 printable bytes; "" for nobody.
func (l *Lease) Holder(ctx context.Context) (string, error) {
	token, err := l.client.GetRange(ctx, l.key, 0, maxText-1).Result()
	if err != nil {
		return "", fmt.Errorf("read the holder of the lease %s: %w", l.key, err)
	}
	return printable(token), nil
}

func (l *Lease) setDeadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
}
