package rrd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pollux/journal"
	"pollux/rrdcached"
)

// CopyConfig says what is copied, and for whom.
type CopyConfig struct {
	Journal   *journal.Journal // of the shard that the source records and the new target is to record
	ClusterID string
	Tree      string // base directory of the source, readable here
	From, To  string // addresses of the source and of the new target
	NewLease  func(key string) journal.Lease
	Progress  func(Copied) // after each directory; may be nil
}

// Copied is how far a copy is.
type Copied struct {
	From, To    string // ids of the targets
	Directories int
	Files       int
	Bytes       int64
	Skipped     int // what is no RRD file with a sound name: links, other files, directories too deep
}

// Copy writes the RRD files of a running RRDCached as a tar stream with which a
// new one begins, and makes the journal keep for that one what the stream may lack.
// The stream is unpacked into the new one's tree while it runs and before any node has it in RRDCACHED.
//
// In this order: the new target gets an identity of its own; its recorder's lease
// is taken and kept until the end, so that no node writes there meanwhile; it gets
// a cursor at the position up to which the source surely has all on disk; then each file is flushed
// and read as it is between two writes. The first touch of each file skips what the
// stream had already. When anything fails the cursor is dropped again, and the stream ends without the end of an archive.
//
// Errors: ErrSameTarget, ErrNotTree (the directory is not that of the source),
// ErrInUse (the new one holds files already), journal.ErrTargetBusy,
// journal.ErrTargetKnown, journal.ErrNoTarget (nothing is recorded to the source),
// journal.ErrOtherCluster, rrdcached.ErrConnection, and ErrLeft beside what made it fail.
func Copy(ctx context.Context, c CopyConfig, out io.Writer) (copied Copied, err error) {
	t, err := openTree(c.Tree, c.ClusterID)
	if err != nil {
		return copied, err
	}
	defer t.close()
	source, err := dial(ctx, c.From, c.ClusterID)
	if err != nil {
		return copied, err
	}
	defer source.close()
	copied.From = source.target
	if source.target != t.target {
		return copied, fmt.Errorf("%w: %s has target %s, RRDCached at %s is target %s", ErrNotTree, c.Tree, t.target, c.From, source.target)
	}
	if copied.To, err = newTarget(ctx, c, copied.From); err != nil {
		return copied, err
	}
	lease := c.NewLease(c.Journal.RecorderKey(copied.To))
	held, err := lease.TryAcquire(ctx)
	if err != nil {
		return copied, err
	}
	if !held {
		return copied, fmt.Errorf("%w: %s at %s", journal.ErrTargetBusy, copied.To, c.To)
	}
	seeded := false
	defer func() { err = errors.Join(err, leave(ctx, c.Journal, copied.To, lease, seeded && err != nil)) }()
	if err := c.Journal.SeedTarget(ctx, copied.To, copied.From, lease.Token()); err != nil {
		return copied, err
	}
	seeded = true
	s := &copying{tree: t, source: source, out: tar.NewWriter(out), progress: c.Progress, copied: copied}
	err = holding(ctx, lease, s.run)
	return s.copied, err
}

// newTarget asks the new RRDCached for its id, which it gets now if it has none. It must not hold
// anything: what it knows of a file in memory would be wrong once the file is exchanged under it.
func newTarget(ctx context.Context, c CopyConfig, source string) (string, error) {
	client, err := rrdcached.Dial(ctx, c.To)
	if err != nil {
		return "", fmt.Errorf("RRDCached at %s: %w", c.To, err)
	}
	defer client.Close()
	target, err := journal.Identify(ctx, client, c.ClusterID)
	if err != nil {
		return "", fmt.Errorf("RRDCached at %s: %w", c.To, err)
	}
	if target == source {
		return "", fmt.Errorf("%w: %s and %s", ErrSameTarget, c.From, c.To)
	}
	stats, err := client.Stats(ctx)
	if err != nil {
		return "", fmt.Errorf("RRDCached at %s: %w", c.To, err)
	}
	if stats.TreeNodesNumber > 0 {
		return "", fmt.Errorf("%w: the one at %s holds %d files in memory", ErrInUse, c.To, stats.TreeNodesNumber)
	}
	return target, nil
}

// leave gives the lease up and, after a copy that failed, drops the cursor, so that the journal does not keep everything for nobody.
func leave(ctx context.Context, j *journal.Journal, target string, lease journal.Lease, forget bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := lease.Release(ctx)
	if forget {
		err = errors.Join(err, j.ForgetTarget(ctx, target))
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLeft, err)
	}
	return err
}

// ErrLeft says that Redis still has the lease of a copy, which lapses by itself, or the cursor of one that failed.
var ErrLeft = errors.New("clean up after the copy")

// errLeaseLost says that a node may have begun to write to the new target.
var errLeaseLost = errors.New("the lease of the new RRDCached was lost during the copy")

// holding works while it keeps a lease that was just acquired.
func holding(ctx context.Context, lease journal.Lease, work func(ctx context.Context) error) error {
	every := max(time.Until(lease.Deadline())/3, 10*time.Millisecond)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, every) == nil {
			held, err := lease.TryAcquire(ctx)
			if err == nil && !held || err != nil && time.Now().After(lease.Deadline()) {
				cancel(errLeaseLost)
			}
		}
	}()
	err := work(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) {
		err = errors.Join(cause, err)
	}
	cancel(nil)
	<-done
	return err
}
