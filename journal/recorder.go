package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pollux/measurement"
	"pollux/ops"
	"pollux/rrdcached"
)

// Lease is what keeps all recorders of a target but one idle: a key in Redis
// whose value is Token while it is held. *cluster.Lease is one. Only one goroutine uses it.
type Lease interface {
	TryAcquire(ctx context.Context) (bool, error) // takes the lease, or renews it
	Deadline() time.Time                          // until when it is surely held, by the local monotonic clock
	Token() string
	Release(ctx context.Context) error
}

// RecorderConfig says where a recorder writes and how. The functions are
// asked again each time, so that changed settings take effect.
type RecorderConfig struct {
	Target      string                     // address of RRDCached: unix:/path or host:port
	ClusterID   string                     // 18 hexadecimal digits; a tree of another cluster is not touched
	FlushWindow func() time.Duration       // how long RRDCached may hold an update: its -w, -z and -f together
	Archives    func() []rrdcached.Archive // of files that must be created
	Cap         func() int64               // bytes that the log may take in Redis; nil or 0 is a quarter of Redis' maxmemory
	Shards      func() int                 // how many shards share that quarter; nil is one
}

// pace is how often things happen. Tests change it.
type pace struct {
	grace   time.Duration // what a write may take after RRDCached's window, until it survives a power loss
	mark    time.Duration // between two marks
	look    time.Duration // between two looks at the target and the lag while another recorder has the lease, and two reports on its write-out
	tick    time.Duration // between two readings of STATS, and at most between two writes of the state
	idle    time.Duration // between two tries of the lease
	backoff time.Duration // the longest wait after failures
	block   time.Duration // how long one read waits for entries
	keep    time.Duration // between two looks at the size
	reread  time.Duration // after a read of the log that failed
	renew   time.Duration // between two looks at spoiled files
	log     time.Duration // between two lines about an interruption
	// full is how long a daemon that cannot create files, such as on a full
	// disk, holds up the log. After it, lines for new files are refused.
	full     time.Duration
	yield    time.Duration // without the lease, in front of an entry of a later program
	patience time.Duration // until such an entry is dropped
	behind   time.Duration // that files wait to be written, until a line in the log says so
	inspect  int           // one part in so many of the time goes into looking at the sources of files; 0: none
}

// faults switch off single rules, for the tests that prove that they are needed.
type faults struct {
	noProbe       bool // J2: send without asking what the file has
	forgetUpdates bool // J3: compare the daemon's count with this process's memory only
	noRestate     bool // J2: go on from files that may be half written
	newest        byte // this program reads entries up to that version, as a later one would
}

// Recorder carries the log of one shard to one RRDCached. Every process has
// one; a lease picks the one that works.
type Recorder struct {
	journal  *Journal
	config   RecorderConfig
	newLease func(key string) Lease
	metrics  *metrics
	log      *slog.Logger
	sources  map[measurement.Kind][]rrdcached.Source // by kind, to check values and files against
	pace     pace
	faults   faults

	current  atomic.Pointer[string] // target, for the keeper
	trouble  atomic.Pointer[error]  // what interrupts recording, nil while nothing does
	target   string                 // id of the target; "" until it was asked
	lease    Lease                  // of that target
	lookedAt time.Time
	marks    marks
	seen     uint64 // count of updates as this process remembers it, see faults.forgetUpdates
	files    *files
	full     time.Time // since when the daemon cannot create files
	torn     torn      // of the instance that marks is of
	newer    newer     // where entries of a later program begin
	lost     state     // what this process had stored when Redis went back in time, until a term has begun after it
	writing  writeOut

	damage   ops.Seldom // of entries, in the log
	vanished ops.Seldom // files that went away, in the log
	unseen   ops.Seldom // files that were good and cannot be looked at, in the log
}

// NewRecorder prepares a recorder. newLease makes the lease of a key that the recorder names.
func NewRecorder(j *Journal, c RecorderConfig, newLease func(key string) Lease, registerer prometheus.Registerer, log *slog.Logger) (*Recorder, error) {
	if _, _, err := rrdcached.ParseAddress(c.Target); err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	if !hexID.MatchString(c.ClusterID) {
		return nil, fmt.Errorf("recorder: cluster id %.40q is not 18 hexadecimal digits", c.ClusterID)
	}
	if c.FlushWindow == nil || c.Archives == nil {
		return nil, errors.New("recorder: FlushWindow and Archives are needed")
	}
	m, err := newMetrics(registerer)
	if err != nil {
		return nil, err
	}
	m.expose(j.shard, c.Target)
	return &Recorder{
		journal: j, config: c, newLease: newLease, metrics: m,
		log:     log.With("shard", j.shard, "target", c.Target),
		sources: knownSources(),
		files:   newFiles(), torn: torn{},
		pace: pace{
			grace: time.Minute, mark: 10 * time.Second, look: 10 * time.Second, tick: time.Second,
			idle: time.Second, backoff: 5 * time.Second, block: time.Second, keep: 2 * time.Second,
			reread: 200 * time.Millisecond, renew: 5 * time.Minute, log: 10 * time.Second, full: 10 * time.Minute,
			yield: 30 * time.Second, patience: 10 * time.Minute, behind: 10 * time.Minute, inspect: 20,
		},
	}, nil
}

// Run records until ctx ends, then finishes the batch in progress, stores the
// cursor and gives the lease up; that takes up to some seconds. It returns nil
// then: whatever goes wrong before is logged and tried again.
func (r *Recorder) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return r.keep(ctx) })
	group.Go(func() error { return r.record(ctx) })
	return group.Wait()
}

// record is one term after the other.
func (r *Recorder) record(ctx context.Context) error {
	failures, logged := 0, ""
	var loggedAt time.Time
	for ctx.Err() == nil {
		started := time.Now()
		err := r.turn(ctx)
		if ctx.Err() == nil {
			r.judge(err)
		}
		if err == nil {
			failures, logged = 0, ""
			wait(ctx, r.pace.idle)
			continue
		}
		if errors.Is(err, errMoved) {
			r.marks = marks{} // Redis went back in time: what this process remembers may be of another instance
		}
		if time.Since(started) > r.pace.backoff {
			failures, logged = 0, ""
		}
		// Once, not at every try, and not each of the errors that one outage begins with.
		if text := err.Error(); text != logged && time.Since(loggedAt) > r.pace.log && ctx.Err() == nil {
			r.log.Warn("recording is interrupted and will be tried again", "error", err)
			logged, loggedAt = text, time.Now()
		}
		if errors.Is(err, errNewer) {
			wait(ctx, r.pace.yield) // the lease is given up, and somebody else takes it
			continue
		}
		failures++
		wait(ctx, min(r.pace.backoff, 50*time.Millisecond<<min(failures, 10)))
	}
	return nil
}

// judge keeps what Health says: what is wrong with the target. A lease that went
// to another recorder is no trouble, and those of Redis have a check of their own.
func (r *Recorder) judge(err error) {
	var reply *rrdcached.ReplyError
	switch {
	case err == nil:
		r.trouble.Store(nil)
	case errors.Is(err, errNoRoom), errors.Is(err, ErrOtherCluster), errors.Is(err, ErrTargetShard), errors.Is(err, rrdcached.ErrConnection),
		errors.Is(err, rrdcached.ErrProtocol), errors.Is(err, rrdcached.ErrPermission), errors.As(err, &reply):
		r.trouble.Store(&err)
	}
}

// Health is nil while this process gets through to the target, whether or not
// it is the one that records, and otherwise why it does not.
func (r *Recorder) Health() error {
	if trouble := r.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

// turn tries to get the lease and, with it, records for one term. It returns nil when another recorder has it.
func (r *Recorder) turn(ctx context.Context) error {
	if r.target == "" || time.Since(r.lookedAt) > r.pace.look {
		if err := r.look(ctx); err != nil {
			r.metrics.up.WithLabelValues(r.config.Target).Set(0)
			return err
		}
	}
	lease := r.lease // the term may find another target there, and with it another lease
	held, err := lease.TryAcquire(ctx)
	if err != nil || !held {
		return err
	}
	err = r.term(ctx)
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if releaseErr := lease.Release(release); err == nil {
		err = releaseErr
	}
	return err
}

// look asks the target who it is and how it is, on a connection of its own.
func (r *Recorder) look(ctx context.Context) error {
	client, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = r.stats(ctx, client)
	r.lookedAt = time.Now()
	return err
}

// dial connects to the target and learns its id. With another id than before
// comes another lease, and nothing of what was known of the old one holds.
func (r *Recorder) dial(ctx context.Context) (*rrdcached.Client, error) {
	client, err := rrdcached.Dial(ctx, r.config.Target)
	if err != nil {
		return nil, err
	}
	id, err := Identify(ctx, client, r.config.ClusterID)
	if err != nil {
		_ = client.Close() // the reason is the other error
		return nil, fmt.Errorf("RRDCached at %s: %w", r.config.Target, err)
	}
	if err := r.journal.own(ctx, id); err != nil {
		_ = client.Close() // the reason is the other error
		return nil, fmt.Errorf("RRDCached at %s: %w", r.config.Target, err)
	}
	if id != r.target {
		r.target, r.lease = id, r.newLease(r.journal.key("recorder", id))
		r.marks, r.seen, r.lost, r.writing = marks{}, 0, state{}, writeOut{}
		clear(r.torn)
		r.current.Store(&id)
	}
	return client, nil
}

func (r *Recorder) stats(ctx context.Context, client *rrdcached.Client) (rrdcached.Stats, error) {
	stats, err := client.Stats(ctx)
	if err != nil {
		return stats, fmt.Errorf("ask RRDCached for its counters: %w", err)
	}
	r.metrics.up.WithLabelValues(r.config.Target).Set(1)
	added := r.writing.look(time.Now(), stats)
	r.metrics.wrote(r.config.Target, added, r.writing.report())
	return stats, nil
}

// count adds lines to pollux_rrd_updates_total.
func (r *Recorder) count(result string, lines int) {
	if lines > 0 {
		r.metrics.updates.WithLabelValues(r.config.Target, result).Add(float64(lines))
	}
}

// complain logs what may be wrong with many entries or files at once: one line in ten seconds, the others at the level debug.
func (r *Recorder) complain(seldom *ops.Seldom, level slog.Level, message string, about ...any) {
	untold, due := seldom.Note(time.Now())
	if !due {
		level = slog.LevelDebug
	}
	r.log.Log(context.Background(), level, message, append(about, "untold_before", untold)...)
}

// window is how long an acknowledged update may be lost by a crash of the target's machine.
func (r *Recorder) window() time.Duration { return r.config.FlushWindow() + r.pace.grace }

// wait lasts d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
