package store

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLineAndText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in         string
		limit      int
		line, text string
	}{
		{"plain", 10, "plain", "plain"},
		{"plain", 3, "pla", "pla"},
		{"a\r\nb\x00c\x7f", 10, "a  b c ", "a\r\nb c\x7f"},
		{"\xffa", 10, "\ufffda", "\ufffda"},
		{"\xff\xff\xffa", 4, "\ufffda", "\ufffda"}, // a run of bytes that are no UTF-8 is replaced once
		{"ééé", 5, "éé", "éé"},
		{"🦑🦑", 7, "🦑", "🦑"},
		{"ab", 0, "", ""},
	} {
		if got := line(c.in, c.limit); got != c.line {
			t.Errorf("line(%q, %d) = %q, want %q", c.in, c.limit, got, c.line)
		}
		if got := text(c.in, c.limit); got != c.text {
			t.Errorf("text(%q, %d) = %q, want %q", c.in, c.limit, got, c.text)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		raw := make([]byte, random.IntN(40))
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		limit := random.IntN(30)
		for _, got := range []string{line(string(raw), limit), text(string(raw), limit)} {
			if !utf8.ValidString(got) || len(got) > limit || strings.Contains(got, "\x00") {
				t.Fatalf("%x cut to %d became %q", raw, limit, got)
			}
		}
		if got := line(string(raw), limit); line(got, limit) != got {
			t.Fatalf("%x cut to %d became %q and would change again", raw, limit, got)
		}
	}
}
