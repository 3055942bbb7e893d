package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// MaxShard is the highest number of a shard.
const MaxShard = 63

// Shards are the logs of all shards. What is known of a device's finished slots
// they have together. It is safe for concurrent use.
type Shards struct {
	client redis.UniversalClient

	mu   sync.Mutex
	logs map[int]*Journal
}

// NewShards returns the logs of all shards in one Redis. See New for what it must be like.
func NewShards(client redis.UniversalClient) *Shards {
	return &Shards{client: client, logs: map[int]*Journal{}}
}

// Shard is the log of one shard, 0 to MaxShard.
func (s *Shards) Shard(number int) *Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, found := s.logs[number]
	if !found {
		log = New(s.client, number)
		if number >= 0 && number <= MaxShard {
			s.logs[number] = log
		}
	}
	return log
}

// AppendOn is Journal.AppendOn into the log of the entry's shard, or of the one
// that the device was moved to since the shard was read. While it is being moved, which takes a moment, it is ErrMoving.
func (s *Shards) AppendOn(ctx context.Context, server string, entry Entry) (Result, error) {
	return s.append(ctx, server, entry, "")
}

// AppendAgain is Journal.AppendAgain, as AppendOn is.
func (s *Shards) AppendAgain(ctx context.Context, entry Entry) (Result, error) {
	return s.append(ctx, "", entry, "again")
}

func (s *Shards) append(ctx context.Context, server string, entry Entry, again string) (Result, error) {
	if entry.Shard < 0 || entry.Shard > MaxShard {
		return "", fmt.Errorf("append the poll of device %d: %w", entry.DeviceID, bad("shard %d", entry.Shard))
	}
	result, err := s.Shard(entry.Shard).append(ctx, server, entry, again)
	var elsewhere *elsewhereError
	if errors.As(err, &elsewhere) && elsewhere.shard <= MaxShard {
		return s.Shard(elsewhere.shard).append(ctx, server, entry, again)
	}
	return result, err
}

// Last is Journal.Last; devices may be of any shards.
func (s *Shards) Last(ctx context.Context, ids []int64) ([]Last, error) {
	return s.Shard(0).Last(ctx, ids)
}

// LastOn is Journal.LastOn; devices may be of any shards.
func (s *Shards) LastOn(ctx context.Context, server string, ids []int64) ([]Last, error) {
	return s.Shard(0).LastOn(ctx, server, ids)
}
