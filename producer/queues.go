package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/tasks"
)

const (
	// fullFactor times the devices of its group is what a queue may hold in
	// pending tasks, so that a paused queue or one without nodes cannot fill Redis.
	fullFactor = 2
	// sampleEvery is the least time between two readings of a queue that seems
	// full: asynq's reading samples the memory of the queue's keys too.
	sampleEvery = 5 * time.Second
	// maxQueues bounds the queues that are watched, and so the labels of the metrics.
	maxQueues = 2000
)

// queues knows how many tasks wait in each queue: a reading, plus what was added since.
type queues struct {
	inspector *asynq.Inspector
	client    redis.UniversalClient
	metrics   *metrics
	log       *slog.Logger

	mu     sync.Mutex
	depths map[string]depth
}

// depth is what is known of one queue.
type depth struct {
	pending int       // when it was read
	added   int       // since then, by this producer
	read    time.Time // zero when it never was
	full    bool      // as it was last answered
}

func newQueues(client redis.UniversalClient, m *metrics, log *slog.Logger) *queues {
	return &queues{inspector: asynq.NewInspectorFromRedisClient(client), client: client, metrics: m, log: log, depths: map[string]depth{}}
}

// hasRoom says whether the queue of a group with that many devices takes one
// more task. Before it says no it reads the queue, at most every 5 s.
func (q *queues) hasRoom(group int64, devices int) bool {
	return q.room(tasks.Queue(tasks.KindPoller, group), devices)
}

// room says it of a queue by its name.
func (q *queues) room(name string, devices int) bool {
	q.mu.Lock()
	d := q.depths[name]
	q.mu.Unlock()
	limit := fullFactor * max(devices, 1)
	if d.pending+d.added >= limit && time.Since(d.read) >= sampleEvery {
		d = q.sample(name)
	}
	full := d.pending+d.added >= limit
	if full == d.full {
		return !full
	}
	q.mu.Lock()
	d = q.depths[name]
	d.full = full
	q.depths[name] = d
	q.mu.Unlock()
	if full {
		q.log.Warn("a queue is full: its slots are skipped until nodes take them", "queue", name, "pending", d.pending+d.added, "devices", devices)
	} else {
		q.log.Info("a queue has room again", "queue", name)
	}
	return !full
}

// added counts one task that was put into the queue of a group.
func (q *queues) added(group int64) { q.addedTo(tasks.Queue(tasks.KindPoller, group)) }

// addedTo counts one that was put into a queue by its name.
func (q *queues) addedTo(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.depths[name]
	d.added++
	q.depths[name] = d
}

// sample reads one queue. One that cannot be read keeps its last reading.
func (q *queues) sample(name string) depth {
	info, err := q.info(name)
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.depths[name]
	d.read = time.Now()
	if err == nil {
		d.pending, d.added = info.Pending, 0
	}
	q.depths[name] = d
	return d
}

// info asks asynq for a queue; one that does not exist yet is empty.
func (q *queues) info(name string) (*asynq.QueueInfo, error) {
	names, err := q.inspector.Queues()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		return &asynq.QueueInfo{Queue: name}, nil
	}
	return q.inspector.GetQueueInfo(name)
}

// queueLook is a queue as it was read.
type queueLook struct {
	*asynq.QueueInfo
	PausedSince time.Time // zero when it is not paused, or not known since when
}

// observe reads every queue of ours and exports its depth and latency. known
// says whether all of them could be read.
func (q *queues) observe(ctx context.Context) (looks []queueLook, known bool) {
	names, err := q.inspector.Queues()
	if err != nil {
		q.log.Debug("the queues cannot be listed", "err", err)
		return nil, false
	}
	known = true
	for _, name := range names {
		if !tasks.ValidQueue(name) || len(looks) >= maxQueues {
			continue
		}
		found, err := readQueue(ctx, q.inspector, q.client, name)
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue // removed since it was listed
		}
		if err != nil {
			q.log.Debug("a queue cannot be read", "queue", name, "err", err)
			// Keys of another type concern this queue only.
			known = known && strings.Contains(err.Error(), "WRONGTYPE")
			continue
		}
		looks = append(looks, found)
		q.metrics.showQueue(found.QueueInfo)
		q.mu.Lock()
		d := q.depths[name]
		d.pending, d.added, d.read = found.Pending, 0, time.Now()
		q.depths[name] = d
		q.mu.Unlock()
	}
	q.forget(names)
	return looks, known
}

// forget hides the queues that are not there any more.
func (q *queues) forget(there []string) {
	seen := map[string]bool{}
	for _, name := range there {
		seen[name] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for name := range q.depths {
		if !seen[name] {
			delete(q.depths, name)
			q.metrics.forgetQueue(name)
		}
	}
}

// allQueuesKey is where asynq keeps the names of its queues.
const allQueuesKey = "asynq:queues"

// readQueue reads one queue; asynq.ErrQueueNotFound when it does not exist,
// which asynq's own error does not tell.
func readQueue(ctx context.Context, inspector *asynq.Inspector, client redis.UniversalClient, name string) (queueLook, error) {
	info, err := inspector.GetQueueInfo(name)
	if err != nil {
		if there, askErr := client.SIsMember(ctx, allQueuesKey, name).Result(); askErr == nil && !there {
			err = asynq.ErrQueueNotFound
		}
		return queueLook{}, fmt.Errorf("read queue %s: %w", name, err)
	}
	found := queueLook{QueueInfo: info}
	if info.Paused {
		found.PausedSince, err = pausedSince(ctx, client, name)
	}
	return found, err
}

// pausedKey is where asynq keeps since when a queue is paused, in Unix seconds.
func pausedKey(queue string) string { return "asynq:{" + queue + "}:paused" }

// pausedSince is zero for a queue that is not paused, or was not paused by asynq.
func pausedSince(ctx context.Context, client redis.UniversalClient, queue string) (time.Time, error) {
	text, err := client.GetRange(ctx, pausedKey(queue), 0, 20).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("read since when queue %s is paused: %w", queue, err)
	}
	second, err := strconv.ParseInt(text, 10, 64)
	if err != nil || second <= 0 {
		return time.Time{}, nil
	}
	return time.Unix(second, 0), nil
}
