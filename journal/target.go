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

// forgetScript drops the cursor of a target, unless a recorder works for it.
//
//	KEYS lease, cursor, targets, owners
//	ARGV target
//
// It returns 0 dropped, 1 unknown, 2 a recorder holds the lease.
var forgetScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 2 end
if redis.call('SREM', KEYS[3], ARGV[1]) == 0 then return 1 end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[4], ARGV[1])
return 0
`)

// ForgetTarget drops the cursor of a target that no node feeds any more. As long as it
// stands the log keeps for it all that was measured since, up to the cap. A
// target that comes back after this is sent the whole log, and has a gap in
// front of it. Errors: ErrNoTarget, and ErrTargetBusy while a recorder works for it.
func (j *Journal) ForgetTarget(ctx context.Context, target string) error {
	if !hexID.MatchString(target) {
		return fmt.Errorf("%w: %.40q is not the id of one, 18 hexadecimal digits", ErrNoTarget, target)
	}
	code, err := forgetScript.Run(ctx, j.client, []string{j.key("recorder", target), j.key("cursor", target), j.key("targets"), common(keyOwners)}, target).Int()
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
