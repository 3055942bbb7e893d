package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"pollux/measurement"
	"pollux/rrdcached"
)

// maxBack is how many generations back the history of a new one is looked for.
const maxBack = 8

// errNoRoom says that files cannot be created for a reason that may pass.
var errNoRoom = errors.New("RRDCached cannot create files; is its disk full?")

// knownSources are the sources of all kinds of files, which values and files are checked against.
func knownSources() map[measurement.Kind][]rrdcached.Source {
	sources := map[measurement.Kind][]rrdcached.Source{}
	for kind := measurement.Kind(0); kind < 255; kind++ {
		if schema, err := measurement.Schema(kind, 1, 1, 0, nil); err == nil {
			sources[kind] = schema.Sources
		}
	}
	return sources
}

// touch asks the daemon for the last update of each file that was not asked on
// this connection, and creates those that do not exist. Room for them must have been made. After a restart the
// daemon knows that time as a whole second only: without the question it would
// accept a sample that the file has already, and lose all that follows it.
func (t *term) touch(ctx context.Context, lines []line) error {
	var first []*line
	asked := map[uint64]bool{}
	for i := range lines {
		l := &lines[i]
		if _, ok := t.files.touched(l.hash); ok || asked[l.hash] {
			continue
		}
		asked[l.hash] = true
		first = append(first, l)
	}
	if len(first) == 0 {
		return nil
	}
	results, err := t.probe(ctx, first)
	if err != nil {
		return err
	}
	for i, l := range first {
		switch result := results[i]; {
		case result.Err != nil:
			t.spoil(l, result.Err)
		case result.Exists:
			if err = t.found(ctx, l, result.Last); errors.Is(err, errVanished) {
				t.tellVanished(l)
				err = t.create(ctx, l)
			}
		default:
			err = t.create(ctx, l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *term) probe(ctx context.Context, lines []*line) (results []rrdcached.ProbeResult, err error) {
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.update.File
	}
	if t.faults.noProbe {
		results = make([]rrdcached.ProbeResult, len(lines))
		for i, name := range names {
			_, err := t.client.Info(ctx, name)
			results[i].Exists = err == nil
		}
		return results, nil
	}
	err = t.ask(ctx, func(ctx context.Context) (err error) {
		results, err = t.client.Probe(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask RRDCached for the last update of %d files: %w", len(names), err)
	}
	return results, nil
}

// aboutFile says whether an error is a refusal of one file. Everything else is
// the trouble of the connection, of the lease or of Redis, and no fault of the file.
func aboutFile(err error) bool {
	var reply *rrdcached.ReplyError
	return errors.As(err, &reply) || errors.Is(err, rrdcached.ErrFile) ||
		errors.Is(err, rrdcached.ErrBadValue) || errors.Is(err, rrdcached.ErrLimit)
}

// spoil gives a file up for some minutes.
func (t *term) spoil(l *line, why error) {
	t.files.spoil(l.hash)
	t.report(l, why)
}

// found takes a file that exists. The sources of files are compared at once
// of one file of each directory, kind and generation, and of every file that was
// spoiled; of the others later, see inspect. To ask for each file here would take a fresh process
// 0.5 ms a file, minutes in a large tree. So a file with other sources behind a good one
// of its directory loses its own values until it is found, and no other's. A file that is not there any more is errVanished.
func (t *term) found(ctx context.Context, l *line, last float64) error {
	m := l.sample
	directory := t.files.hash(fmt.Sprintf("%s/%d/%d", l.entry.Dir, m.Kind, m.Generation))
	if _, trusted := t.files.trusted[directory]; !trusted || t.files.spoiled(l.hash) {
		if fits, err := t.fits(ctx, l); err != nil || !fits {
			return err
		}
		t.files.trust(directory)
	}
	t.files.learn(l.hash, last)
	return nil
}

// create makes the file of a line that has none.
func (t *term) create(ctx context.Context, l *line) error {
	m := l.sample
	schema, err := measurement.Schema(m.Kind, l.entry.Step, l.entry.Heartbeat, m.Max, t.config.Archives())
	if err != nil {
		t.spoil(l, err)
		return nil
	}
	source, begin, err := t.olderGeneration(ctx, l)
	if err != nil {
		return err
	}
	attempt := func(ctx context.Context) error { return t.client.Create(ctx, l.update.File, schema, begin, source) }
	err = t.ask(ctx, attempt)
	var reply *rrdcached.ReplyError
	if source != "" && errors.As(err, &reply) && !errors.Is(err, rrdcached.ErrExists) && !noRoom(reply.Text) {
		t.log.Warn("a file cannot go on from its history and begins anew", "file", l.update.File, "history", source, "error", err)
		source, begin = "", m.Time
		err = t.ask(ctx, attempt)
	}
	switch {
	case err == nil && source != "":
		t.full = time.Time{}
		return t.join(ctx, l)
	case err == nil:
		t.full = time.Time{}
		t.files.learn(l.hash, float64(m.Time.Unix()-10)) // where Create lets it begin
		t.files.inspect(l.hash)
		return nil
	case errors.Is(err, rrdcached.ErrExists):
		return t.reprobe(ctx, l)
	default:
		return t.notCreated(l, err)
	}
}

// notCreated tells a file that cannot be made from a daemon that can make none.
func (t *term) notCreated(l *line, err error) error {
	if !aboutFile(err) {
		return fmt.Errorf("create %s: %w", l.update.File, err)
	}
	var reply *rrdcached.ReplyError
	if errors.As(err, &reply) && noRoom(reply.Text) {
		if t.full.IsZero() {
			t.full = time.Now()
		}
		if time.Since(t.full) < t.pace.full {
			return fmt.Errorf("%w (%s: %w)", errNoRoom, l.update.File, err)
		}
	}
	t.spoil(l, fmt.Errorf("create: %w", err))
	return nil
}

// noRoom recognizes a full disk: rrdcached 1.7.2 then gives no reason at all.
func noRoom(text string) bool {
	return strings.HasSuffix(strings.TrimSpace(text), "RRD Error:") || strings.Contains(text, "No space left")
}

// olderGeneration is the file whose history a new generation goes on from, "" for none, and when it goes on.
func (t *term) olderGeneration(ctx context.Context, l *line) (source string, begin time.Time, err error) {
	m := l.sample
	for g := m.Generation - 1; g >= max(0, m.Generation-maxBack); g-- {
		older := *l
		older.update.File = m.File(l.entry.Dir, g)
		results, err := t.probe(ctx, []*line{&older})
		if err != nil {
			return "", time.Time{}, err
		}
		// Whatever its last update: an attempt that was cut short may have ended its last step already.
		if results[0].Exists {
			begin, err := t.finish(ctx, &older, results[0].Last)
			return older.update.File, begin, err
		}
	}
	return "", m.Time, nil
}

// finish ends the last step of an older generation with an unknown value, and
// returns when a new one goes on: at its own first step that begins after that. What
// an older file holds of a step that it has not finished would be taken over as that of a
// step of the new one, which has another length and began at another time: too high by many times, or too low.
func (t *term) finish(ctx context.Context, older *line, last float64) (begin time.Time, err error) {
	var info rrdcached.Info
	err = t.ask(ctx, func(ctx context.Context) (err error) {
		info, err = t.client.Info(ctx, older.update.File)
		return err
	})
	if err != nil && !aboutFile(err) {
		return time.Time{}, fmt.Errorf("look at %s: %w", older.update.File, err)
	}
	end := ceil(int64(math.Ceil(last)), int64(max(info.Step, 1)))
	if err == nil && float64(end) > last {
		unknown := rrdcached.Update{File: older.update.File, Time: time.Unix(end, 0), Values: make([]rrdcached.Value, len(older.update.Values)), Sources: older.update.Sources}
		err = t.ask(ctx, func(ctx context.Context) error { return t.client.Update(ctx, unknown) })
		if err != nil && !aboutLine(err) {
			return time.Time{}, fmt.Errorf("finish %s: %w", older.update.File, err)
		}
	}
	return time.Unix(ceil(end, int64(older.entry.Step)), 0), nil
}

// aboutLine says whether RRDCached refused a line.
func aboutLine(err error) bool {
	var newer *rrdcached.IllegalTimeError
	return errors.As(err, &newer) || aboutFile(err)
}

// ceil is the first multiple of step that is not below n.
func ceil(n, step int64) int64 { return (n + step - 1) / step * step }

// join ends the history that a new generation took over, with one unknown
// value on the last step boundary before its first sample: RRDtool counts
// unknown time in whole seconds, so the gap must not reach into the sample's step.
// It is written at once, because a replay does not come here again; and it must
// not stand in the sample's own second, or a replay would take the sample for present.
// A sample in the very second in which the new file begins is written at once for the same reason.
func (t *term) join(ctx context.Context, l *line) error {
	if err := t.reprobe(ctx, l); err != nil {
		return err
	}
	step := int64(l.entry.Step)
	sample := l.update.Time.Unix()
	boundary := min(sample/step*step, sample-1)
	second, _ := t.files.touched(l.hash)
	first := l.update
	switch {
	case second == unusable:
		return nil
	case boundary > int64(second):
		first = rrdcached.Update{File: l.update.File, Time: time.Unix(boundary, 0), Values: make([]rrdcached.Value, len(l.update.Values)), Sources: l.update.Sources}
	case sample != int64(second):
		return nil
	}
	err := t.ask(ctx, func(ctx context.Context) error {
		if err := t.client.Update(ctx, first); err != nil {
			return err
		}
		return t.client.Flush(ctx, l.update.File)
	})
	if err != nil && !aboutLine(err) {
		return fmt.Errorf("begin %s: %w", l.update.File, err)
	}
	return nil
}

// reprobe asks for the last update of a file that must exist.
func (t *term) reprobe(ctx context.Context, l *line) error {
	results, err := t.probe(ctx, []*line{l})
	if err != nil {
		return err
	}
	if !results[0].Exists {
		t.spoil(l, errors.Join(rrdcached.ErrNoFile, results[0].Err))
		return nil
	}
	err = t.found(ctx, l, results[0].Last)
	if errors.Is(err, errVanished) { // INFO and CREATE disagree: that does not end by trying on
		t.spoil(l, rrdcached.ErrNoFile)
		return nil
	}
	return err
}
