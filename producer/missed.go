package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// judgedKey holds the Unix second up to which missed slots are counted, so
	// that a new leader goes on there and a time without a leader counts.
	judgedKey = "pollux:leader:judged"
	// judgedTTL bounds how far back a new leader counts.
	judgedTTL = 24 * time.Hour
	// missedGrace is how long after its end a slot is judged, in seconds: a poll may append in its slot's last moment.
	missedGrace = 2
	// lastBatch is how many devices one question to the journal is about.
	lastBatch = 1000
)

// countMissed judges each second the slots that ended, by the last finished slots of their devices.
func (t *term) countMissed(ctx context.Context) {
	from, known := int64(0), false
	failing := false
	every(ctx, time.Second, func() {
		var err error
		if !known {
			from, err = t.judgedUntil(ctx)
			known = err == nil
		}
		until := t.deps.Clock.Now().Unix() - missedGrace
		if known && until > from && t.mayOffer() {
			if err = t.judge(ctx, from, until); err == nil {
				from = until
			}
		}
		if err != nil && ctx.Err() == nil && !failing {
			t.log.Warn("missed slots cannot be counted; they are counted later", "err", err)
		}
		failing = err != nil
	})
}

// judgedUntil is where the last leader stopped counting; without one, counting begins with this term.
func (t *term) judgedUntil(ctx context.Context) (int64, error) {
	text, err := t.deps.Redis.Get(ctx, judgedKey).Result()
	if errors.Is(err, redis.Nil) {
		return t.began, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", judgedKey, err)
	}
	second, err := strconv.ParseInt(text, 10, 64)
	if err != nil || second > t.began {
		return t.began, nil
	}
	return max(second, t.began-int64(judgedTTL/time.Second)), nil
}

// judge counts the slots that ended in the seconds (from, until] and were not finished.
// It counts after it has stored how far it came: a slot is rather not counted than counted twice.
func (t *term) judge(ctx context.Context, from, until int64) error {
	missed := map[int64]int64{}
	for batch := range slices.Chunk(endedDuring(t.schedule.Load(), from, until), lastBatch) {
		ids := make([]int64, len(batch))
		for i, e := range batch {
			ids[i] = e.ID
		}
		last, err := t.deps.Journal.Last(ctx, ids)
		if err != nil {
			return fmt.Errorf("read the last finished slots: %w", err)
		}
		if len(last) != len(ids) {
			return fmt.Errorf("read the last finished slots: %d answers for %d devices", len(last), len(ids))
		}
		for i, e := range batch {
			if n := e.missed(from, last[i], t.began); n > 0 {
				missed[e.Group] += n
			}
		}
	}
	if err := t.deps.Redis.Set(ctx, judgedKey, until, judgedTTL).Err(); err != nil {
		return fmt.Errorf("store %s: %w", judgedKey, err)
	}
	for group, n := range missed {
		t.metrics.countMissed(group, n)
	}
	return nil
}
