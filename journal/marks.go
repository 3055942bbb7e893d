package journal

import "time"

// mark says: what is up to here was acknowledged by then.
type mark struct {
	at       time.Time // local monotonic clock
	position position
}

// marks say since when positions are acknowledged by one instance of RRDCached.
// Only the time of acknowledgement says what may be lost: after a backlog,
// entries of hours were acknowledged within a moment.
type marks struct {
	instance uint64 // the instance that acknowledged
	list     []mark // the oldest first
}

// add makes a mark, unless the last one is younger than every or nothing was acknowledged since it.
func (m *marks) add(now time.Time, acked position, every time.Duration) bool {
	if acked == (position{}) {
		return false
	}
	if n := len(m.list); n > 0 && (now.Sub(m.list[n-1].at) < every || m.list[n-1].position == acked) {
		return false
	}
	m.list = append(m.list, mark{now, acked})
	return true
}

// durable takes the newest mark that is older than window, and drops it and
// those before it. It must be asked only when the daemon has no file left to
// write: then all that was acknowledged at the time of that mark is on disk.
func (m *marks) durable(now time.Time, window time.Duration) (position, bool) {
	n := 0
	for n < len(m.list) && now.Sub(m.list[n].at) > window {
		n++
	}
	if n == 0 {
		return position{}, false
	}
	found := m.list[n-1].position
	m.list = m.list[n:]
	return found, true
}
