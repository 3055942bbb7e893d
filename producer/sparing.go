package producer

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// repeatLine is the least time between two lines of the same words.
	repeatLine = 10 * time.Second
	// maxLines bounds the words that are remembered. They are constants of the program, far fewer.
	maxLines = 256
)

// sparing passes on a line of the same level and words at most every 10 s, and
// says how many were left out since: a Redis that refuses, or a thousand queues
// that fill up at once, must not flood the log. Debug lines pass.
type sparing struct {
	slog.Handler
	lines *lines
}

// lines is what the handlers of one log share.
type lines struct {
	mu     sync.Mutex
	passed map[string]passed
}

// passed is one kind of line.
type passed struct {
	at      time.Time
	leftOut int
}

func spare(log *slog.Logger) *slog.Logger {
	return slog.New(sparing{Handler: log.Handler(), lines: &lines{passed: map[string]passed{}}})
}

// Handle implements slog.Handler.
func (s sparing) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return s.Handler.Handle(ctx, r)
	}
	leftOut, pass := s.lines.take(r.Level.String()+" "+r.Message, r.Time)
	if !pass {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out_before", leftOut))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s sparing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sparing{Handler: s.Handler.WithAttrs(attrs), lines: s.lines}
}

// WithGroup implements slog.Handler.
func (s sparing) WithGroup(name string) slog.Handler {
	return sparing{Handler: s.Handler.WithGroup(name), lines: s.lines}
}

// take says whether a line may pass, and how many were left out before it.
func (l *lines) take(words string, now time.Time) (leftOut int, pass bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.passed[words]
	if known && now.Sub(p.at) < repeatLine {
		p.leftOut++
		l.passed[words] = p
		return 0, false
	}
	if len(l.passed) >= maxLines {
		clear(l.passed)
	}
	l.passed[words] = passed{at: now}
	return p.leftOut, true
}
