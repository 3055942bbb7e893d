package journal

import "time"

const (
	// roomAge is how old the oldest entry must be, so that the log tells how much comes in a time.
	roomAge = 5 * time.Minute
	// roomWindows is how many windows the log must have room for: one until what was acknowledged counts as
	// written, and half of one for what waits in RRDCached or for it.
	roomWindows = 1.5
	maxRoom     = 10_000 * time.Hour // is as good as no end
)

// Room is for how long the log can keep entries until it is cut at limit bytes,
// when they come as those that it holds did; 0 while that is not known.
func Room(oldest time.Duration, bytes, limit int64) time.Duration {
	if oldest < roomAge || bytes <= 0 || limit <= 0 {
		return 0
	}
	return time.Duration(min(float64(oldest)*float64(limit)/float64(bytes), float64(maxRoom)))
}

// Tight says whether a room that is known is too small for a window, which is how long
// an acknowledged update may be lost by a crash of RRDCached: its flush window and a minute.
func Tight(room, window time.Duration) bool {
	return room > 0 && room.Seconds() < roomWindows*window.Seconds()
}
