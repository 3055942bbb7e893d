package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"pollux/rrdcached"
)

// maxInspect is how long sources are looked at in a row, in the time that has been saved up.
const maxInspect = 50 * time.Millisecond

// errVanished says that a file is gone while RRDCached still held it, and took values for it that it could not write.
var errVanished = errors.New("the file went away")

// fits looks at the sources of a file that exists, because RRDCached would
// accept values that do not fit them, and drop all that follows. A file that has others is spoiled.
// One that is not there is dropped from RRDCached's memory; that is errVanished.
func (t *term) fits(ctx context.Context, l *line) (bool, error) {
	var info rrdcached.Info
	err := t.ask(ctx, func(ctx context.Context) (err error) {
		info, err = t.client.Info(ctx, l.update.File)
		return err
	})
	switch {
	case err != nil && !aboutFile(err):
		return false, fmt.Errorf("look at %s: %w", l.update.File, err)
	case errors.Is(err, rrdcached.ErrNoFile):
		if err := t.dismiss(ctx, l.update.File); err != nil {
			return false, err
		}
		return false, errVanished
	case err != nil && t.files.good(l.hash): // more likely the daemon is in trouble, such as without a file descriptor: no reason to refuse values
		t.complain(&t.unseen, slog.LevelWarn, "a file cannot be looked at", "file", l.update.File, "device", l.entry.DeviceID, "error", err)
	case err != nil:
		t.spoil(l, err)
		return false, nil
	case !rrdcached.SameSources(info.Sources, l.update.Sources):
		return false, t.foreign(ctx, l, info.Sources)
	}
	t.files.inspect(l.hash)
	return true, nil
}

// foreign gives a file with other sources up, and says once what to do.
func (t *term) foreign(ctx context.Context, l *line, has []rrdcached.Source) error {
	t.files.spoil(l.hash)
	if t.files.firstForeign(l.hash) {
		t.log.Error("a file has other sources than are measured: nothing is recorded in it until it is moved away; "+
			"see \"A file with other sources\" in docs/troubleshoot.md",
			"file", l.update.File, "device", l.entry.DeviceID, "difference", difference(has, l.update.Sources))
	}
	return t.dismiss(ctx, l.update.File)
}

// dismiss makes the daemon forget a file that can take nothing, so that it sees
// when somebody has moved the file away, and a new one is made.
func (t *term) dismiss(ctx context.Context, file string) error {
	err := t.ask(ctx, func(ctx context.Context) error { return t.client.Forget(ctx, file) })
	if err != nil && !aboutFile(err) {
		return fmt.Errorf("make RRDCached forget %s: %w", file, err)
	}
	return nil
}

// difference is the first one between two lists of sources that are not the same.
func difference(has, want []rrdcached.Source) string {
	if len(has) != len(want) {
		return fmt.Sprintf("it has %d sources, %d are measured", len(has), len(want))
	}
	for i := range has {
		if has[i].Name != want[i].Name || has[i].Type != want[i].Type {
			return fmt.Sprintf("source %d is %s of type %s, measured is %s of type %s", i+1, has[i].Name, has[i].Type, want[i].Name, want[i].Type)
		}
	}
	return "none"
}

// inspect looks at the sources of files that were taken on the word of another
// one in their directory, one after the other as their lines come by, in a part of
// the time only: to look at all of a large tree at once would hold up a fresh process for minutes.
// Then it looks at them again and again: a file that was deleted is made again with its next line.
// It begins with any of them, so that those behind others get their turn where lines come seldom.
func (t *term) inspect(ctx context.Context, lines []line) error {
	if t.pace.inspect == 0 {
		return nil
	}
	now := time.Now()
	t.saved = min(maxInspect, t.saved+now.Sub(t.savedAt)/time.Duration(t.pace.inspect))
	t.savedAt = now
	first := rand.IntN(len(lines))
	for i := range lines {
		l := &lines[(first+i)%len(lines)]
		if t.files.inspected(l.hash) {
			continue
		}
		if t.saved <= 0 {
			t.files.behind = true
			return nil
		}
		started := time.Now()
		_, err := t.fits(ctx, l)
		switch {
		case errors.Is(err, errVanished):
			t.files.forget(l.hash)
			t.tellVanished(l)
		case err != nil:
			return err
		}
		t.saved -= time.Since(started)
	}
	return nil
}

func (t *term) tellVanished(l *line) {
	t.complain(&t.vanished, slog.LevelWarn, "a file went away under RRDCached and is made again", "file", l.update.File, "device", l.entry.DeviceID)
}
