package journal

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	capPart    = 4                // of Redis' maxmemory
	capDefault = 256 << 20        // bytes, when Redis has no maxmemory
	capEvery   = 60 * time.Second // between two readings of maxmemory
	cutBytes   = 16 << 20         // that one call which cuts may take into its memory
	cutMost    = 500              // entries that it cuts, which others wait for
)

// keeper watches the log's size and cuts it at the cap. It needs no lease: a
// log that fills Redis while no recorder can work must be cut too.
type keeper struct {
	*Recorder
	limit  int64 // bytes; 0 until known
	readAt time.Time
	warned bool // of a Redis without maxmemory
	tight  bool // there is too little room, which was said
}

// keep looks every two seconds until ctx ends.
func (r *Recorder) keep(ctx context.Context) error {
	k := &keeper{Recorder: r}
	logged, loggedAt := "", time.Time{}
	for ctx.Err() == nil {
		if err := k.look(ctx); err == nil {
			logged = ""
		} else if text := err.Error(); text != logged && time.Since(loggedAt) > r.pace.log && ctx.Err() == nil {
			r.log.Warn("the journal's size is not known", "error", err)
			logged, loggedAt = text, time.Now()
		}
		wait(ctx, r.pace.keep)
	}
	return nil
}

func (k *keeper) look(ctx context.Context) error {
	entries, bytes, err := k.journal.size(ctx)
	if err != nil {
		return err
	}
	limit, err := k.cap(ctx)
	if err != nil {
		return err
	}
	if bytes > limit && entries > 1 {
		// A little below the cap, so that it is not cut one by one.
		keep := int64(float64(entries) * float64(limit) / float64(bytes) * 0.98)
		if err := k.cut(ctx, keep, max(1, min(cutMost, cutBytes*entries/bytes))); err != nil {
			return err
		}
		if entries, bytes, err = k.journal.size(ctx); err != nil {
			return err
		}
	}
	k.metrics.entries.WithLabelValues(k.journal.shard).Set(float64(entries))
	k.metrics.bytes.WithLabelValues(k.journal.shard).Set(float64(bytes))
	now, err := k.journal.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("read the time of Redis: %w", err)
	}
	oldest, err := k.journal.age(ctx, now, "-")
	if err != nil {
		return err
	}
	k.watchRoom(Room(oldest, bytes, limit), limit)
	return k.lag(ctx, now)
}

// watchRoom warns once when the log would be cut before all that it must keep
// for a replay is in it, and says when that is over.
func (k *keeper) watchRoom(room time.Duration, limit int64) {
	window := k.window()
	k.metrics.room.WithLabelValues(k.journal.shard).Set(room.Seconds() / window.Seconds())
	switch {
	case Tight(room, window) && !k.tight:
		k.tight = true
		k.log.Warn("the journal has too little room: it may be cut before RRDCached has written what it holds; give Redis more memory, "+
			"see \"Redis\" in docs/install.md", "room", room.Round(time.Second).String(), "window", window.String(), "limit_bytes", limit)
	case k.tight && room > 0 && !Tight(room*9/10, window): // a little more, so that it is not said again and again
		k.tight = false
		k.log.Info("the journal has room again", "room", room.Round(time.Second).String())
	}
}

// lag is measured here and not while recording, so that it grows also when
// nobody can record. A target that this process has never reached is taken for the slowest.
func (k *keeper) lag(ctx context.Context, now time.Time) error {
	states, err := k.journal.targets(ctx)
	if err != nil {
		return err
	}
	from := "-"
	if id := k.current.Load(); id != nil {
		from = "(" + states[*id].acked.String()
	} else if acked, known := slowest(states); known {
		from = "(" + acked.String()
	}
	age, err := k.journal.age(ctx, now, from)
	if err != nil {
		return err
	}
	k.metrics.lag.WithLabelValues(k.journal.shard, k.config.Target).Set(age.Seconds())
	return nil
}

// slowest is up to where every known target has acknowledged the log.
func slowest(states map[string]state) (acked position, known bool) {
	for _, s := range states {
		if !known || acked.after(s.acked) {
			acked, known = s.acked, true
		}
	}
	return acked, known
}

// cap is how many bytes the log may take.
func (k *keeper) cap(ctx context.Context) (int64, error) {
	if k.config.Cap != nil {
		if limit := k.config.Cap(); limit > 0 {
			return limit, nil
		}
	}
	if k.limit > 0 && time.Since(k.readAt) < capEvery {
		return k.limit, nil
	}
	shards := 1
	if k.config.Shards != nil {
		shards = k.config.Shards()
	}
	limit, bounded, err := k.journal.limit(ctx, shards)
	if err != nil {
		return 0, err
	}
	k.limit, k.readAt = limit, time.Now()
	if !bounded && !k.warned {
		k.warned = true
		k.log.Warn("Redis has no maxmemory: the journal is cut at a fixed size; set maxmemory and maxmemory-policy noeviction", "bytes", k.limit)
	}
	return k.limit, nil
}

// maxMemory finds the line maxmemory:<bytes> of INFO memory; 0 when there is none.
func maxMemory(info string) int64 {
	for line := range strings.Lines(info) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "maxmemory:"); found {
			bytes, err := strconv.ParseInt(text, 10, 64)
			if err == nil && bytes > 0 {
				return bytes
			}
		}
	}
	return 0
}

// cut removes the oldest entries until keep are left, so many a call at most, and counts what it gave up.
func (k *keeper) cut(ctx context.Context, keep, most int64) error {
	states, err := k.journal.targets(ctx)
	if err != nil {
		return err
	}
	durable, acked := reach(states)
	var lost, atRisk int64
	var failed error
	for ctx.Err() == nil {
		counts, err := cutScript.Run(ctx, k.journal.client, []string{k.journal.stream}, keep, durable.ms, durable.seq, acked.ms, acked.seq, most).Int64Slice()
		if err != nil {
			failed = fmt.Errorf("cut the log: %w", err) // what was cut by then is noted all the same
			break
		}
		if len(counts) != 3 || counts[0]+counts[1]+counts[2] == 0 {
			break
		}
		atRisk, lost = atRisk+counts[1], lost+counts[2]
		k.metrics.cut.WithLabelValues(k.journal.shard, cutAcked).Add(float64(counts[1]))
		k.metrics.cut.WithLabelValues(k.journal.shard, cutLost).Add(float64(counts[2]))
	}
	if lost+atRisk > 0 {
		k.log.Error("the journal was cut at its cap", "lost", lost, "acknowledged", atRisk)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := k.journal.noteCuts(ctx, lost, atRisk); err != nil {
			k.log.Debug("pollux journal status lacks these cuts", "err", err) // the metric has them
		}
	}
	return failed
}
