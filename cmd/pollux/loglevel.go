package main

import (
	"log/slog"
	"os"

	"golang.org/x/term"

	"pollux/settings"
)

// logger writes to the error output: text to a terminal, JSON elsewhere. A
// level that is given stays; without one it is the program's, which may change.
func (p *program) logger(level string) *slog.Logger {
	var least slog.Leveler = &p.level
	if level != "" {
		least = levelOf(level)
	}
	options := &slog.HandlerOptions{Level: least}
	if file, ok := p.errout.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return slog.New(slog.NewTextHandler(p.errout, options))
	}
	return slog.New(slog.NewJSONHandler(p.errout, options))
}

func levelOf(text string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// followLevel lets the log of a role follow the setting service_loglevel, as
// soon as one is stored. A level of POLLUX_LOG_LEVEL does not follow.
func (p *program) followLevel(live *settings.Live) {
	otherwise := p.level.Level()
	live.Follow(func(values settings.Values) {
		text, stored := values.Text(settings.KeyLogLevel)
		if !stored {
			p.level.Set(otherwise)
			return
		}
		p.level.Set(levelOf(text))
	})
}
