package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Errors of ForgetTarget.
var (
	ErrNoTarget   = errors.New("the journal has no such target")
	ErrTargetBusy = errors.New("a node records to this target")
)

// forgetScript drops the cursor of a target, unless a recorder works for it, and
// the log when that was its last target and it is to go. One that a recorder reached and never wrote to has no cursor.
//
//	KEYS lease, cursor, targets, owners, stream, tombstones, cuts
//	ARGV target, shard, 1 when the log is to go with its last target
//
// It returns 0 dropped, 1 unknown, 2 a recorder holds the lease.
var forgetScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 2 end
local known = redis.call('SREM', KEYS[3], ARGV[1])
if redis.call('HGET', KEYS[4], ARGV[1]) == ARGV[2] then known = known + redis.call('HDEL', KEYS[4], ARGV[1]) end
redis.call('DEL', KEYS[2])
if known == 0 then return 1 end
if ARGV[3] == '1' and redis.call('SCARD', KEYS[3]) == 0 then redis.call('UNLINK', KEYS[5], KEYS[6], KEYS[7]) end
return 0
`)

// ForgetTarget drops the cursor of a target that no node feeds any more. As long as it
// stands the log keeps for it all that was measured since, up to the cap. A
// target that comes back after this is sent the whole log, and has a gap in
// front of it. Errors: ErrNoTarget, and ErrTargetBusy while a recorder works for it.
func (j *Journal) ForgetTarget(ctx context.Context, target string) error {
	return j.forget(ctx, target, false)
}

// forget does it; gone says that the log goes with its last target.
func (j *Journal) forget(ctx context.Context, target string, gone bool) error {
	if !hexID.MatchString(target) {
		return fmt.Errorf("%w: %.40q is not the id of one, 18 hexadecimal digits", ErrNoTarget, target)
	}
	keys := []string{j.key("recorder", target), j.key("cursor", target), j.key("targets"), common(keyOwners), j.stream, j.key("tombstones"), j.key("cuts")}
	code, err := forgetScript.Run(ctx, j.client, keys, target, j.shard, gone).Int()
	switch {
	case err != nil:
		return fmt.Errorf("forget target %s: %w", target, err)
	case code == 1:
		return fmt.Errorf("%w: %s", ErrNoTarget, target)
	case code == 2:
		return fmt.Errorf("%w: %s", ErrTargetBusy, target)
	}
	return nil
}
