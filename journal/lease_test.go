package journal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestRecorderProcess is the recorder of another process for TestAFrozenRecorderHarmsNothing, and nothing by itself.
func TestRecorderProcess(t *testing.T) {
	target := os.Getenv("JOURNAL_TEST_TARGET")
	if target == "" {
		return
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: os.Getenv("JOURNAL_TEST_REDIS"), ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Second})
	w := &world{t: t, client: client, journal: journal.New(client, 0), window: acceleratedWindow, rrd: &polluxtest.Server{Address: target}}
	recorder, err := journal.NewRecorder(w.journal, w.config(), w.newLease, prometheus.NewRegistry(), quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	recorder.Hurry(time.Second, 300*time.Millisecond)
	if err := recorder.Run(t.Context()); err != nil { // until it is killed
		t.Error(err)
	}
}

// TestAFrozenRecorderHarmsNothing freezes the process that records. While it
// stands still the daemon is restarted and another recorder takes over; then it wakes up in the middle of its work.
func TestAFrozenRecorderHarmsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow, accelerated...)
	child := exec.Command(os.Args[0], "-test.run=^TestRecorderProcess$")
	child.Env = append(os.Environ(), "JOURNAL_TEST_TARGET="+w.rrd.Address, "JOURNAL_TEST_REDIS="+w.redis.Socket)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	polls := func(n int) { every(20*time.Millisecond, n, func(int) { w.poll(3, 6) }) }
	polls(50)
	w.drained()
	polls(5)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	polls(10)
	w.kill()
	w.rrd.Start()
	r := w.record()
	w.drained()
	if instance := w.cursor()["instance"]; instance != "1" {
		t.Errorf("the restart was not seen: %v", w.cursor())
	}
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	polls(50)
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
		t.Errorf("%.0f lines were refused", refused)
	}
}

// TestOneRecorderWorks: of several recorders one records, and another goes on when it stops.
func TestOneRecorderWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	first := w.record()
	w.poll(2, 2)
	w.drained()
	second := w.record()
	every(20*time.Millisecond, 20, func(int) { w.poll(2, 2) })
	w.drained()
	polluxtest.Eventually(t, 10*time.Second, "the idle one sees the target", func() bool { return second.counter("pollux_rrdcached_up") == 1 })
	if n := second.counter("pollux_rrd_updates_total", "accepted"); n != 0 {
		t.Errorf("the second recorder sent %.0f lines", n)
	}
	first.stop()
	every(20*time.Millisecond, 20, func(int) { w.poll(2, 2) })
	w.drained()
	if n := second.counter("pollux_rrd_updates_total", "accepted"); n != 80 {
		t.Errorf("the second recorder sent %.0f lines, want 80", n)
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if instance := w.cursor()["instance"]; instance != "0" {
		t.Errorf("a change of recorders looks like a restart: %v", w.cursor())
	}
}

// stolen is a lease that ends by the local clock, or in Redis, when told to.
type stolen struct {
	journal.Lease
	over  *atomic.Bool // Deadline is past
	taken *atomic.Bool // it cannot be renewed
}

func (s stolen) Deadline() time.Time {
	if s.over.Load() {
		return time.Now().Add(-time.Second)
	}
	return s.Lease.Deadline()
}

func (s stolen) TryAcquire(ctx context.Context) (bool, error) {
	if s.taken.Load() {
		return false, errors.New("Redis does not answer")
	}
	return s.Lease.TryAcquire(ctx)
}

// lapsing is a lease whose deadline passes when told to, and which can be had again at once.
type lapsing struct {
	stolen
	released *atomic.Int64
}

func (l lapsing) TryAcquire(ctx context.Context) (bool, error) {
	held, err := l.stolen.TryAcquire(ctx)
	if held {
		l.over.Store(false)
	}
	return held, err
}

func (l lapsing) Release(ctx context.Context) error {
	l.released.Add(1)
	return l.stolen.Release(ctx)
}

// TestNothingIsSentAfterTheLease: when the deadline has passed, nothing more is sent, whatever Redis says.
func TestNothingIsSentAfterTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	var over, taken atomic.Bool
	w.wrap = func(l journal.Lease) journal.Lease { return stolen{l, &over, &taken} }
	r := w.record()
	w.poll(2, 2)
	w.drained()
	over.Store(true)
	taken.Store(true)
	polluxtest.Eventually(t, 10*time.Second, "the term ends", func() bool {
		status, err := w.journal.Status(t.Context())
		return err == nil && status.Targets[0].Recorder == ""
	})
	sent, before := r.counter("pollux_rrd_updates_total", "accepted"), w.cursor()["acked"]
	w.poll(2, 2)
	polluxtest.Eventually(t, 10*time.Second, "the lag is seen", func() bool { return r.counter("pollux_journal_lag_seconds") > 0.5 })
	if n := r.counter("pollux_rrd_updates_total", "accepted"); n != sent || w.cursor()["acked"] != before {
		t.Errorf("%.0f lines were sent, %v", n-sent, w.cursor())
	}
	over.Store(false)
	taken.Store(false)
	w.drained()
}

// TestALapsedLeaseIsNotTakenAnew: another recorder may have sent lines since, so the connection and what was learned on it end.
func TestALapsedLeaseIsNotTakenAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	var over, taken atomic.Bool
	var released atomic.Int64
	w.wrap = func(l journal.Lease) journal.Lease { return lapsing{stolen{l, &over, &taken}, &released} }
	r := w.record((*journal.Recorder).Still) // so that nothing but the round looks at the deadline
	w.poll(2, 2)
	w.drained()
	over.Store(true)
	polluxtest.Eventually(t, 10*time.Second, "the term ends", func() bool { return released.Load() > 0 })
	w.poll(2, 2)
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "accepted"); n != 8 {
		t.Errorf("%.0f lines are accepted, want 8", n)
	}
}

// TestALostLeaseStoresNothing: another holder's key in Redis keeps the cursor from being written.
func TestALostLeaseStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	w.record()
	w.poll(2, 2)
	w.drained()
	before := w.cursor()
	id := w.client.SMembers(t.Context(), w.journal.Key("targets")).Val()[0]
	if err := w.client.Set(t.Context(), w.journal.Key("recorder", id), "somebody else", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	w.poll(2, 2)
	polluxtest.Eventually(t, 10*time.Second, "the target is behind", func() bool {
		status, err := w.journal.Status(t.Context())
		return err == nil && status.Targets[0].Lag > 500*time.Millisecond && status.Targets[0].Recorder == "somebody else"
	})
	if cursor := w.cursor(); cursor["acked"] != before["acked"] {
		t.Errorf("the cursor went from %v to %v", before, cursor)
	}
	if err := w.client.Del(t.Context(), w.journal.Key("recorder", id)).Err(); err != nil {
		t.Fatal(err)
	}
	w.drained()
	if err := w.journal.ForgetTarget(t.Context(), newcomer); !errors.Is(err, journal.ErrNoTarget) {
		t.Errorf("another one is forgotten: %v", err)
	}
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// newLease makes leases of two seconds.
func (w *world) newLease(key string) journal.Lease {
	var l journal.Lease = &lease{client: w.client, key: key, token: strconv.FormatUint(rand.Uint64(), 16), ttl: 2 * time.Second}
	if w.wrap != nil {
		l = w.wrap(l)
	}
	return l
}

// lease is the simplest that does what the recorder asks.
type lease struct {
	client   *redis.Client
	key      string
	token    string
	ttl      time.Duration
	deadline time.Time
}

func (l *lease) TryAcquire(ctx context.Context) (bool, error) {
	started := time.Now()
	ok, err := l.client.Eval(ctx, `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if holder then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`, []string{l.key}, l.token, l.ttl.Milliseconds()).Bool()
	if err == nil && ok {
		l.deadline = started.Add(l.ttl)
	}
	return ok, err
}

func (l *lease) Deadline() time.Time { return l.deadline }

func (l *lease) Token() string { return l.token }

func (l *lease) Release(ctx context.Context) error {
	l.deadline = time.Time{}
	return l.client.Eval(ctx, `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 0`, []string{l.key}, l.token).Err()
}
