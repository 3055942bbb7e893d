package journal_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestAForgottenTargetHoldsNothingBack plants the cursor of a target that is gone: the log is kept for it until it is forgotten.
func TestAForgottenTargetHoldsNothingBack(t *testing.T) {
	t.Parallel()
	const gone = "fedcba987654321012"
	w := newWorld(t, acceleratedWindow, accelerated...)
	stream := w.journal.Stream()
	if err := w.client.HSet(t.Context(), stream+":cursor:"+gone, "acked", "0-0", "durable", "0-0", "updates", "0", "instance", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := w.client.SAdd(t.Context(), stream+":targets", gone).Err(); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	every(20*time.Millisecond, 60, func(int) { w.poll(3, 6) })
	status := func() journal.Status {
		s, err := w.journal.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	polluxtest.Eventually(t, 30*time.Second, "the other target has all on disk", func() bool {
		for _, target := range status().Targets {
			if target.ID != gone && target.Recorder != "" && target.Unwritten == 0 {
				return true
			}
		}
		return false
	})
	full := status()
	if len(full.Targets) != 2 || full.Entries != 180 || full.Limit <= 0 {
		t.Fatalf("before: %+v", full)
	}
	live := full.Targets[0].ID
	if live == gone {
		live = full.Targets[1].ID
	}
	for target, want := range map[string]error{live: journal.ErrTargetBusy, "000000000000000000": journal.ErrNoTarget, "../*": journal.ErrNoTarget} {
		if err := w.journal.ForgetTarget(t.Context(), target); !errors.Is(err, want) {
			t.Errorf("forget %s: %v, want %v", target, err, want)
		}
	}
	if err := w.journal.ForgetTarget(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 30*time.Second, "the log is trimmed", func() bool { return status().Entries < full.Entries })
	r.stop()
	if err := w.journal.ForgetTarget(t.Context(), live); err != nil {
		t.Errorf("forget a target whose recorder has stopped: %v", err)
	}
	if left := status().Targets; len(left) != 0 {
		t.Errorf("targets that are left: %+v", left)
	}
}

// plant makes a target of a shard as recorders do that have worked for it, and an entry that it lacks.
func (m *moving) plant(shard int, target string) {
	m.t.Helper()
	ctx, j := m.t.Context(), m.shards.Shard(shard)
	pipe := m.client.Pipeline()
	pipe.HSet(ctx, j.Key("owners"), target, shard)
	pipe.SAdd(ctx, j.Key("targets"), target)
	pipe.HSet(ctx, j.Key("cursor", target), "acked", "0-0", "durable", "0-0", "updates", "0", "instance", "0")
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: j.Stream(), Values: []string{"e", "x"}})
	pipe.ZAdd(ctx, j.Key("tombstones"), redis.Z{Score: 1e15, Member: "5"})
	pipe.HIncrBy(ctx, j.Key("cuts"), "lost", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		m.t.Fatal(err)
	}
}

// left are the keys of a shard.
func (m *moving) left(shard int) []string {
	m.t.Helper()
	keys, err := m.client.Keys(m.t.Context(), m.shards.Shard(shard).Stream()+"*").Result()
	if err != nil {
		m.t.Fatal(err)
	}
	return keys
}

// TestAShardThatWasTakenOutLeavesNothing forgets the targets of shards: with the last one goes the log, unless devices may be in it.
func TestAShardThatWasTakenOutLeavesNothing(t *testing.T) {
	t.Parallel()
	const second, third, reached, seeded = "bbbbbbbbbbbbbbbbbb", "cccccccccccccccccc", "dddddddddddddddddd", "eeeeeeeeeeeeeeeeee"
	m := newMoving(t)
	m.plant(1, newcomer)
	m.plant(1, second)
	m.plant(2, third)
	if err := m.client.HSet(t.Context(), m.shards.Shard(0).Key("owners"), reached, "1").Err(); err != nil { // by a recorder that never wrote
		t.Fatal(err)
	}
	if err := m.client.SAdd(t.Context(), m.shards.Shard(2).Key("targets"), seeded).Err(); err != nil { // and no recorder came
		t.Fatal(err)
	}
	owners, err := m.shards.Owners(t.Context())
	if want := map[string]int{newcomer: 1, second: 1, reached: 1, third: 2}; err != nil || !maps.Equal(owners, want) {
		t.Errorf("the owners are %v, %v", owners, err)
	}
	forget := func(target string, inForce ...int) {
		t.Helper()
		if err := m.shards.ForgetTarget(t.Context(), target, inForce); err != nil {
			t.Errorf("forget %s: %v", target, err)
		}
		if err := m.shards.ForgetTarget(t.Context(), target, inForce); !errors.Is(err, journal.ErrNoTarget) {
			t.Errorf("forget %s again: %v", target, err)
		}
	}
	forget(newcomer, 0, 2)
	if keys := m.left(1); len(keys) != 5 { // stream, targets, the other cursor, tombstones, cuts
		t.Errorf("with a target left there is %v", keys)
	}
	forget(second, 0, 2)
	if keys := m.left(1); len(keys) != 0 {
		t.Errorf("of the shard that was taken out there is %v", keys)
	}
	forget(reached, 0, 2)
	forget(seeded, 0, 2)
	forget(third, 0, 2)
	if keys := m.left(2); len(keys) != 3 { // what its devices measure waits for its next target
		t.Errorf("of the shard in force there is %v", keys)
	}
	if owners, err := m.shards.Owners(t.Context()); err != nil || len(owners) != 0 {
		t.Errorf("the owners are %v, %v", owners, err)
	}
}
