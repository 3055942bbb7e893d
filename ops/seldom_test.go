package ops

import (
	"testing"
	"time"
)

func TestSeldomLetsOneInTenSecondsThrough(t *testing.T) {
	t.Parallel()
	var s Seldom
	now := time.Unix(1795340000, 0)
	for n, step := range []struct {
		after time.Duration
		held  int
		due   bool
	}{{0, 0, true}, {0, 0, false}, {9 * time.Second, 0, false}, {time.Second, 2, true}, {time.Second, 0, false}, {time.Hour, 1, true}, {time.Hour, 0, true}} {
		now = now.Add(step.after)
		if held, due := s.Note(now); held != step.held || due != step.due {
			t.Errorf("event %d: %d, %v, want %d, %v", n, held, due, step.held, step.due)
		}
	}
}
