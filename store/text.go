package store

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Lengths in bytes that texts are cut to before they are written. A column's
// length counts characters, so a text of as many bytes always fits.
const (
	maxShort   = 64
	maxName    = 255
	maxReason  = 200
	maxMessage = 1024
	maxObject  = 512
	maxDescr   = 4096
)

// line makes a text that can be stored on every engine and shown in one line:
// valid UTF-8 (what is not becomes U+FFFD), no control characters, at most limit bytes.
func line(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, shorten(s, limit))
	return cut(s, limit)
}

// text is the same for texts of several lines: only NUL goes, which no engine takes.
func text(s string, limit int) string {
	return cut(strings.ReplaceAll(shorten(s, limit), "\x00", " "), limit)
}

// shorten bounds the work that a hostile text causes.
func shorten(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD")
}

// cut shortens valid UTF-8 without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// bounded makes an unsigned number fit a signed column.
func bounded(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// millis is how times are stored, so that all engines agree: Unix milliseconds, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func fromMillisDuration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
