package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrLocked says that another process held the lock for the whole time this one waited.
var ErrLocked = errors.New("another process migrates this database, or one crashed while it did; if none runs: pollux migrate unlock")

const (
	lockRetry   = 200 * time.Millisecond
	maxRaces    = 5               // failures in a row that may be two processes making the same table
	releaseTime = 5 * time.Second // for releasing the lock when the caller's context is over
)

// locked runs the work while no other process migrates. The lock is a row
// that a crash leaves behind; Unlock removes it.
func (m *Migrator) locked(ctx context.Context, work func(context.Context) error) (err error) {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer func() {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		if failed := m.migrator.Unlock(release); failed != nil {
			err = errors.Join(err, fmt.Errorf("release the lock of the migrations (pollux migrate unlock does it by hand): %w", failed))
		}
	}()
	return work(ctx)
}

// lock makes the tables of the migrations and takes the lock, waiting for another holder.
func (m *Migrator) lock(ctx context.Context) error {
	deadline := time.Now().Add(m.config.LockWait)
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for waited, races := 0, 0; ; {
		held, err := m.tryLock(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("wait for the lock of the migrations: %w", ctx.Err())
		case held && time.Now().After(deadline):
			return ErrLocked
		case held:
			if waited++; waited == 1 {
				m.log.Info("waiting for the lock of the migrations", "at_most", m.config.LockWait)
			}
		default:
			if races++; races > maxRaces {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// tryLock says whether it failed because the lock is held. Any other failure
// may be a race of two processes that make the same table, which a later try gets over.
func (m *Migrator) tryLock(ctx context.Context) (held bool, err error) {
	if err := m.migrator.Init(ctx); err != nil {
		return false, fmt.Errorf("make the tables of the migrations: %w", err)
	}
	err = m.migrator.Lock(ctx)
	if err == nil {
		return false, nil
	}
	var holders int
	if counted := m.db.NewRaw("SELECT COUNT(*) FROM bun_migration_locks").Scan(ctx, &holders); counted != nil {
		return false, fmt.Errorf("look who holds the lock of the migrations: %w", counted)
	}
	return holders > 0, fmt.Errorf("take the lock of the migrations: %w", err)
}

// Unlock removes the lock that a crashed migration left behind. Only call it
// when no migration runs. It says whether there was one.
func (m *Migrator) Unlock(ctx context.Context) (bool, error) {
	exists, err := m.tableExists(ctx, "bun_migration_locks")
	if err != nil || !exists {
		return false, err
	}
	result, err := m.db.NewRaw("DELETE FROM bun_migration_locks").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("remove the lock of the migrations: %w", err)
	}
	removed, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("count the removed locks: %w", err)
	}
	return removed > 0, nil
}
