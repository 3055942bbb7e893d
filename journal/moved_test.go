package journal_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

// before is a hook of the Redis client that does something before a read of the log.
type before struct {
	read func(from string) // nil for nothing
	done atomic.Bool
}

func (b *before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *before) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b *before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		if i := slices.IndexFunc(commands, func(c redis.Cmder) bool { return c.Name() == "xread" }); i >= 0 && !b.done.Load() {
			args := commands[i].Args()
			from, _ := args[len(args)-1].(string)
			b.read(from)
		}
		return next(ctx, commands)
	}
}

// RRDCached is restarted, and while what it lost is sent again, Redis goes back to
// a time before that. By then the daemon has got more updates than Redis knows of, so
// that it does not look young. What was not sent again yet must not be left out.
func TestARestartThatRedisForgotIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	hook, other := &before{}, dialRedis(t, w.redis)
	hook.done.Store(true)
	w.client.AddHook(hook)
	w.record()
	for range 70 { // more than one read brings
		w.poll(1, 3)
	}
	w.drained()
	past := w.cursor()
	target := w.client.SMembers(t.Context(), w.journal.Key("targets")).Val()[0]
	key := w.journal.Key("cursor", target)
	daemon := w.rrd.Address
	hook.read = func(from string) {
		if from == "0-0" || other.HGet(t.Context(), key, "instance").Val() != "1" || !hook.done.CompareAndSwap(false, true) {
			return
		}
		if err := other.HSet(t.Context(), key, past).Err(); err != nil {
			t.Error(err)
		}
		files := slices.Repeat([]string{port(1000)}, 500)
		if _, err := dialRRD(t, daemon).Probe(t.Context(), files); err != nil {
			t.Error(err)
		}
	}
	hook.done.Store(false)
	w.kill()
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "Redis has gone back", hook.done.Load)
	w.poll(1, 3) // until this one is acknowledged the recorder has gone on
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if instance := w.cursor()["instance"]; instance != "2" {
		t.Errorf("the daemon has the instance %s, want 2", instance)
	}
}
