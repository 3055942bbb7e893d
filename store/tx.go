package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/uptrace/bun"
)

const (
	maxTries   = 6
	tryTimeout = 20 * time.Second       // for one try of a transaction
	firstPause = 20 * time.Millisecond  // before the second try; doubled each time
	maxPause   = 500 * time.Millisecond // before any try
)

// errAgain makes tx try the same work again.
var errAgain = errors.New("another writer was faster")

// tx runs work in one transaction, and again when the database asks for that:
// after a deadlock, a busy file, a lost connection. So work may run several
// times, and once more after a commit whose answer got lost: it must not count
// on what an earlier run left in memory, and must not do harm when it is repeated.
func (s *Store) tx(ctx context.Context, doing string, work func(ctx context.Context, tx bun.Tx) error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := s.try(ctx, work)
		if err == nil {
			return nil
		}
		if try == maxTries || !transient(err) || ctx.Err() != nil {
			return s.fail(doing, err)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return s.fail(doing, err)
		case <-timer.C:
		}
		pause = min(2*pause, maxPause)
	}
}

func (s *Store) try(ctx context.Context, work func(ctx context.Context, tx bun.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return work(ctx, tx) })
}
