package journal

import (
	"errors"
	"time"
)

// errNewer says that an entry was written by a later program. While a cluster
// is upgraded node by node, the recorders of both work on one log: one that
// cannot read an entry must not pass it, and leaves the log to one that can.
var errNewer = errors.New("the entry was written by a newer program")

// newer is the entry of a later program at which this recorder stopped last.
type newer struct {
	at       position
	instance uint64 // of the daemon: a replay to another one comes to entries again that were taken
	since    time.Time
}

// pass says whether an entry of a later program may be dropped. That is so
// when no recorder that can read it has taken it for ten minutes, as after a
// downgrade; then all such entries of this term are dropped and counted.
func (t *term) pass(at position) bool {
	if t.passing {
		return true
	}
	if t.newer.at != at || t.newer.instance != t.state.instance || t.newer.since.IsZero() {
		t.newer = newer{at, t.state.instance, time.Now()}
	}
	t.passing = time.Since(t.newer.since) >= t.pace.patience
	return t.passing
}
