package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pollux/measurement"
	"pollux/rrdcached"
)

// item is one entry of the log with the lines that come of it.
type item struct {
	position position
	entry    Entry
	lines    []line
}

// line is one measurement on its way to its file.
type line struct {
	hash   uint64
	at     position // of entry
	entry  *Entry
	sample *measurement.Measurement
	update rrdcached.Update
}

// lines makes the lines of an entry, with the sources that their files must have.
func (t *term) lines(i *item) []line {
	e := &i.entry
	lines := make([]line, 0, len(e.Measurements))
	count := 0
	for n := range e.Measurements {
		count += len(e.Measurements[n].Values)
	}
	values := make([]rrdcached.Value, 0, count)
	for n := range e.Measurements {
		m := &e.Measurements[n]
		start := len(values)
		for _, value := range m.Values {
			values = append(values, value.Wire())
		}
		l := line{at: i.position, entry: e, sample: m, update: rrdcached.Update{
			File:   m.File(e.Dir, m.Generation),
			Time:   m.Time,
			Values: values[start:len(values):len(values)], Sources: t.sources[m.Kind],
		}}
		l.hash = t.files.hash(l.update.File)
		lines = append(lines, l)
	}
	return lines
}

// group is how many items are sent together: up to one batch of lines, and an
// item that opens a new generation of a file alone, because what was sent before must be in the old file first.
func (t *term) group(items []item) int {
	total := 0
	for i := range items {
		total += len(items[i].lines)
		if i > 0 && (total > rrdcached.MaxBatch || t.opensGeneration(items[i].lines)) {
			return i
		}
		if i == 0 && t.opensGeneration(items[i].lines) {
			return 1
		}
	}
	return len(items)
}

func (t *term) opensGeneration(lines []line) bool {
	for i := range lines {
		if lines[i].sample.Generation > 0 {
			if _, ok := t.files.touched(lines[i].hash); !ok {
				return true
			}
		}
	}
	return false
}

// send records the lines of some items, in order.
func (t *term) send(ctx context.Context, items []item) error {
	var lines []line
	for i := range items {
		lines = append(lines, items[i].lines...)
	}
	for len(lines) > 0 {
		n := min(len(lines), rrdcached.MaxBatch)
		gone, err := t.sendBatch(ctx, lines[:n])
		if err != nil {
			return err
		}
		if len(gone) > 0 { // files that went away under the daemon are made again, once
			for i := range gone {
				t.files.forget(gone[i].hash)
			}
			again, err := t.sendBatch(ctx, gone)
			if err != nil {
				return err
			}
			for i := range again {
				t.refuse(&again[i], rrdcached.ErrNoFile)
			}
		}
		lines = lines[n:]
	}
	return nil
}

// sendBatch sends at most one batch, after each file's first touch, and returns the lines whose file does not exist.
func (t *term) sendBatch(ctx context.Context, lines []line) (gone []line, err error) {
	t.files.room(len(lines))
	if err := t.touch(ctx, lines); err != nil {
		return nil, err
	}
	if err := t.restate(ctx, lines); err != nil {
		return nil, err
	}
	wanted := make([]int, 0, len(lines))
	updates := make([]rrdcached.Update, 0, len(lines))
	had := 0
	for i := range lines {
		switch second, ok := t.files.touched(lines[i].hash); {
		case !ok: // never; unguarded it could spoil its file
			return nil, fmt.Errorf("%s was not asked for its last update", lines[i].update.File)
		case second == unusable:
			t.count(lineRefused, 1)
		case present(second, lines[i].update.Time):
			had++
		default:
			wanted, updates = append(wanted, i), append(updates, lines[i].update)
		}
	}
	t.count(linePresent, had)
	if len(updates) == 0 {
		return nil, nil
	}
	var refusals []error
	err = t.ask(ctx, func(ctx context.Context) (err error) {
		refusals, err = t.client.Batch(ctx, updates)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("send %d lines to RRDCached: %w", len(updates), err)
	}
	for i, refusal := range refusals {
		gone = t.judge(&lines[wanted[i]], refusal, gone)
	}
	if len(gone) > 0 { // what they are is not known, and they must not be taken for bad ones
		return gone, nil
	}
	return nil, t.inspect(ctx, lines)
}

// judge counts one answer, and adds the line to gone when its file does not exist.
func (t *term) judge(l *line, refusal error, gone []line) []line {
	var newer *rrdcached.IllegalTimeError
	switch {
	case refusal == nil:
		t.count(lineAccepted, 1)
	case errors.As(refusal, &newer):
		t.count(linePresent, 1)
	case errors.Is(refusal, rrdcached.ErrNoFile):
		return append(gone, *l)
	default:
		t.refuse(l, refusal)
	}
	return gone
}

// refuse counts a line that can never be recorded, and says so once per file.
func (t *term) refuse(l *line, why error) {
	t.count(lineRefused, 1)
	t.report(l, why)
}

func (t *term) report(l *line, why error) {
	if t.files.firstRefusal(l.hash) {
		t.log.Error("a measurement cannot be recorded", "file", l.update.File, "device", l.entry.DeviceID, "error", why)
	}
}

// ask does one thing with the daemon: while the lease is held, and not longer
// than that. In a long row of them the state is stored once a second.
func (t *term) ask(ctx context.Context, do func(context.Context) error) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	if time.Since(t.storedAt) > t.pace.tick {
		if err := t.store(ctx); err != nil {
			return err
		}
	}
	limited, cancel := context.WithDeadline(ctx, t.lease.Deadline())
	defer cancel()
	return do(limited)
}
