// Package journal is the ordered log of updates between the pollers and
// RRDCached, and the recorder that carries it there. The log is a Redis stream
// per shard; one entry holds what one poll measured.
//
// RRDCached forgets what it has acknowledged when it is killed, RRD files take
// only increasing times, and any node may poll a device. So there is one log,
// which increases strictly per device, and one writer per RRDCached, which can go back in it.
//
// The package must not poll, know the inventory, read settings or correct
// sample times: entries come with the time of Redis' clock and describe themselves.
package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Result is what became of an Append.
type Result string

// The results of Append. None of them is an error.
const (
	Accepted Result = "accepted" // it is in the log; without measurements: the slot is finished
	Stale    Result = "stale"    // the log has something newer of the device, or its slot is finished, by this very entry perhaps: a retry ends so
	Future   Result = "future"   // a sample lies more than 2 s after the time of Redis
)

// ErrServer says that another Redis answers for the log than the one that was
// named: after a failover or a restart, when it may lack the newest entries.
var ErrServer = errors.New("another Redis answers for the journal")

// Fields of a message of the stream.
const (
	field    = "e" // the entry
	sumField = "c" // its checksum; programs before made none, and do not look at it
)

// Keys that the logs of all shards have together, see common.
const (
	keyLast   = "last"   // hash: device -> its last finished slots
	keyMoves  = "moves"  // hash: device -> where it belongs since it was moved, see move.go
	keyOwners = "owners" // hash: id of a target -> its shard
)

// Journal is the log of one shard. It is safe for concurrent use.
type Journal struct {
	client   redis.UniversalClient
	shard    string
	stream   string
	number   int
	encoders sync.Pool
}

// New returns the journal of a shard. The client's read timeout must be above
// 1 s: the recorder waits that long for entries. Redis must be 6.2 or newer.
func New(client redis.UniversalClient, shard int) *Journal {
	name := strconv.Itoa(shard)
	return &Journal{
		client: client, shard: name, number: shard, stream: "pollux:{journal:" + name + "}",
		encoders: sync.Pool{New: func() any { return new(encoder) }},
	}
}

// key is a key beside the stream; the braces keep all of a shard in one hash slot.
func (j *Journal) key(parts ...string) string {
	return j.stream + ":" + strings.Join(parts, ":")
}

// common is a key that the logs of all shards have together. A device's finished
// slots and where it belongs must not change with its shard, and both are judged in the one step that appends.
func common(name string) string { return "pollux:{journal:0}:" + name }

// Append puts an entry into the log, or, when it has no measurements, only
// notes that the device's slot is finished. All of it is one step in Redis.
//
// Times of measurements are by the clock of Redis. ErrEntry means that the
// entry can never be accepted. After any other error it may or may not be in the log:
// append it again until it is Accepted or Stale.
func (j *Journal) Append(ctx context.Context, entry Entry) (Result, error) {
	return j.AppendOn(ctx, "", entry)
}

// AppendOn is Append to the Redis with this run_id and no other (ErrServer);
// "" means any. Whoever keeps its recent entries names the one that has them:
// on another one a newer entry would shut out those that were lost.
func (j *Journal) AppendOn(ctx context.Context, server string, entry Entry) (Result, error) {
	return j.append(ctx, server, entry, "")
}

// AppendAgain is Append for a poll that somebody asked for beside the slots: a
// device's last finished slot takes another entry, whose outcome is then the slot's.
func (j *Journal) AppendAgain(ctx context.Context, entry Entry) (Result, error) {
	return j.append(ctx, "", entry, "again")
}

// append is nothing but the one step; a device that belongs to another shard is an *elsewhereError.
func (j *Journal) append(ctx context.Context, server string, entry Entry, again string) (Result, error) {
	encoder := j.encoders.Get().(*encoder)
	defer j.giveBack(encoder)
	payload, err := encoder.encode(&entry)
	if err != nil {
		return "", fmt.Errorf("append the poll of device %d: %w", entry.DeviceID, err)
	}
	sum := ""
	if len(entry.Measurements) == 0 {
		payload = nil
	} else {
		sum = checksum(payload)
	}
	earliest, latest := entry.span()
	code, err := appendScript.Run(ctx, j.client, []string{j.stream, common(keyLast), common(keyMoves)},
		entry.DeviceID, earliest, latest, entry.Slot, string(entry.Outcome), payload, server, again, j.number, sum).Int()
	if err == nil {
		var result Result
		if result, err = resultOf(code); err == nil {
			return result, nil
		}
	}
	return "", fmt.Errorf("append the poll of device %d: %w", entry.DeviceID, err)
}

// maxKept is how large an encoder may be that is kept for the next append: those of the largest entries have 20 MB.
const maxKept = 1 << 20

func (j *Journal) giveBack(e *encoder) {
	if cap(e.body)+cap(e.packed) <= maxKept {
		j.encoders.Put(e)
	}
}

// resultOf is what the code of the script means.
func resultOf(code int) (Result, error) {
	switch {
	case code == 0:
		return Accepted, nil
	case code == 1:
		return Future, nil
	case code == 3:
		return "", ErrServer
	case code == 4:
		return "", ErrMoving
	case code >= elsewhereCode:
		return "", &elsewhereError{code - elsewhereCode}
	default:
		return Stale, nil
	}
}

// Tombstone marks a removed device: for twice the window the recorder drops
// what the log holds of it and creates no file. window is how long RRDCached
// may hold an update in memory; the files may go after it.
func (j *Journal) Tombstone(ctx context.Context, deviceID int64, window time.Duration) error {
	err := tombstoneScript.Run(ctx, j.client, []string{j.key("tombstones"), common(keyLast)}, deviceID, (2 * window).Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("mark device %d as removed in the journal: %w", deviceID, err)
	}
	return nil
}

// removed says which of the devices have a tombstone, or belong to another shard
// since they were moved. A move leaves a tombstone too; but that ends, and a target
// that comes back later than that replays what the device left in this log.
func (j *Journal) removed(ctx context.Context, ids []string) ([]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := j.client.Pipeline()
	tombstones := pipe.ZMScore(ctx, j.key("tombstones"), ids...)
	moves := pipe.HMGet(ctx, common(keyMoves), ids...)
	clock := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read which of %d devices were removed or moved: %w", len(ids), err)
	}
	if len(tombstones.Val()) != len(ids) || len(moves.Val()) != len(ids) {
		return nil, errors.New("read which devices were removed or moved: another number of answers than questions")
	}
	found := make([]bool, len(ids))
	now := float64(clock.Val().UnixMilli())
	for i, ends := range tombstones.Val() {
		value, _ := moves.Val()[i].(string)
		home, moved := homeOf(value)
		// A missing member reads as 0. One that is over may stay until the next comes, and the id be in use again, after a restored database.
		found[i] = ends > now || moved && home != j.number
	}
	return found, nil
}
