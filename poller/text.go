package poller

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in bytes that texts of a device are cut to.
const (
	maxText   = 255  // DisplayString and ifAlias hold 255 and 64 (RFC 2579, RFC 2863)
	maxDescr  = 1024 // sysDescr: 255 by RFC 3418, but some agents send more
	maxReason = 200
)

// clean makes a text of a device fit to be kept and shown: valid UTF-8 without
// control or other unprintable characters, at most limit bytes. Bytes that are
// no UTF-8 are taken as Latin-1, which older devices speak. gap stands for each
// run of unprintable characters; blanks at the ends go.
func clean(raw []byte, limit int, gap string) string {
	if len(raw) > 4*limit {
		raw = raw[:4*limit]
	}
	if plain(raw) {
		return cut(strings.TrimSpace(string(raw)), limit)
	}
	utf := utf8.Valid(raw)
	var b strings.Builder
	skipped := false
	for len(raw) > 0 && b.Len() < 2*limit {
		r, size := rune(raw[0]), 1
		if utf {
			r, size = utf8.DecodeRune(raw)
		}
		raw = raw[size:]
		if !unicode.IsPrint(r) {
			skipped = true
			continue
		}
		if skipped {
			b.WriteString(gap)
			skipped = false
		}
		b.WriteRune(r)
	}
	return cut(strings.TrimSpace(b.String()), limit)
}

// plain says whether all bytes are printable ASCII, which is nearly always so.
func plain(raw []byte) bool {
	for _, c := range raw {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// cut shortens valid UTF-8 to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimSpace(s[:limit])
}

// oneLine is the text of an error as a reason: one line of at most 200 bytes.
func oneLine(s string) string { return clean([]byte(s), maxReason, " ") }
