package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrTargetKnown says that a target has a cursor already.
var ErrTargetKnown = errors.New("the journal has a cursor for this target already")

// RecorderKey names the lease of whoever writes to a target. While it is held no recorder begins there.
func (j *Journal) RecorderKey(target string) string { return j.key("recorder", target) }

// seedScript gives a target without a cursor the durable position of another one.
//
//	KEYS lease of the target, its cursor, targets, cursor of the source
//	ARGV token, target, source
//
// It returns 0 seeded, 1 the source is unknown, 2 the lease is not held by the token, 3 the target has a cursor.
var seedScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 2 end
if redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1 or redis.call('EXISTS', KEYS[2]) == 1 then return 3 end
local durable = redis.call('HGET', KEYS[4], 'durable')
if redis.call('SISMEMBER', KEYS[3], ARGV[3]) == 0 or not durable then return 1 end
redis.call('HSET', KEYS[2], 'acked', durable, 'durable', durable, 'updates', '0', 'instance', '0')
redis.call('SADD', KEYS[3], ARGV[2])
return 0
`)

// SeedTarget makes the log keep for a new target all that the source may not
// have on its disk, from the same moment on: a copy of the source's files that
// is begun afterwards lacks nothing that is not in the log. What both have is
// skipped by the first touch of each file.
//
// It is the durable position and not the acknowledged one, because RRDCached says
// that a file is flushed while it still writes it. token is that of the lease
// RecorderKey(target), which the caller holds until the copy is complete.
// Errors: ErrNoTarget for the source, ErrTargetKnown, and ErrTargetBusy when the lease is another's.
func (j *Journal) SeedTarget(ctx context.Context, target, source, token string) error {
	for _, id := range []string{target, source} {
		if !hexID.MatchString(id) {
			return fmt.Errorf("%w: %.40q is not the id of one, 18 hexadecimal digits", ErrNoTarget, id)
		}
	}
	keys := []string{j.RecorderKey(target), j.key("cursor", target), j.key("targets"), j.key("cursor", source)}
	code, err := seedScript.Run(ctx, j.client, keys, token, target, source).Int()
	switch {
	case err != nil:
		return fmt.Errorf("give target %s a cursor: %w", target, err)
	case code == 1:
		return fmt.Errorf("%w: %s, which is to be copied", ErrNoTarget, source)
	case code == 2:
		return fmt.Errorf("%w: %s", ErrTargetBusy, target)
	case code == 3:
		return fmt.Errorf("%w: %s", ErrTargetKnown, target)
	}
	return nil
}

// End is the id of the newest entry that the log ever had.
func (j *Journal) End(ctx context.Context) (id string, err error) {
	last, err := j.lastID(ctx)
	return last.String(), err
}

// Recorded says whether a target has acknowledged everything up to an id that End gave. ErrNoTarget when it has no cursor.
func (j *Journal) Recorded(ctx context.Context, target, id string) (bool, error) {
	end, err := parsePosition(id)
	if err != nil {
		return false, err
	}
	state, err := j.knownState(ctx, target)
	return err == nil && !end.after(state.acked), err
}

// OldestUnwritten is when the oldest entry was appended that is not known to be on a target's disk: what is as
// young may be sent there once more. The zero time when there is none. ErrNoTarget when the target has no cursor.
func (j *Journal) OldestUnwritten(ctx context.Context, target string) (time.Time, error) {
	state, err := j.knownState(ctx, target)
	if err != nil {
		return time.Time{}, err
	}
	return j.first(ctx, "("+state.durable.String())
}

// knownState is the state of a target that has a cursor, else ErrNoTarget.
func (j *Journal) knownState(ctx context.Context, target string) (state, error) {
	known, err := j.client.SIsMember(ctx, j.key("targets"), target).Result()
	if err != nil {
		return state{}, fmt.Errorf("read the targets of the journal: %w", err)
	}
	if !known {
		return state{}, fmt.Errorf("%w: %.40s", ErrNoTarget, target)
	}
	return j.loadState(ctx, target)
}
