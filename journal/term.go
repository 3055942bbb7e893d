package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/rrdcached"
)

// Why a term ends.
var (
	errLeaseLost = errors.New("the recorder's lease is lost")
	errMoved     = errors.New("the cursor in Redis is not the one that this recorder stored")
	errRenamed   = errors.New("the target has another id than before")
	errFull      = errors.New("Redis is full and does not store the cursor")
)

// term is one connection to one instance of the daemon, during one time that the lease is held.
type term struct {
	*Recorder
	client   *rrdcached.Client
	ttl      time.Duration
	received uint64 // UpdatesReceived when the connection began
	state    state
	stored   state     // what Redis has
	storedAt time.Time // when it was written last
	toldAt   time.Time // when the report on the write-out was written with it
	ticks    clockwork
	renewed  time.Time // since when spoiled files stay so
	decoder  decoder
	reading  reading
	end      position      // of the log when the term began
	passing  bool          // entries of a later program are dropped
	blind    bool          // the last read of the log failed
	saved    time.Duration // that may go into looking at sources now
	savedAt  time.Time     // until when it was saved up
}

// term records from the cursor on until ctx ends or something fails. The lease was just acquired.
func (r *Recorder) term(ctx context.Context) error {
	target, now := r.target, time.Now()
	t := &term{Recorder: r, ttl: r.lease.Deadline().Sub(now), ticks: clockwork{at: now}, storedAt: now, renewed: now, savedAt: now}
	t.decoder.newest = r.faults.newest
	var err error
	if t.client, err = r.dial(ctx); err != nil {
		r.metrics.up.WithLabelValues(r.config.Target).Set(0)
		return err
	}
	defer t.client.Close()
	if r.target != target {
		return errRenamed
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	// What was begun is finished when ctx ends: the work below stops at the lease's deadline only.
	work := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		if err := t.round(work); err != nil {
			if errors.Is(err, rrdcached.ErrConnection) {
				r.metrics.up.WithLabelValues(r.config.Target).Set(0)
			}
			if errors.Is(err, errMoved) {
				r.lost = t.stored
			}
			return err
		}
	}
	return t.store(work)
}

// begin decides where to go on, and stores that before the first line is sent.
func (t *term) begin(ctx context.Context) error {
	if err := t.hold(ctx); err != nil { // the lease is looked at after connecting
		return err
	}
	stats, err := t.stats(ctx, t.client)
	if err != nil {
		return err
	}
	if t.state, err = t.journal.loadState(ctx, t.target); err != nil {
		return err
	}
	t.stored = t.state
	if err := t.resumeWriteOut(ctx); err != nil {
		return err
	}
	if t.restarted(stats.UpdatesReceived) {
		t.log.Info("RRDCached was restarted: what it may have lost is sent again", "from", t.state.durable, "to", t.state.acked)
		t.state.instance = max(t.state.instance, t.lost.instance) // no instance has the number of one that Redis forgot
		t.rewind()
	}
	last, err := t.journal.lastID(ctx)
	if err != nil {
		return err
	}
	if t.state.acked.after(last) {
		t.log.Warn("the log ends before the cursor: Redis has lost entries", "cursor", t.state.acked, "end", last)
		t.rewind()
		if t.state.acked.after(last) {
			t.state.acked, t.state.durable = position{}, position{}
		}
	}
	t.end = last
	if t.marks.instance != t.state.instance {
		t.marks = marks{instance: t.state.instance}
		clear(t.torn)
	}
	t.received, t.state.updates = stats.UpdatesReceived, stats.UpdatesReceived
	t.files.connect()
	// A cursor that went back must be stored before the first line.
	if err := t.write(ctx); err != nil && (!errors.Is(err, errFull) || t.state.instance != t.stored.instance) {
		return err
	}
	t.lost = state{}
	return nil
}

// restarted says whether the daemon is another instance than the one that the cursor speaks of.
//
// A Redis that went back in time may have forgotten more than where this process was: that
// the daemon was restarted, and that only a part of what it lost had been sent again. The
// new instance may have got as many updates since as the former one in the time to
// which Redis went back. This process knows better. To go back after every such change
// instead would let nothing become durable for a window, and replay one for nothing.
func (t *term) restarted(received uint64) bool {
	known := t.state.updates
	if t.faults.forgetUpdates {
		known = t.seen
	}
	return received < max(known, t.lost.updates) || t.state.instance < t.lost.instance
}

// rewind goes back to what is surely on disk.
func (t *term) rewind() {
	t.state.acked = t.state.durable
	t.state.instance++ // the marks of every process are void
}

// hold renews the lease when a third of it has passed, and fails when it is
// over. A lease that lapsed may have been another's since, who sent lines: it
// must not be taken anew on this connection, not even by a renewal that came too late.
func (t *term) hold(ctx context.Context) error {
	deadline := t.lease.Deadline()
	if left := time.Until(deadline); left > 0 && left < t.ttl*2/3 {
		held, err := t.lease.TryAcquire(ctx)
		if err == nil && !held {
			return errLeaseLost
		}
	}
	if time.Until(deadline) <= 0 { // after an error it stays held until then
		return errLeaseLost
	}
	return nil
}

// round reads entries, sends them and stores the cursor after each batch.
func (t *term) round(ctx context.Context) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	items, err := t.next(ctx)
	if err != nil || t.blind {
		return err
	}
	// Here and not behind a batch: of the files that were just sent some are due at
	// once, and wait. Right before the next entry they have had the same time as ever.
	if err := t.tick(ctx, len(items) > 0); err != nil {
		return err
	}
	for len(items) > 0 {
		n := t.group(items)
		if err := t.send(ctx, items[:n]); err != nil {
			return err
		}
		t.state.acked = items[n-1].position
		if t.full.IsZero() {
			t.trouble.Store(nil) // what ended the last term is over: lines get through
		}
		if err := t.store(ctx); err != nil {
			return err
		}
		if items = items[n:]; len(items) > 0 {
			if err := t.tick(ctx, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// tick is what happens once a second: the daemon's counters, the marks, and
// the state even if nothing else changed it; sending says that entries are about to be sent.
func (t *term) tick(ctx context.Context, sending bool) error {
	now := time.Now()
	if !t.ticks.due(now, t.pace.tick, sending) {
		return nil
	}
	if now.Sub(t.renewed) >= t.pace.renew { // between two batches, because lines are guarded by what is known
		t.files.renew()
		t.renewed = now
	}
	asked, cancel := context.WithDeadline(ctx, t.lease.Deadline())
	defer cancel()
	stats, err := t.stats(asked, t.client)
	if err != nil {
		return err
	}
	if t.full.IsZero() { // else it answers, and cannot make the files that are due
		t.trouble.Store(nil)
	}
	t.watchWriteOut()
	t.marks.add(now, t.state.acked, t.pace.mark)
	if stats.QueueLength == 0 {
		if durable, found := t.marks.durable(now, t.window()); found {
			t.state.durable = durable
			if err := t.journal.trim(ctx); err != nil { // first, because Redis trims even when it is full
				return err
			}
		}
	}
	return t.store(ctx)
}

// store writes the state when it has changed, and now and then how the target writes. A Redis that is full refuses it;
// recording goes on, since the cap makes room, and what is sent twice is not recorded twice.
func (t *term) store(ctx context.Context) error {
	t.state.updates = t.received + t.client.Updates()
	t.seen = t.state.updates
	if t.state == t.stored && time.Since(t.toldAt) < t.pace.look {
		return nil
	}
	err := t.write(ctx)
	if !errors.Is(err, errFull) {
		return err
	}
	if time.Since(t.storedAt) > time.Minute {
		t.log.Warn("recording goes on without its cursor", "error", err)
		t.storedAt = time.Now()
	}
	return nil
}

// write puts the state into Redis in one step, if the lease is still held.
func (t *term) write(ctx context.Context) error {
	j, s := t.journal, t.state
	held, err := storeScript.Run(ctx, j.client, []string{j.key("recorder", t.target), j.key("cursor", t.target), j.key("targets")},
		t.lease.Token(), t.target, s.acked.String(), s.durable.String(), s.updates, s.instance, t.writing.report().text()).Bool()
	switch {
	case err != nil && (redis.IsOOMError(err) || strings.Contains(err.Error(), "-OOM ")): // Redis 6.2 quotes it
		return fmt.Errorf("%w: %w", errFull, err)
	case err != nil:
		return fmt.Errorf("store the cursor: %w", err)
	case !held:
		return errLeaseLost
	}
	t.stored, t.storedAt = s, time.Now()
	t.toldAt = t.storedAt
	return nil
}
