package cluster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	shortestRefusal = time.Second
	longestRefusal  = 5 * time.Second
	refusalMemory   = 2 * longestRefusal // a refusal after so long a time without one starts at the shortest pause again
)

// refusals are the beginnings of replies that say that Redis answers but does
// not work. The last one is what a script's denied command yields.
var refusals = []string{
	"OOM ", "MISCONF ", "READONLY ", "NOPERM ", "LOADING ", "NOREPLICAS ", "The user executing the script can't run",
}

// backoff is a hook of the client that delays a call which Redis refused.
// Callers such as asynq's processor try again at once after a reply, which
// costs half a core and floods a server that is out of memory already.
type backoff struct {
	log   *slog.Logger
	now   func() time.Time
	pause func(context.Context, time.Duration)

	mu    sync.Mutex
	level int
	last  time.Time // when the last refusal came
	since time.Time // when the level changed last
}

func newBackoff(log *slog.Logger) *backoff {
	return &backoff{log: log, now: time.Now, pause: pause}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// DialHook implements redis.Hook; dialling has its own pauses.
func (b *backoff) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (b *backoff) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if refused(err) {
			b.pause(ctx, b.delay(cmd.Name(), err))
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook: one pause, however many commands were refused.
func (b *backoff) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if refused(cmd.Err()) {
				b.pause(ctx, b.delay(cmd.Name(), cmd.Err()))
				break
			}
		}
		return err
	}
}

// delay is min(1 s x 2^n, 5 s), where n counts pauses in a row, not calls: a
// hundred workers refused at once are one step.
func (b *backoff) delay(command string, err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	current := min(shortestRefusal<<b.level, longestRefusal)
	switch {
	case b.last.IsZero() || now.Sub(b.last) > refusalMemory:
		b.level, b.since = 0, now
		b.log.Warn("Redis refuses a command; calls slow down until it works again", "command", command, "reply", printable(err.Error()))
	case now.Sub(b.since) >= current && current < longestRefusal:
		b.level++
		b.since = now
	}
	b.last = now
	return min(shortestRefusal<<b.level, longestRefusal)
}

// refused says whether Redis answered that it does not work at present.
func refused(err error) bool { return begins(err, refusals) }

// begins says whether an error is a reply of Redis with one of some beginnings.
// Some proxies put "ERR " before the reply that they pass on.
func begins(err error, beginnings []string) bool {
	var reply redis.Error
	if err == nil || !errors.As(err, &reply) {
		return false
	}
	text := strings.TrimPrefix(reply.Error(), "ERR ")
	for _, beginning := range beginnings {
		if strings.HasPrefix(text, beginning) {
			return true
		}
	}
	return false
}
