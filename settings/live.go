package settings

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"pollux/rrdcached"
)

// refresh is how often a process loads the values again: a change is in force everywhere within 10 s.
const refresh = 5 * time.Second

// Values are the settings in force at one moment: what is stored, else the
// default. The zero Values has nothing stored.
type Values struct {
	stored   map[string]string
	defaults map[string]string // of all settings, since a poll asks several times
}

// NewValues takes the stored values. One that its setting refuses (written by another release, or by hand) counts as not stored.
func NewValues(stored map[string]string) Values {
	all := All()
	kept, defaults := make(map[string]string, len(stored)), make(map[string]string, len(all))
	for _, s := range all {
		defaults[s.Key] = s.Default
		if value, found := stored[s.Key]; found && s.Check(value) == nil {
			kept[s.Key] = value
		}
	}
	return Values{stored: kept, defaults: defaults}
}

// Text returns a setting's value and whether it is stored (else it is the default).
func (v Values) Text(key string) (value string, stored bool) {
	if value, found := v.stored[key]; found {
		return value, true
	}
	if v.defaults != nil {
		return v.defaults[key], false
	}
	s, err := Find(key)
	if err != nil {
		return "", false
	}
	return s.Default, false
}

// Int returns a FormInt; 0 for a key that is none.
func (v Values) Int(key string) int {
	text, _ := v.Text(key)
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// Seconds returns a FormInt that counts seconds.
func (v Values) Seconds(key string) time.Duration { return time.Duration(v.Int(key)) * time.Second }

// Bool returns a FormBool.
func (v Values) Bool(key string) bool {
	text, _ := v.Text(key)
	return text == "true"
}

// Archives returns the archives of new RRD files.
func (v Values) Archives() []rrdcached.Archive {
	text, _ := v.Text(KeyRRDArchives)
	archives, err := rrdcached.ParseArchives(text)
	if err != nil {
		archives, _ = rrdcached.ParseArchives(defaultArchives) // a constant that the tests parse
	}
	return archives
}

// Live keeps the values in force up to date.
type Live struct {
	load    func(context.Context) (map[string]string, error)
	log     *slog.Logger
	current atomic.Pointer[Values]
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

// Refresh loads the values once.
func (l *Live) Refresh(ctx context.Context) error {
	stored, err := l.load(ctx)
	if err != nil {
		return fmt.Errorf("load the settings: %w", err)
	}
	values := NewValues(stored)
	l.current.Store(&values)
	return nil
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
