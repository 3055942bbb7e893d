package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/tasks"
)

const (
	sweepEvery   = time.Minute
	stuckPasses  = 2        // an id without a lease is stuck when so many passes in a row see it
	maxQueues    = 4096     // looked at per pass
	maxIDs       = 2000     // per queue and pass: far more than a node's workers
	maxMessage   = 64 << 10 // bytes of a task that can be ours: a payload of 256 and an error text
	maxComplains = 20       // errors kept of one pass
)

// What the janitor repairs, the label "kind" of pollux_queue_repairs_total.
const (
	repairStuck       = "stuck"       // in the active list without a lease: asynq never looks at it again, and its TaskID stays taken
	repairLost        = "lost"        // with an expired lease, but its task is gone: the recoverer passes it over for ever
	repairUndecodable = "undecodable" // one such message with an expired lease stops the recovery of all queues of a server
)

// Janitor removes from asynq's keys what asynq v0.26.0 itself never cleans up
// after a failover, an eviction or a restore. It runs on the leader. Two
// janitors at once are harmless: each repair is one script that looks again.
type Janitor struct {
	client  redis.UniversalClient
	log     *slog.Logger
	repairs *prometheus.CounterVec
	seen    map[string]int // passes in a row that saw "queue id" in active without a lease
}

// NewJanitor prepares a janitor and registers pollux_queue_repairs_total{kind}.
func NewJanitor(client redis.UniversalClient, log *slog.Logger, registerer prometheus.Registerer) *Janitor {
	j := &Janitor{client: client, log: log, seen: map[string]int{}, repairs: register(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pollux_queue_repairs_total", Help: "Entries that the janitor removed from the queues' keys, by kind.",
	}, []string{"kind"}))}
	for _, kind := range []string{repairStuck, repairLost, repairUndecodable} {
		j.repairs.WithLabelValues(kind)
	}
	return j
}

// Run sweeps once a minute until ctx ends, and logs what fails.
func (j *Janitor) Run(ctx context.Context) error {
	clear(j.seen) // what an earlier term saw is too old to count
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := j.Sweep(ctx); err != nil && ctx.Err() == nil {
			j.log.Warn("the sweep of the queues is incomplete", "error", err)
		}
	}
}

// Sweep makes one pass over the queues of Pollux, never over those of others.
// What fails for one queue or task is in the error and does not stop the pass.
func (j *Janitor) Sweep(ctx context.Context) error {
	queues, err := j.queues(ctx)
	if err != nil {
		return err
	}
	now, err := j.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its time: %w", err)
	}
	pass := &sweep{Janitor: j, now: now, seen: map[string]int{}, removed: map[string]removal{}}
	defer pass.say()
	for _, queue := range queues {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pass.stuck(ctx, queue)
		pass.expired(ctx, queue)
	}
	j.seen = pass.seen
	return errors.Join(pass.errs...)
}

// queues lists the names in asynq:queues that are ours.
func (j *Janitor) queues(ctx context.Context) ([]string, error) {
	var queues []string
	var cursor uint64
	for range maxScanCalls {
		names, next, err := j.client.SScan(ctx, "asynq:queues", cursor, "", scanCount).Result()
		if err != nil {
			return nil, fmt.Errorf("list the queues: %w", err)
		}
		for _, name := range names {
			if tasks.ValidQueue(name) {
				queues = append(queues, name)
			}
		}
		if next == 0 || len(queues) > maxQueues {
			break
		}
		cursor = next
	}
	slices.Sort(queues)
	queues = slices.Compact(queues)
	if len(queues) > maxQueues {
		j.log.Warn("more queues than one pass looks at", "queues", len(queues), "looked_at", maxQueues)
		queues = queues[:maxQueues]
	}
	return queues, nil
}

// sweep is one pass.
type sweep struct {
	*Janitor
	now  time.Time
	seen map[string]int
	errs []error

	removed map[string]removal // by kind
}

// removal is what one pass removed of one kind: how many entries, and the first of them.
type removal struct {
	entries     int
	queue, task string
}

// say logs what was removed, one line per kind: after a failover it may be thousands of entries.
func (s *sweep) say() {
	for kind, r := range s.removed {
		s.log.Warn("removed broken entries of the queues", "kind", kind, "entries", r.entries, "first_queue", r.queue, "first_task", printable(r.task))
	}
}

func (s *sweep) failed(err error) {
	if err != nil && len(s.errs) < maxComplains {
		s.errs = append(s.errs, err)
	}
}

// stuck looks for ids in the active list without a lease. Dequeue pushes at
// the head, so the oldest, and with them the stuck ones, are at the tail.
func (s *sweep) stuck(ctx context.Context, queue string) {
	key := queueKeys(queue)
	ids, err := s.client.LRange(ctx, key.active, -maxIDs, -1).Result()
	if err != nil || len(ids) == 0 {
		s.failed(wrap(err, "read the active tasks", queue))
		return
	}
	leases, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range ids {
			pipe.ZScore(ctx, key.lease, id)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		s.failed(wrap(err, "read the leases", queue))
		return
	}
	for i, id := range ids {
		if !errors.Is(leases[i].Err(), redis.Nil) {
			continue
		}
		name := queue + " " + id
		s.seen[name] = min(s.Janitor.seen[name]+1, stuckPasses)
		if s.seen[name] >= stuckPasses {
			s.repair(ctx, repairStuck, queue, id, stuckScript, id)
		}
	}
}

// expired looks for tasks with an expired lease that the recoverer cannot handle.
// Usually none has one; they are few after a crash.
func (s *sweep) expired(ctx context.Context, queue string) {
	key := queueKeys(queue)
	ids, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: key.lease, Start: "-inf", Stop: strconv.FormatInt(s.now.Unix(), 10), ByScore: true, Count: maxIDs,
	}).Result()
	if err != nil {
		s.failed(wrap(err, "read the expired leases", queue))
		return
	}
	for _, id := range ids {
		task := key.task + id
		size, err := s.client.HStrLen(ctx, task, "msg").Result()
		var message string
		if err == nil && size > 0 && size <= maxMessage {
			message, err = s.client.HGet(ctx, task, "msg").Result()
		}
		switch {
		case redis.HasErrorPrefix(err, "WRONGTYPE"), err == nil && size > maxMessage:
			s.repair(ctx, repairUndecodable, queue, id, expiredScript, id, "", maxMessage)
		case errors.Is(err, redis.Nil): // finished since the last call
		case err != nil:
			s.failed(wrap(err, "read a task", queue))
			return
		case size == 0:
			s.repair(ctx, repairLost, queue, id, expiredScript, id, "", maxMessage)
		case !decodable([]byte(message)):
			s.repair(ctx, repairUndecodable, queue, id, expiredScript, id, message, maxMessage)
		}
	}
}

// repair runs a script that looks again and removes; it counts what was removed.
func (s *sweep) repair(ctx context.Context, kind, queue, id string, script *redis.Script, args ...any) {
	key := queueKeys(queue)
	removed, err := script.Run(ctx, s.client, []string{key.active, key.lease, key.task + id}, args...).Bool()
	if err != nil {
		s.failed(wrap(err, "repair a task", queue))
		return
	}
	if removed {
		s.repairs.WithLabelValues(kind).Inc()
		r, again := s.removed[kind]
		if !again {
			r = removal{queue: queue, task: id}
		}
		r.entries++
		s.removed[kind] = r
	}
}

// stuckScript removes an id from the active list when it has no lease, and its
// task when that is what the list says: active, or without a state.
// KEYS: active, lease, task. ARGV: id.
var stuckScript = redis.NewScript(`
if redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then
	return 0
end
if redis.call('TYPE', KEYS[3]).ok == 'hash' then
	local state = redis.call('HGET', KEYS[3], 'state')
	if state and state ~= 'active' then
		return 1
	end
end
redis.call('DEL', KEYS[3])
return 1`)

// expiredScript removes a task from lease and active list, when it is still
// the message that was judged (” for none), too long, or no hash at all.
// KEYS: active, lease, task. ARGV: id, message, longest message.
var expiredScript = redis.NewScript(`
if redis.call('TYPE', KEYS[3]).ok == 'hash' and redis.call('HSTRLEN', KEYS[3], 'msg') <= tonumber(ARGV[3]) then
	if (redis.call('HGET', KEYS[3], 'msg') or '') ~= ARGV[2] then
		return 0
	end
end
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
	return 0
end
redis.call('LREM', KEYS[1], 0, ARGV[1])
redis.call('DEL', KEYS[3])
return 1`)

// queueKeySet names asynq's keys of one queue (asynq v0.26.0, internal/base: QueueKeyPrefix and others).
type queueKeySet struct{ active, lease, task string }

func queueKeys(queue string) queueKeySet {
	prefix := "asynq:{" + queue + "}:"
	return queueKeySet{active: prefix + "active", lease: prefix + "lease", task: prefix + "t:"}
}

func wrap(err error, doing, queue string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of queue %s: %w", doing, queue, err)
}
