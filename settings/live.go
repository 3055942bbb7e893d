package settings

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// refresh is how often a process loads the values again: a change is in force everywhere within 10 s.
const refresh = 5 * time.Second

// Live keeps the values in force up to date.
type Live struct {
	load    func(context.Context) (map[string]string, error)
	log     *slog.Logger
	current atomic.Pointer[Values]

	mu        sync.Mutex     // of what follows, held while values are taken over
	followers []func(Values) // called with all new values
	ignored   string         // what was logged last of stored values that are not in force
}

// NewLive returns values that load refreshes. Until the first Refresh the defaults are in force.
func NewLive(load func(context.Context) (map[string]string, error), log *slog.Logger) *Live {
	l := &Live{load: load, log: log}
	values := NewValues(nil)
	l.current.Store(&values)
	return l
}

// Values returns the settings in force now. It never waits.
func (l *Live) Values() Values { return *l.current.Load() }

// Follow calls f with the values in force now, and again with those of every
// load: for what cannot ask each time. f must not wait and must not call Live.
func (l *Live) Follow(f func(Values)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers = append(l.followers, f)
	f(l.Values())
}

// Refresh loads the values once.
func (l *Live) Refresh(ctx context.Context) error {
	stored, err := l.load(ctx)
	if err != nil {
		return fmt.Errorf("load the settings: %w", err)
	}
	values := NewValues(stored)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current.Store(&values)
	for _, f := range l.followers {
		f(values)
	}
	l.tellIgnored(values)
	return nil
}

// tellIgnored logs stored values that are not in force, once until they change.
func (l *Live) tellIgnored(values Values) {
	ignored := values.Ignored()
	text := ""
	for _, i := range ignored[:min(len(ignored), 10)] {
		text += fmt.Sprintf("%.60q ", i.Key)
	}
	if text != l.ignored && text != "" {
		l.log.Warn("stored settings are not in force; see: pollux config list", "keys", text, "settings", len(ignored))
	}
	l.ignored = text
}

// Run loads the values every few seconds until ctx ends. While they cannot be loaded the last ones stay in force.
func (l *Live) Run(ctx context.Context) error {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := l.Refresh(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.log.Warn("settings cannot be loaded; the last ones stay in force", "err", err)
		}
		failing = err != nil
	}
}
