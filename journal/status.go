package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// plannedBytes is what an entry is taken for where Redis does not tell the
// memory of a key: 48 ports, all active.
const plannedBytes = 3100

// Status is how the log of one shard is.
type Status struct {
	Entries int64         // recorded ones that are kept for a replay included
	Bytes   int64         // memory in Redis
	Limit   int64         // memory at which the oldest entries are cut, of the logs of all shards together
	Oldest  time.Duration // age of the oldest entry, 0 when there is none
	Lost    int64         // entries that were ever cut and had been recorded nowhere
	AtRisk  int64         // entries that were ever cut, acknowledged but not known to be on disk
	Targets []TargetStatus
}

// TargetStatus is how far one target is.
type TargetStatus struct {
	ID        string
	Lag       time.Duration // age of the oldest entry that is not acknowledged, 0 when all are
	Unwritten time.Duration // age of the oldest entry that is not known to be on disk, 0 when all are
	Recorder  string        // token of the recorder that has the lease, "" for none
	WriteOut  WriteOut
}

// Status reads how the log is. Targets are ordered by id.
func (j *Journal) Status(ctx context.Context) (Status, error) {
	states, err := j.targets(ctx)
	if err != nil {
		return Status{}, err
	}
	now, err := j.client.Time(ctx).Result()
	if err != nil {
		return Status{}, fmt.Errorf("read the time of Redis: %w", err)
	}
	var s Status
	if s.Entries, s.Bytes, err = j.size(ctx); err != nil {
		return Status{}, err
	}
	if s.Oldest, err = j.age(ctx, now, "-"); err != nil {
		return Status{}, err
	}
	if s.Limit, _, err = j.limit(ctx, 1); err != nil {
		return Status{}, err
	}
	if s.Lost, s.AtRisk, err = j.cuts(ctx); err != nil {
		return Status{}, err
	}
	for id, state := range states {
		t := TargetStatus{ID: id}
		if t.Lag, err = j.age(ctx, now, "("+state.acked.String()); err != nil {
			return Status{}, err
		}
		if t.Unwritten, err = j.age(ctx, now, "("+state.durable.String()); err != nil {
			return Status{}, err
		}
		if t.Recorder, err = j.client.Get(ctx, j.key("recorder", id)).Result(); err != nil && !errors.Is(err, redis.Nil) {
			return Status{}, fmt.Errorf("read the recorder of target %s: %w", id, err)
		}
		if t.WriteOut, err = j.writeOut(ctx, id, now); err != nil {
			return Status{}, err
		}
		s.Targets = append(s.Targets, t)
	}
	slices.SortFunc(s.Targets, func(a, b TargetStatus) int { return strings.Compare(a.ID, b.ID) })
	return s, nil
}

// Oldest is when the oldest entry of the log was appended, by the clock of Redis; the zero time when there is none.
func (j *Journal) Oldest(ctx context.Context) (time.Time, error) { return j.first(ctx, "-") }

// noteCuts adds to what was ever cut. A Redis that is full may refuse it.
func (j *Journal) noteCuts(ctx context.Context, lost, atRisk int64) error {
	_, err := j.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HIncrBy(ctx, j.key("cuts"), cutLost, lost)
		pipe.HIncrBy(ctx, j.key("cuts"), cutAcked, atRisk)
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what was cut: %w", err)
	}
	return nil
}

// cuts reads what was ever cut.
func (j *Journal) cuts(ctx context.Context) (lost, atRisk int64, err error) {
	values, err := j.client.HMGet(ctx, j.key("cuts"), cutLost, cutAcked).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("read what was cut: %w", err)
	}
	for i, into := range []*int64{&lost, &atRisk} {
		text, _ := values[i].(string)
		number, err := parseNumber(text)
		if err != nil {
			return 0, 0, fmt.Errorf("read what was cut: %w", err)
		}
		*into = int64(number)
	}
	return lost, atRisk, nil
}

// limit is how many bytes the log may take: a part of Redis' maxmemory, or a
// fixed size where it has none. All shards together take no more.
func (j *Journal) limit(ctx context.Context, shards int) (bytes int64, bounded bool, err error) {
	shards = max(shards, 1)
	info, err := j.client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, false, fmt.Errorf("read maxmemory of Redis: %w", err)
	}
	if memory := maxMemory(info); memory > 0 {
		return memory / capPart / int64(shards), true, nil
	}
	return capDefault / int64(shards), false, nil
}

// first is when the first entry from a place on was appended, the zero time when there is none.
func (j *Journal) first(ctx context.Context, from string) (time.Time, error) {
	id, err := firstScript.Run(ctx, j.client, []string{j.stream}, from).Text()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the log from %s: %w", from, err)
	}
	if id == "" {
		return time.Time{}, nil
	}
	first, err := parsePosition(id)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the log from %s: %w", from, err)
	}
	return time.UnixMilli(int64(first.ms)), nil
}

// age is how old the first entry from a place on is, 0 when there is none.
func (j *Journal) age(ctx context.Context, now time.Time, from string) (time.Duration, error) {
	first, err := j.first(ctx, from)
	if err != nil || first.IsZero() {
		return 0, err
	}
	return max(now.Sub(first), time.Millisecond), nil
}

// size is the number of entries and the memory they take. Redis estimates the latter from a few nodes.
func (j *Journal) size(ctx context.Context) (entries, bytes int64, err error) {
	if entries, err = j.client.XLen(ctx, j.stream).Result(); err != nil {
		return 0, 0, fmt.Errorf("read the length of the log: %w", err)
	}
	if entries == 0 {
		return 0, 0, nil
	}
	bytes, err = j.client.MemoryUsage(ctx, j.stream, 10).Result()
	var denied redis.Error
	if errors.As(err, &denied) { // an ACL or a hosted Redis without MEMORY, or the key has just gone
		return entries, entries * plannedBytes, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of the log: %w", err)
	}
	return entries, bytes, nil
}
