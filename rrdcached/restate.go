package rrdcached

import (
	"context"
	"fmt"
)

const (
	// MaxRestate is the largest number of updates in one Restate.
	MaxRestate = MaxBatch / 2
	// MaxAgain is the highest number of a repetition in Restate.
	MaxAgain = 44

	restateGap = 10 // microseconds; RRDtool rounds to one, and a float of today's time to a quarter of one
)

// Restate tells each file once more what its last update was, for files that a
// daemon which was killed may have left half written: RRDtool stores the last value of each source before the
// time of the update. Two lines make all sources speak of one update again: one of unknown values,
// which keeps a COUNTER from taking the step back for an overflow, and one of the update's own values. Both stand
// within a millisecond behind the update, and so in its second. A file in good order they do not change: of this
// time, too short to be counted as unknown, nothing is known, and the next update goes on from the same values.
//
// The file's last update must be the one given, or the lines do harm. So they do when
// the file has such lines of that update already that are not older: again, 0 to MaxAgain, says how often it may
// have got them. Refusals are not told: a file that takes neither line refuses the next one too. The error is as the second one of Batch.
func (c *Client) Restate(ctx context.Context, updates []Update, again int) error {
	if again < 0 || again > MaxAgain {
		return fmt.Errorf("%w: repetition %d, at most %d", ErrLimit, again, MaxAgain)
	}
	_, err := c.batch(ctx, 2*len(updates), func(dst []byte, i int) ([]byte, error) {
		u, us := updates[i/2], (2*again+1)*restateGap
		if i%2 == 1 {
			return u.appendAt(dst, us+restateGap)
		}
		u.Values = make([]Value, len(u.Values))
		return u.appendAt(dst, us)
	})
	return err
}
