package producer

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

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

func newQueues(inspector *asynq.Inspector, m *metrics, log *slog.Logger) *queues {
	return &queues{inspector: inspector, metrics: m, log: log, depths: map[string]depth{}}
}

// hasRoom says whether the queue of a group with that many devices takes one
// more task. Before it says no it reads the queue, at most every 5 s.
func (q *queues) hasRoom(group int64, devices int) bool {
	name := tasks.Queue(tasks.KindPoller, group)
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
func (q *queues) added(group int64) {
	name := tasks.Queue(tasks.KindPoller, group)
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

// observe reads every queue of ours and exports its depth and latency.
func (q *queues) observe() {
	names, err := q.inspector.Queues()
	if err != nil {
		q.log.Debug("the queues cannot be listed", "err", err)
		return
	}
	seen := map[string]bool{}
	for _, name := range names {
		if !tasks.ValidQueue(name) || len(seen) >= maxQueues {
			continue
		}
		info, err := q.inspector.GetQueueInfo(name)
		if err != nil {
			q.log.Debug("a queue cannot be read", "queue", name, "err", err)
			continue
		}
		seen[name] = true
		q.metrics.showQueue(info)
		q.mu.Lock()
		d := q.depths[name]
		d.pending, d.added, d.read = info.Pending, 0, time.Now()
		q.depths[name] = d
		q.mu.Unlock()
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
