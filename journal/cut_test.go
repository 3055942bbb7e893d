package journal_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/polluxtest"
)

// cutsBreak fails the second call of every cut.
type cutsBreak struct{ calls, broken atomic.Int64 }

func (c *cutsBreak) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutsBreak) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		if args := command.Args(); len(args) > 1 && args[1] == journal.CutScript && c.calls.Add(1)%2 == 0 {
			c.broken.Add(1)
			err := errors.New("broken by the test")
			command.SetErr(err)
			return err
		}
		return next(ctx, command)
	}
}

func (c *cutsBreak) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What was cut is noted and told when the cut did not come to its end.
func TestABrokenCutIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.limit.Store(1 << 40)
	log := w.logged()
	if err := w.client.ScriptLoad(t.Context(), journal.CutScriptText).Err(); err != nil { // else its first call is another one
		t.Fatal(err)
	}
	const entries = 3000
	_, err := w.client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for range entries {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []string{"e", "garbage"}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := w.client.MemoryUsage(t.Context(), w.journal.Stream(), 10).Result()
	if err != nil {
		t.Fatal(err)
	}
	hook := &cutsBreak{}
	w.client.AddHook(hook)
	w.limit.Store(bytes / 4)
	r := w.record()
	polluxtest.Eventually(t, 20*time.Second, "the log is cut", func() bool {
		return w.client.XLen(t.Context(), w.journal.Stream()).Val() < entries/3
	})
	r.stop()
	cut := r.counter("pollux_journal_cut_total", "lost") + r.counter("pollux_journal_cut_total", "acked")
	noted := 0
	for _, text := range w.client.HVals(t.Context(), w.journal.Key("cuts")).Val() {
		n, _ := strconv.Atoi(text)
		noted += n
	}
	if float64(noted) != cut || cut < entries/2 || hook.broken.Load() == 0 {
		t.Errorf("%.0f entries were cut, %d are noted, %d cuts broke", cut, noted, hook.broken.Load())
	}
	if told := len(log.with("level=ERROR", "the journal was cut at its cap")); int64(told) < hook.broken.Load() {
		t.Errorf("%d cuts broke, %d are told", hook.broken.Load(), told)
	}
}
