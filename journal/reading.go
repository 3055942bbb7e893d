package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const (
	readCount = 50      // entries that one read takes at most
	readBytes = 4 << 20 // that one read should bring, unless a single entry has more
)

// reading decides how many entries the next read asks for. Redis can be told a
// number only, and an entry has 200 bytes or some megabytes: 50 of the largest
// would not come within the time that the client waits for an answer, however often it tries.
type reading struct{ count int }

func (r *reading) next() int { return cmp.Or(r.count, readCount) }

// brought takes in what a read brought: the next one takes so many that they fit, and twice as many at most.
func (r *reading) brought(messages []redis.XMessage) {
	bytes := 0
	for _, message := range messages {
		payload, _ := message.Values[field].(string)
		bytes += len(payload)
	}
	if len(messages) > 0 {
		r.count = min(readCount, 2*r.next(), max(1, len(messages)*readBytes/max(bytes, 1)))
	}
}

// failed takes in that a read brought nothing: it may have been too much.
func (r *reading) failed() { r.count = max(1, r.next()/2) }

// next reads and opens entries. When Redis does not let it, it waits a moment
// and returns none: the lease says how long that may go on. The end of the term
// instead would make a replay ask for every file again.
func (t *term) next(ctx context.Context) ([]item, error) {
	messages, err := t.read(ctx)
	var items []item
	if err == nil {
		t.reading.brought(messages)
		items, err = t.open(ctx, messages)
	}
	switch {
	case err == nil:
		t.blind = false
	case errors.Is(err, errMoved), errors.Is(err, errNewer):
		return nil, err
	default:
		t.reading.failed()
		if !t.blind { // once, not at every try
			t.log.Warn("the log cannot be read and will be tried again", "error", err)
			t.blind = true
		}
		wait(ctx, t.pace.reread)
	}
	return items, nil
}

// read waits for entries behind the cursor. In the same round trip, and so from
// the same server, it reads the cursor: when Redis has failed over to a server
// that lacks the newest, it differs, and this term must not go on.
func (t *term) read(ctx context.Context) ([]redis.XMessage, error) {
	pipe := t.journal.client.Pipeline()
	cursor := pipe.HGet(ctx, t.journal.key("cursor", t.target), "acked")
	read := pipe.XRead(ctx, &redis.XReadArgs{
		Streams: []string{t.journal.stream}, ID: t.state.acked.String(), Count: int64(t.reading.next()), Block: t.pace.block,
	})
	_, _ = pipe.Exec(ctx) // each command has its own error
	if text, err := cursor.Result(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the log: %w", err)
	} else if at, err := parsePosition(text); err != nil || at != t.stored.acked {
		return nil, fmt.Errorf("%w: %.40q instead of %s", errMoved, text, t.stored.acked)
	}
	streams, err := read.Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	if len(streams) != 1 {
		return nil, fmt.Errorf("read the log: %d streams", len(streams))
	}
	return streams[0].Messages, nil
}
