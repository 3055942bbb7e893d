package journal

import (
	"testing"
	"time"
)

// A log tells how much room it has when it is old enough.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		oldest       time.Duration
		bytes, limit int64
		want         time.Duration
		tight        bool // for a window of an hour
	}{
		"young":           {roomAge - 1, 1, 1 << 40, 0, false},
		"empty":           {0, 0, 1 << 40, 0, false},
		"without a limit": {time.Hour, 10, 0, 0, false},
		"a third full":    {30 * time.Minute, 100, 300, 90 * time.Minute, false},
		"half full":       {30 * time.Minute, 100, 200, time.Hour, true},
		"over its limit":  {time.Hour, 200, 100, 30 * time.Minute, true},
		"next to nothing": {time.Hour, 1, 1 << 60, maxRoom, false},
	} {
		if room := Room(c.oldest, c.bytes, c.limit); room != c.want || Tight(room, time.Hour) != c.tight {
			t.Errorf("%s: room for %v, tight %v", name, room, Tight(room, time.Hour))
		}
	}
}
