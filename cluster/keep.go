package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrLeaseLost is the cause (context.Cause) of the end of work whose lease is no longer held.
var ErrLeaseLost = errors.New("the lease is lost")

// errNotEligible is the cause of the end of work on a process that may no longer hold the lease.
var errNotEligible = errors.New("this process may not hold the lease now")

const (
	renewals     = 4  // per TTL: one lost call and one slow call do not lose the lease
	marginParts  = 12 // work is told to stop 1/12 of the TTL before the deadline, so that it has stopped by then
	releaseLimit = 2 * time.Second
)

// KeepOptions says how Keep competes for a lease.
type KeepOptions struct {
	Every    time.Duration // pause between two attempts, and after the end of a term
	Eligible func() bool   // may this process hold the lease now? nil means always
	Log      *slog.Logger
}

// Keep competes for the lease until ctx ends. While it holds it, it runs work,
// one at a time, renews the lease four times per TTL, and releases it when
// work returns. The context of work ends when the lease is lost (shortly before
// its deadline, when Redis does not answer), when the process is no longer
// eligible, and with ctx; Keep then waits for work to return.
//
// The result is nil when ctx ends. An error that work returns by its own ends
// Keep, after the release; work that returns nil is run again in a later term.
func Keep(ctx context.Context, lease *Lease, options KeepOptions, work func(context.Context) error) error {
	k := &keeper{lease: lease, options: options}
	ticker := time.NewTicker(options.Every)
	defer ticker.Stop()
	for {
		if k.acquire(ctx) {
			if err := k.term(ctx, work); err != nil {
				return err
			}
			ticker.Reset(options.Every) // no tick of the term's time counts
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

type keeper struct {
	lease   *Lease
	options KeepOptions
	failing bool // the last call failed: logged at its begin and end only
}

func (k *keeper) eligible() bool { return k.options.Eligible == nil || k.options.Eligible() }

func (k *keeper) acquire(ctx context.Context) bool {
	if ctx.Err() != nil || !k.eligible() {
		return false
	}
	held, err := k.call(ctx)
	return held && err == nil
}

// call tries the lease once, in bounded time, and logs when trouble begins or ends.
func (k *keeper) call(ctx context.Context) (bool, error) {
	limit, stop := context.WithTimeout(ctx, min(commandTimeout, k.lease.ttl/renewals))
	defer stop()
	held, err := k.lease.TryAcquire(limit)
	switch {
	case ctx.Err() != nil: // the end of the process is no trouble
	case err != nil && !k.failing:
		k.failing = true
		k.options.Log.Warn("the lease cannot be asked for; trying on", "error", err)
	case err == nil && k.failing:
		k.failing = false
		k.options.Log.Info("the lease can be asked for again", "key", k.lease.key)
	}
	return held, err
}

// term runs work once under the lease that was just acquired.
func (k *keeper) term(ctx context.Context, work func(context.Context) error) error {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		k.renew(running, end)
	}()
	k.options.Log.Info("lease acquired", "key", k.lease.key)
	err := work(running)
	cause := context.Cause(running)
	end(nil)
	<-renewing
	k.release(ctx)

	if cause != nil && ctx.Err() == nil { // lost or not eligible: what work says then is a consequence
		k.options.Log.Warn("lease given up", "key", k.lease.key, "reason", cause, "work", err)
		return nil
	}
	k.options.Log.Info("lease released", "key", k.lease.key)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("work under the lease %s: %w", k.lease.key, err)
	}
	return nil
}

// renew keeps the lease until ctx ends, and ends ctx when that fails.
func (k *keeper) renew(ctx context.Context, end context.CancelCauseFunc) {
	// A timer of its own, so that no hanging call delays the end.
	watchdog := time.AfterFunc(k.remaining(), func() { end(ErrLeaseLost) })
	defer watchdog.Stop()
	ticker := time.NewTicker(k.lease.ttl / renewals)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !k.eligible() {
			end(errNotEligible)
			return
		}
		held, err := k.call(ctx)
		switch {
		case err != nil: // the watchdog decides
		case !held:
			end(ErrLeaseLost)
			return
		default:
			watchdog.Reset(k.remaining())
		}
	}
}

// remaining is how long work may go on without a further renewal.
func (k *keeper) remaining() time.Duration {
	return time.Until(k.lease.Deadline()) - k.lease.ttl/marginParts
}

// release also works while the process is stopping.
func (k *keeper) release(ctx context.Context) {
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer stop()
	if err := k.lease.Release(limit); err != nil {
		k.options.Log.Warn("the lease is left to lapse", "error", err)
	}
}
