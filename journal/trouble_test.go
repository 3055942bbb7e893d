package journal_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
)

// trouble is a hook of the Redis client that lets some calls fail.
type trouble struct {
	scripts    atomic.Int64 // so many times the cursor is not stored
	reads      atomic.Int64 // and so many XREAD
	tombstones atomic.Int64 // and so many questions who was removed
}

var errTrouble = errors.New("i/o timeout")

func (f *trouble) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *trouble) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		if command.Name() == "evalsha" && command.Args()[1] == journal.StoreScript && fails(&f.scripts) {
			command.SetErr(errTrouble)
			return errTrouble
		}
		return next(ctx, command)
	}
}

func (f *trouble) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		has := func(name string) bool {
			return slices.ContainsFunc(commands, func(c redis.Cmder) bool { return c.Name() == name })
		}
		if has("xread") && fails(&f.reads) || has("zmscore") && fails(&f.tombstones) {
			for _, command := range commands {
				command.SetErr(errTrouble)
			}
			return errTrouble
		}
		return next(ctx, commands)
	}
}

// fails is true once for each that is left.
func fails(left *atomic.Int64) bool {
	for n := left.Load(); n > 0; n = left.Load() {
		if left.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// A read that fails does not end the term, after which every file would be asked again.
func TestAFailedReadDoesNotEndTheTerm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	trouble := &trouble{}
	w.client.AddHook(trouble)
	r := w.record()
	w.poll(2, 3)
	w.drained()
	client := w.dial()
	before, err := client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trouble.reads.Store(5)
	trouble.tombstones.Store(5)
	if err := w.client.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []string{"e", "garbage"}}).Err(); err != nil {
		t.Fatal(err)
	}
	w.poll(2, 3)
	w.drained()
	if trouble.reads.Load() > 0 || trouble.tombstones.Load() > 0 {
		t.Error("too few reads failed: the test proves nothing")
	}
	after, err := client.Stats(t.Context())
	if err != nil || after.UpdatesReceived-before.UpdatesReceived != 2*3 {
		t.Errorf("%d updates were sent, want 6: the others are questions (%v)", after.UpdatesReceived-before.UpdatesReceived, err)
	}
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 1 {
		t.Errorf("%.0f entries are undecodable, want 1", n)
	}
}

// Whatever number of entries is damaged, and however often they are replayed, the log stays readable, and all are counted.
func TestDamagedEntriesDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	log := w.logged()
	r := w.record()
	for range 120 {
		if err := w.client.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []string{"e", "garbage"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	w.poll(1, 2)
	w.drained()
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 120 {
		t.Errorf("%.0f entries are undecodable, want 120", n)
	}
	told := log.with("level=ERROR", "an entry of the journal is dropped")
	if len(told) < 1 || len(told) > 3 { // one in ten seconds
		t.Errorf("that is told %d times", len(told))
	}
}

// One trim removes all that is durable, however much: Redis removes 10,000 entries at a time.
func TestATrimRemovesAll(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	ctx := t.Context()
	const entries = 25_050
	pipe := a.client.Pipeline()
	for n := 1; n <= entries; n++ {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: a.journal.Stream(), ID: "1-" + strconv.Itoa(n), Values: []string{"e", "x"}})
	}
	pipe.SAdd(ctx, a.journal.Key("targets"), "one")
	pipe.HSet(ctx, a.journal.Key("cursor", "one"), "acked", "1-25040", "durable", "1-25000")
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.journal.Trim(ctx); err != nil {
		t.Fatal(err)
	}
	if n := a.length(); n < 51 || n > 51+200 { // it removes whole nodes of at most 100 entries
		t.Errorf("%d entries are left, 51 must be kept", n)
	}
}
