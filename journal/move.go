package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A device goes to another shard while it is polled. From Hold to Commit its
// entries wait with whoever polls it, so that the log it leaves ends where its
// files are copied; from Commit on they go into the log of the other shard,
// whatever shard the one who appends has read. What was held and not committed
// ends by itself. The hash "moves" has "<shard>" for a device that was moved,
// and "<shard>:<until ms>:<to>" for one that is held.

// ErrMoving says that the device is being moved to another shard; try again at once.
var ErrMoving = errors.New("the device is being moved to another shard")

// ErrMoveOver says that a move took longer than its device could be held.
var ErrMoveOver = errors.New("the move took too long, and the device is polled into its old shard again")

// ErrMovedOn says that a device belongs to a third shard meanwhile.
var ErrMovedOn = errors.New("somebody else has moved the device since")

// elsewhereCode and the number of the shard are what the script returns for a device of another shard.
const elsewhereCode = 100

// elsewhereError says which shard a device belongs to.
type elsewhereError struct{ shard int }

// Error implements error.
func (e *elsewhereError) Error() string {
	return "the device belongs to shard " + strconv.Itoa(e.shard)
}

// Hold is a device whose entries wait.
type Hold struct {
	DeviceID int64
	From, To int
	value    string // in the hash
}

// holdScript holds a device's entries.
//
//	KEYS moves
//	ARGV device, shard that the inventory says, shard to move to, ms
//
// It returns the value that it wrote, "" while the device is held already, or the
// shard that the device belongs to when that is another one than the inventory says.
var holdScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local home = ARGV[2]
local moved = redis.call('HGET', KEYS[1], ARGV[1])
if moved then
  local shard, held = string.match(moved, '^(%d+):?(%d*)')
  if held and held ~= '' and tonumber(held) > now then return '' end
  if shard then home = shard end
end
if home ~= ARGV[2] then return home end
local value = string.format('%s:%.0f:%s', home, now + tonumber(ARGV[4]), ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], value)
return value
`)

// commitScript moves a device that is held, if that has not ended. In the log it leaves
// it gets a tombstone, so that a replay records nothing into files that are gone.
//
//	KEYS moves, tombstones of the old shard, tombstones of the new shard
//	ARGV device, value of the hold, new shard, lifetime of the tombstone in ms
var commitScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local held = tonumber(string.match(ARGV[2], '^%d+:(%d+)'))
if held <= now then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
`)

// releaseScript ends a hold without a move. The device's shard stays noted: when it
// was moved before, a node's copy of the inventory may still have the shard that it left.
//
//	KEYS moves
//	ARGV device, value of the hold
var releaseScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.match(ARGV[2], '^%d+'))
return 1
`)

// Hold has the entries of a device wait for so long at most, until Commit or
// Release. When the device was moved before and the inventory does not know,
// it returns no hold and the shard that the device belongs to. ErrMoving when somebody else moves it.
func (s *Shards) Hold(ctx context.Context, deviceID int64, from, to int, limit time.Duration) (*Hold, int, error) {
	value, err := holdScript.Run(ctx, s.client, []string{common(keyMoves)}, deviceID, from, to, limit.Milliseconds()).Text()
	switch {
	case err != nil:
		return nil, from, fmt.Errorf("hold the entries of device %d: %w", deviceID, err)
	case value == "":
		return nil, from, fmt.Errorf("hold the entries of device %d: %w", deviceID, ErrMoving)
	case strings.Contains(value, ":"):
		return &Hold{DeviceID: deviceID, From: from, To: to, value: value}, from, nil
	}
	home, err := strconv.Atoi(value)
	if err != nil {
		return nil, from, fmt.Errorf("hold the entries of device %d: its shard is %.20q", deviceID, value)
	}
	return nil, home, nil
}

// Commit has the device's entries go to its new shard from now on. For twice
// the window the recorders of the old one drop what their log holds of it. ErrMoveOver when the hold has ended.
func (s *Shards) Commit(ctx context.Context, h *Hold, window time.Duration) error {
	keys := []string{common(keyMoves), s.Shard(h.From).key("tombstones"), s.Shard(h.To).key("tombstones")}
	done, err := commitScript.Run(ctx, s.client, keys, h.DeviceID, h.value, h.To, (2 * window).Milliseconds()).Bool()
	if err != nil {
		return fmt.Errorf("move device %d to shard %d: %w", h.DeviceID, h.To, err)
	}
	if !done {
		return fmt.Errorf("move device %d to shard %d: %w", h.DeviceID, h.To, ErrMoveOver)
	}
	return nil
}

// Release lets the device's entries into the log of its shard again.
func (s *Shards) Release(ctx context.Context, h *Hold) error {
	if err := releaseScript.Run(ctx, s.client, []string{common(keyMoves)}, h.DeviceID, h.value).Err(); err != nil {
		return fmt.Errorf("let device %d be recorded again: %w", h.DeviceID, err)
	}
	return nil
}

// confirmScript repeats a commit that a Redis which took over may have lost. Then
// the device is where it was, held as it was perhaps. Anything else is of
// somebody who moves devices since: nothing says that a mover is still the only one.
//
//	KEYS moves, tombstones of the old shard, tombstones of the new shard
//	ARGV device, new shard, lifetime of the tombstone in ms, old shard, value of the hold
//
// It returns 0 the move stands, 1 it was repeated, 2 somebody else moves the device, 3 it belongs to another shard.
var confirmScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value == ARGV[2] then return 0 end
if value and value ~= ARGV[5] then
  local home, held = string.match(value, '^(%d+):?(%d*)')
  if held and held ~= '' and tonumber(held) > now then return 2 end
  if home and home ~= ARGV[4] then return 3 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
`)

// Confirm makes sure that a move that was committed some seconds ago stands: a
// Redis that has taken over since may lack it. Only then may the old files go.
// Errors: ErrMoving and ErrMovedOn when somebody else moves the device, or did.
func (s *Shards) Confirm(ctx context.Context, h *Hold, window time.Duration) error {
	keys := []string{common(keyMoves), s.Shard(h.From).key("tombstones"), s.Shard(h.To).key("tombstones")}
	code, err := confirmScript.Run(ctx, s.client, keys, h.DeviceID, h.To, (2 * window).Milliseconds(), h.From, h.value).Int()
	switch {
	case err != nil:
	case code == 2:
		err = ErrMoving
	case code == 3:
		err = ErrMovedOn
	}
	if err != nil {
		return fmt.Errorf("confirm that device %d is in shard %d: %w", h.DeviceID, h.To, err)
	}
	return nil
}

// Homes are the shards of the devices that were moved, by their ids; a device that is
// held, or was when its mover died, is in the shard that it was to leave.
func (s *Shards) Homes(ctx context.Context) (map[int64]int, error) {
	all, err := s.client.HGetAll(ctx, common(keyMoves)).Result()
	if err != nil {
		return nil, fmt.Errorf("read which devices were moved: %w", err)
	}
	homes := make(map[int64]int, len(all))
	for device, value := range all {
		id, err := strconv.ParseInt(device, 10, 64)
		if home, known := homeOf(value); known && err == nil {
			homes[id] = home
		}
	}
	return homes, nil
}

// homeOf is the shard that a value of the hash names first, as the scripts read it; false for none.
func homeOf(value string) (shard int, known bool) {
	digits := len(value) - len(strings.TrimLeft(value, "0123456789"))
	shard, err := strconv.Atoi(value[:digits])
	return shard, err == nil
}

// ForgetMoves drops where devices belong that were removed, each with the time after which nothing of it can be
// appended, when no log has an entry as old: until then it holds that a replay makes no files in the shard that a device left.
func (s *Shards) ForgetMoves(ctx context.Context, removed map[int64]time.Time) error {
	owners, err := s.Owners(ctx)
	if err != nil {
		return err
	}
	var oldest time.Time
	for _, shard := range append(slices.Collect(maps.Values(owners)), 0) {
		first, err := s.Shard(shard).Oldest(ctx)
		if err != nil {
			return err
		}
		if !first.IsZero() && (oldest.IsZero() || first.Before(oldest)) {
			oldest = first
		}
	}
	var ids []string
	for id, last := range removed {
		if oldest.IsZero() || last.Before(oldest) {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
	}
	for chunk := range slices.Chunk(ids, maxForgotten) {
		if err := s.client.HDel(ctx, common(keyMoves), chunk...).Err(); err != nil {
			return fmt.Errorf("forget where %d removed devices belong: %w", len(chunk), err)
		}
	}
	return nil
}

// maxForgotten is how many devices one command forgets.
const maxForgotten = 1000
