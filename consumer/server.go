package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"pollux/ops"
	"pollux/tasks"
)

const (
	// checkEvery is how often empty queues are looked at: it is most of a
	// poll's lateness. Many queues are looked at less often, since each look is a call.
	checkEvery         = 200 * time.Millisecond
	checkEveryPerQueue = 2 * time.Millisecond
	// discoveryLookEvery is the same for discoveries, for which nobody waits.
	discoveryLookEvery = 2 * time.Second
	forwardEvery       = time.Second
	// shutdownTimeout is asynq's own limit; what still runs then goes back into its queue.
	shutdownTimeout = drainLimit + time.Second
)

// server is one asynq server: a set of queues and a number of workers.
type server struct {
	asynq *asynq.Server
	tasks atomic.Int64 // in its hands
}

// serve starts a server for some groups, at least one: asynq serves the queue
// "default" when it is given none. all is how many groups this node serves:
// the more they are, the less often each is looked at.
func (c *Consumer) serve(groups []int64, workers, all int) (*server, error) {
	return c.serveKind(tasks.KindPoller, groups, workers, max(checkEvery, time.Duration(all)*checkEveryPerQueue), c.HandlePoll)
}

// serveKind starts a server for the queues of a kind of some groups, at least one. look is how often empty ones are looked at.
func (c *Consumer) serveKind(kind string, groups []int64, workers int, look time.Duration, handle func(context.Context, *asynq.Task) error) (*server, error) {
	queues := make(map[string]int, len(groups))
	for _, group := range groups {
		queues[tasks.Queue(kind, group)] = 1
	}
	return c.serveQueues(queues, workers, look, handle)
}

// serveQueues starts a server for queues, at least one.
func (c *Consumer) serveQueues(queues map[string]int, workers int, look time.Duration, handle func(context.Context, *asynq.Task) error) (*server, error) {
	s := &server{}
	s.asynq = asynq.NewServerFromRedisClient(c.deps.Redis, asynq.Config{
		Concurrency:              workers,
		Queues:                   queues,
		TaskCheckInterval:        look,
		DelayedTaskCheckInterval: forwardEvery,
		ShutdownTimeout:          shutdownTimeout,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ErrorHandler:             asynq.ErrorHandlerFunc(c.noteError),
		Logger:                   c.bridge,
		LogLevel:                 asynq.InfoLevel,
	})
	handler := func(ctx context.Context, task *asynq.Task) error {
		s.tasks.Add(1)
		defer s.tasks.Add(-1)
		return handle(ctx, task)
	}
	if err := s.asynq.Start(asynq.HandlerFunc(handler)); err != nil {
		return nil, fmt.Errorf("start the task server: %w", err)
	}
	return s, nil
}

// retire stops taking tasks, lets those in hand finish, however long they
// take, and ends the server. Once draining has ended they have drainLimit.
func (s *server) retire(draining context.Context) {
	s.asynq.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for s.tasks.Load() > 0 && draining.Err() == nil {
		select {
		case <-draining.Done():
		case <-tick.C:
		}
	}
	s.asynq.Shutdown()
}

// isFailure says what uses up one of a task's retries. A task that is handed back keeps them, as a rule.
func isFailure(err error) bool {
	var back *handBackError
	return !errors.As(err, &back) || back.uses
}

// retryDelay is when a task comes again: at once, so that a lost lease or a
// stopped node costs as little of the slot as possible; a task that waits for
// something else to end comes a while later, each at another moment.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var back *handBackError
	if errors.As(err, &back) && back.after > 0 {
		return back.after + rand.N(back.after)
	}
	return 0
}

// noteError logs what makes asynq run a task again or archive it. When Redis is
// away every poll that waited for it fails: one line in ten seconds tells of the others by their number.
func (c *Consumer) noteError(_ context.Context, task *asynq.Task, err error) {
	if back := (*handBackError)(nil); errors.As(err, &back) {
		return
	}
	c.complain(&c.failures, slog.LevelWarn, "a task failed", "type", task.Type(), "payload", fmt.Sprintf("%.100s", task.Payload()), "err", fmt.Sprintf("%.300v", err))
}

// complain logs what may go wrong with every poll of a node at once: one line in ten seconds, the others at the level debug.
func (c *Consumer) complain(seldom *ops.Seldom, level slog.Level, message string, about ...any) {
	untold, due := seldom.Note(time.Now())
	if !due {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, message, append(about, "untold_before", untold)...)
}

// bridge is asynq's logger, one for all servers of a consumer. asynq repeats its complaints every second while
// Redis is away, and each server has the same; each is passed on once in a while only.
type bridge struct {
	log *slog.Logger

	mu     sync.Mutex
	passed map[string]time.Time
}

const (
	repeatComplaint = 30 * time.Second
	maxComplaints   = 64
	complaintHead   = 30 // bytes that make two complaints the same
)

func newBridge(log *slog.Logger) *bridge { return &bridge{log: log, passed: map[string]time.Time{}} }

// Debug implements asynq.Logger.
func (b *bridge) Debug(args ...any) {}

// Info implements asynq.Logger. What asynq finds worth telling is detail here.
func (b *bridge) Info(args ...any) { b.log.Debug("asynq: " + text(args)) }

// Warn implements asynq.Logger.
func (b *bridge) Warn(args ...any) { b.pass(slog.LevelWarn, text(args)) }

// Error implements asynq.Logger.
func (b *bridge) Error(args ...any) { b.pass(slog.LevelError, text(args)) }

// Fatal implements asynq.Logger, but does not end the process.
func (b *bridge) Fatal(args ...any) { b.pass(slog.LevelError, text(args)) }

func (b *bridge) pass(level slog.Level, message string) {
	head := message[:min(len(message), complaintHead)]
	b.mu.Lock()
	last, known := b.passed[head]
	recent := known && time.Since(last) < repeatComplaint
	if !recent {
		if len(b.passed) >= maxComplaints {
			clear(b.passed)
		}
		b.passed[head] = time.Now()
	}
	b.mu.Unlock()
	if recent {
		level = slog.LevelDebug
	}
	b.log.Log(context.Background(), level, "asynq: "+message)
}

// text joins and cuts what asynq says; it may hold what stands in Redis.
func text(args []any) string { return fmt.Sprintf("%.300s", fmt.Sprint(args...)) }
