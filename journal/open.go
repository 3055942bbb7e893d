package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// maxOpen is how many measurements are opened at a time, some 55 MB with their
// lines; one entry may have as many.
const maxOpen = MaxMeasurements

// open decodes messages, as many as may be open, and makes their lines. What cannot be decoded
// and what belongs to a device that was removed or moved leaves an item without lines, and is counted.
func (t *term) open(ctx context.Context, messages []redis.XMessage) ([]item, error) {
	items, damaged, err := t.decode(messages)
	if err != nil {
		return nil, err
	}
	var ids []string
	var of []int
	for i := range items {
		if id := items[i].entry.DeviceID; id != 0 {
			ids, of = append(ids, strconv.FormatInt(id, 10)), append(of, i)
		}
	}
	removed, err := t.journal.removed(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, err := range damaged { // here, because a read that failed is done again
		t.metrics.cut.WithLabelValues(t.journal.shard, cutDamaged).Inc()
		t.complain(&t.damage, slog.LevelError, "an entry of the journal is dropped", "error", err)
	}
	for n, i := range of {
		if removed[n] {
			t.count(lineRemoved, len(items[i].entry.Measurements))
			continue
		}
		items[i].lines = t.lines(&items[i])
	}
	return items, nil
}

// decode makes items of messages. Those that cannot be decoded have no entry; damaged says why.
// In front of an entry of a later program it stops; when that is the first, the error is errNewer.
func (t *term) decode(messages []redis.XMessage) (items []item, damaged []error, err error) {
	items = make([]item, len(messages))
	opened := 0
	for i, message := range messages {
		if items[i].position, err = parsePosition(message.ID); err != nil {
			return nil, nil, fmt.Errorf("read the log: %w", err)
		}
		err := items[i].decode(&t.decoder, message.Values)
		switch {
		case errors.Is(err, errNewer) && !t.pass(items[i].position):
			if i == 0 {
				return nil, nil, fmt.Errorf("entry %s waits for another recorder: %w", message.ID, err)
			}
			return items[:i], damaged, nil // what stands before it is recorded first
		case err != nil:
			items[i].entry = Entry{}
			damaged = append(damaged, fmt.Errorf("entry %s: %w", message.ID, err))
		}
		if opened += len(items[i].entry.Measurements); opened > maxOpen && i > 0 {
			return items[:i], damaged, nil // the rest is read again
		}
	}
	return items, damaged, nil
}

// decode opens one message. An entry without a checksum is of an earlier program, and taken at its word.
func (i *item) decode(d *decoder, values map[string]any) error {
	text, _ := values[field].(string)
	payload := []byte(text)
	if sum, there := values[sumField].(string); there && sum != checksum(payload) {
		return bad("its checksum is not %.20q", sum)
	}
	var err error
	if i.entry, err = d.decode(payload); err != nil {
		return err
	}
	return i.inTime()
}

// maxAhead is how far a sample may lie after the id of its entry, which is the
// time of Redis at which it was appended: the 2 s of the append, and one for a step of that clock.
const maxAhead = 3000 // ms

// inTime says with ErrEntry that an entry has a sample from the future. Append
// lets none in; one that came in by another way would close its file until that time.
func (i *item) inTime() error {
	if _, latest := i.entry.span(); latest > 0 && uint64(latest) > i.position.ms+maxAhead {
		return bad("a sample is %d ms later than the entry", uint64(latest)-i.position.ms)
	}
	return nil
}
