package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeTime drives a Clock: the local clocks and Redis TIME move as the test says.
type fakeTime struct {
	mu       sync.Mutex    // for the test that runs beside the clock
	passed   time.Duration // truly passed since the start
	wallStep time.Duration // how far the local wall clock was stepped
	asleep   time.Duration // how long the monotonic clock stood still: a suspended machine
	server   time.Duration // how far Redis is ahead of the wall clock at the start
	trip     func(n int) time.Duration
	back     bool // a trip takes all of its time on the way back, as when this process does not get to run
	down     func(n int) bool
	calls    int
	metrics  *prometheus.Registry
}

func (f *fakeTime) clock() *Clock { return f.clockWith(io.Discard) }

func (f *fakeTime) clockWith(log io.Writer) *Clock {
	f.metrics = prometheus.NewRegistry()
	c := NewClock(nil, slog.New(slog.NewTextHandler(log, nil)), f.metrics)
	c.read = func() reading {
		f.mu.Lock()
		defer f.mu.Unlock()
		return reading{wall: c.epoch.Round(0).Add(f.passed + f.wallStep), monotonic: f.passed - f.asleep}
	}
	c.server = func(context.Context) (time.Time, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls++
		took := 200 * time.Microsecond
		if f.trip != nil {
			took = f.trip(f.calls)
		}
		out := took / 2
		if f.back {
			out = 0
		}
		f.passed += out
		now := c.epoch.Round(0).Add(f.passed + f.server)
		f.passed += took - out
		if f.down != nil && f.down(f.calls) {
			return time.Time{}, errors.New("no answer")
		}
		return now, nil
	}
	return c
}

func near(a, b time.Time, tolerance time.Duration) bool { return a.Sub(b).Abs() <= tolerance }

func TestClockShowsRedisTime(t *testing.T) {
	t.Parallel()
	f := &fakeTime{server: 3 * time.Second}
	c := f.clock()
	if !c.Skewed() {
		t.Error("a clock that was never synced is trusted")
	}
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	redis := func() time.Time { return c.epoch.Round(0).Add(f.passed + 3*time.Second) }
	if c.Skewed() || !near(c.Now(), redis(), time.Millisecond) {
		t.Errorf("skewed %v, now %v, Redis %v", c.Skewed(), c.Now(), redis())
	}
	if c.Now().Location() != time.UTC {
		t.Error("not UTC")
	}
	families, err := f.metrics.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	if got := families[0].GetMetric()[0].GetGauge().GetValue(); got > -2.999 || got < -3.001 {
		t.Errorf("metric %v, want -3", got)
	}
	local := c.epoch.Add(10 * time.Second)
	if want := c.epoch.Round(0).Add(13 * time.Second); !near(c.At(local), want, time.Millisecond) {
		t.Errorf("At gives %v, want %v", c.At(local), want)
	}
	f.passed += time.Hour
	if !near(c.Now(), redis(), time.Millisecond) {
		t.Error("it does not run on between two syncs")
	}
}

// TestClockIsNotMovedByABusyMoment syncs well, then while every answer comes 600 ms late, and then while Redis' clock has really moved.
func TestClockIsNotMovedByABusyMoment(t *testing.T) {
	t.Parallel()
	f := &fakeTime{server: 3 * time.Second}
	c := f.clock()
	sync := func(when string, tolerance time.Duration) {
		t.Helper()
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if redis := c.epoch.Round(0).Add(f.passed + f.server); !near(c.Now(), redis, tolerance) || c.state.Load().skew+f.server > tolerance {
			t.Errorf("%s: it is off by %v, the skew is %v", when, c.Now().Sub(redis), c.state.Load().skew)
		}
	}
	sync("calm", time.Millisecond)
	f.back, f.trip = true, func(int) time.Duration { return 600 * time.Millisecond }
	sync("busy", time.Millisecond)
	f.server += time.Second // further than the error of such a trip
	sync("moved while busy", 301*time.Millisecond)
	f.back, f.trip = false, nil
	sync("calm again", time.Millisecond)
}

func TestClockIsNotMovedByAStepOfTheWallClock(t *testing.T) {
	t.Parallel()
	f := &fakeTime{}
	c := f.clock()
	for range 2 {
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.Skewed() || !near(c.Now(), c.epoch.Round(0).Add(f.passed), time.Millisecond) {
			t.Errorf("step %v: skewed %v, now %v", f.wallStep, c.Skewed(), c.Now())
		}
		f.wallStep = -4 * time.Second // tolerated: it moves asynq's leases only
	}
	f.wallStep = 6 * time.Second
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !c.Skewed() || !near(c.Now(), c.epoch.Round(0).Add(f.passed), time.Millisecond) {
		t.Errorf("a wall clock 6 s ahead: skewed %v, now %v", c.Skewed(), c.Now())
	}
	f.wallStep = 0
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Skewed() {
		t.Error("still skewed after the wall clock was corrected")
	}
}

func TestClockDistrustsAJumpUntilTwoStableSyncs(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]func(*fakeTime){
		"suspended machine":  func(f *fakeTime) { f.passed += 3 * time.Second; f.asleep += 3 * time.Second },
		"another Redis host": func(f *fakeTime) { f.server = -3 * time.Second },
	} {
		f := &fakeTime{}
		c := f.clock()
		if err := c.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		jump(f)
		for n, want := range []bool{true, true, false, false} {
			if err := c.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.Skewed() != want {
				t.Errorf("%s: skewed %v at sync %d after it", name, c.Skewed(), n+1)
			}
		}
		if want := c.epoch.Round(0).Add(f.passed + f.server); !near(c.Now(), want, time.Millisecond) {
			t.Errorf("%s: now %v, Redis %v", name, c.Now(), want)
		}
	}
}

func TestClockSurvivesBadRoundTrips(t *testing.T) {
	t.Parallel()
	slow := &fakeTime{trip: func(n int) time.Duration {
		return []time.Duration{0, 1500, 900, 1, 2, 1}[n] * time.Millisecond // one is too long to count, one is misleading
	}}
	c := slow.clock()
	if err := c.Sync(t.Context()); err != nil || c.Skewed() || !near(c.Now(), c.epoch.Round(0).Add(slow.passed), 5*time.Millisecond) {
		t.Errorf("skewed %v, off by %v, %v", c.Skewed(), c.Now().Sub(c.epoch.Round(0).Add(slow.passed)), err)
	}
	down := &fakeTime{down: func(n int) bool { return n > 7 }} // the second sync fails
	c = down.clock()
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Sync(t.Context()); err == nil {
		t.Error("a sync without answers succeeds")
	}
	if down.calls != 10 {
		t.Errorf("%d calls, want 5 and then 5 of which 3 fail", down.calls)
	}
	if c.Skewed() {
		t.Error("an outage of Redis makes the clock skewed")
	}
}

func TestClockSyncsSoonerWhileItIsNotTrusted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTime{}
		c := f.clock()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		started := time.Now()
		syncs := func(after time.Duration, want int) {
			t.Helper()
			<-time.After(time.Until(started.Add(after)))
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.calls != want*roundTrips {
				t.Errorf("after %v: %d round trips, want %d", after, f.calls, want*roundTrips)
			}
		}
		syncs(29*time.Second, 1)
		f.mu.Lock()
		f.server = 3 * time.Second
		f.mu.Unlock()
		syncs(31*time.Second, 2) // it sees the jump
		syncs(36*time.Second, 3)
		syncs(41*time.Second, 4) // trusted again
		if c.Skewed() {
			t.Error("still skewed")
		}
		syncs(69*time.Second, 4)
		syncs(71*time.Second, 5)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClockReportsASkewedStartOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		f := &fakeTime{wallStep: 10 * time.Second}
		c := f.clockWith(&text)
		if err := c.Sync(t.Context()); err != nil { // as a command does before it starts its roles
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 5*syncSoon)
		defer stop()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := strings.Count(text.String(), "does not agree with Redis"); n != 1 || !strings.Contains(text.String(), "skew=10s") {
			t.Errorf("logged %d times: %s", n, text.String())
		}
	})
}
