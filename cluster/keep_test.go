package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/polluxtest"
)

const (
	shortTTL   = 1200 * time.Millisecond
	shortEvery = 50 * time.Millisecond
)

func options() cluster.KeepOptions {
	return cluster.KeepOptions{Every: shortEvery, Log: quiet()}
}

func TestKeepRunsTheWorkOnceInTheCluster(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	var running, worst, terms atomic.Int64
	work := func(ctx context.Context) error {
		worst.Store(max(worst.Load(), running.Add(1)))
		terms.Add(1)
		<-ctx.Done()
		running.Add(-1)
		return ctx.Err()
	}
	var stops []func()
	for n := range 4 {
		lease := cluster.NewLease(client, cluster.LeaderKey, fmt.Sprint(n), 10*time.Second)
		stops = append(stops, background(t, func(ctx context.Context) error { return cluster.Keep(ctx, lease, options(), work) }))
	}
	for n := range stops { // whoever leads is among those that still run
		want := int64(1)
		polluxtest.Eventually(t, 10*time.Second, "one leads", func() bool { return running.Load() == want })
		stops[n]()
	}
	if worst.Load() != 1 || running.Load() != 0 {
		t.Errorf("%d led at once, %d still run", worst.Load(), running.Load())
	}
	if holder, err := cluster.NewLease(client, cluster.LeaderKey, "", shortTTL).Holder(t.Context()); err != nil || holder != "" {
		t.Errorf("after the end %q holds it, %v", holder, err)
	}
}

func TestKeepRenewsForLongerThanTheTTL(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	lease := cluster.NewLease(client, "pollux:test", "a", 2*time.Second)
	var terms atomic.Int64
	started := make(chan time.Time, 10)
	background(t, func(ctx context.Context) error {
		return cluster.Keep(ctx, lease, options(), func(ctx context.Context) error {
			terms.Add(1)
			started <- time.Now()
			<-ctx.Done()
			return nil
		})
	})
	begin := <-started
	polluxtest.Eventually(t, 10*time.Second, "two TTLs pass", func() bool { return time.Since(begin) > 4*time.Second })
	if terms.Load() != 1 {
		t.Errorf("%d terms", terms.Load())
	}
}

func TestKeepStopsTheWorkBeforeTheLeaseLapses(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	lease := cluster.NewLease(client, "pollux:test", "a", shortTTL)
	started, ended := make(chan struct{}, 10), make(chan bool, 10)
	var terms atomic.Int64
	background(t, func(ctx context.Context) error {
		return cluster.Keep(ctx, lease, options(), func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			ended <- time.Now().Before(lease.Deadline()) && errors.Is(context.Cause(ctx), cluster.ErrLeaseLost)
			if terms.Add(1) == 1 {
				return errors.New("a consequence, which does not end Keep")
			}
			return nil
		})
	})
	<-started
	s.Pause()
	select {
	case inTime := <-ended:
		if !inTime {
			t.Error("the work ended after the deadline, or for another cause")
		}
	case <-time.After(10 * time.Second):
		t.Error("the work goes on without Redis")
	}
	s.Resume()
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		t.Error("no second term")
	}
}

func TestKeepStopsTheWorkWhenAnotherHoldsTheLease(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	lease := cluster.NewLease(client, "pollux:test", "a", shortTTL)
	started, ended := make(chan struct{}, 10), make(chan error, 10)
	background(t, func(ctx context.Context) error {
		return cluster.Keep(ctx, lease, options(), func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil
		})
	})
	<-started
	if err := client.Set(t.Context(), "pollux:test", "somebody else", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	select {
	case cause := <-ended:
		if !errors.Is(cause, cluster.ErrLeaseLost) {
			t.Errorf("it ended because of %v", cause)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the work goes on")
	}
	if holder, err := lease.Holder(t.Context()); err != nil || holder != "somebody else" {
		t.Errorf("%q holds it, %v", holder, err)
	}
}

func TestKeepHeedsEligibility(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	lease := cluster.NewLease(client, "pollux:test", "a", shortTTL)
	var eligible atomic.Bool
	var asked, running atomic.Int64
	o := options()
	o.Eligible = func() bool {
		asked.Add(1)
		return eligible.Load()
	}
	background(t, func(ctx context.Context) error {
		return cluster.Keep(ctx, lease, o, func(ctx context.Context) error {
			running.Add(1)
			<-ctx.Done()
			running.Add(-1)
			return nil
		})
	})
	polluxtest.Eventually(t, 10*time.Second, "it is asked", func() bool { return asked.Load() > 3 })
	if running.Load() != 0 {
		t.Error("it leads though it may not")
	}
	eligible.Store(true)
	polluxtest.Eventually(t, 10*time.Second, "it leads", func() bool { return running.Load() == 1 })
	eligible.Store(false)
	polluxtest.Eventually(t, 10*time.Second, "it stops", func() bool { return running.Load() == 0 })
}

func TestKeepEndsWithTheErrorOfTheWork(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	lease := cluster.NewLease(client, "pollux:test", "a", shortTTL)
	broken := errors.New("broken")
	if err := cluster.Keep(t.Context(), lease, options(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if holder, err := lease.Holder(t.Context()); err != nil || holder != "" {
		t.Errorf("%q still holds it, %v", holder, err)
	}
}

func TestKeepLogsAnOutageOnce(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	s.Kill()
	var book logbook
	lease := cluster.NewLease(client, "pollux:test", "a", shortTTL)
	background(t, func(ctx context.Context) error {
		return cluster.Keep(ctx, lease, cluster.KeepOptions{Every: shortEvery, Log: book.logger()}, func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
	})
	polluxtest.Eventually(t, 10*time.Second, "the outage is logged", func() bool { return book.count("cannot be asked") == 1 })
	s.Start()
	polluxtest.Eventually(t, 20*time.Second, "its end is logged", func() bool { return book.count("can be asked for again") == 1 })
	polluxtest.Eventually(t, 20*time.Second, "it leads", func() bool { return book.count("lease acquired") == 1 })
	if n := book.count("cannot be asked"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
