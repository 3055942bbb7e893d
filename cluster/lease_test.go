package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/polluxtest"
)

func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	one := cluster.NewLease(client, "pollux:test", "node-a", 10*time.Second)
	two := cluster.NewLease(client, "pollux:test", "node-b", 10*time.Second)
	if !one.Deadline().IsZero() {
		t.Error("a new lease has a deadline")
	}
	before := time.Now()
	if held, err := one.TryAcquire(ctx); err != nil || !held {
		t.Fatal(held, err)
	}
	if lasts := one.Deadline().Sub(before); lasts < 10*time.Second || lasts > 11*time.Second {
		t.Errorf("the deadline is %v after the call", lasts)
	}
	if held, err := two.TryAcquire(ctx); err != nil || held || !two.Deadline().IsZero() {
		t.Errorf("a second holder: %v, %v", held, err)
	}
	if holder, err := two.Holder(ctx); err != nil || holder != one.Token() || !strings.HasPrefix(holder, "node-a/") {
		t.Errorf("holder %q, %v", holder, err)
	}
	if err := two.Release(ctx); err != nil { // of what it does not hold
		t.Error(err)
	}
	if held, err := one.TryAcquire(ctx); err != nil || !held {
		t.Errorf("renewed %v, %v", held, err)
	}
	if err := one.Release(ctx); err != nil || !one.Deadline().IsZero() {
		t.Errorf("released: %v, deadline %v", err, one.Deadline())
	}
	if holder, err := one.Holder(ctx); err != nil || holder != "" {
		t.Errorf("holder %q after the release, %v", holder, err)
	}
	if held, err := two.TryAcquire(ctx); err != nil || !held {
		t.Errorf("the next holder: %v, %v", held, err)
	}
}

func TestLeaseUnderContention(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	const workers, rounds = 16, 40
	var holders, worst, terms atomic.Int64
	var group sync.WaitGroup
	for n := range workers {
		group.Go(func() {
			lease := cluster.NewLease(client, "pollux:test", fmt.Sprint(n), 30*time.Second)
			for range rounds {
				held, err := lease.TryAcquire(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				if !held {
					continue
				}
				now := holders.Add(1)
				worst.Store(max(worst.Load(), now))
				terms.Add(1)
				if err := client.Ping(context.Background()).Err(); err != nil { // work, during which the others try
					t.Error(err)
				}
				holders.Add(-1)
				if err := lease.Release(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if worst.Load() != 1 || terms.Load() < 2 {
		t.Errorf("%d holders at once, %d terms", worst.Load(), terms.Load())
	}
}

func TestLeaseThatVanishedIsLostOnce(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	lease := cluster.NewLease(client, "pollux:test", "a", time.Minute)
	for _, want := range []bool{true, false, true} { // acquired, lost, acquired for a new term
		held, err := lease.TryAcquire(ctx)
		if err != nil || held != want || lease.Deadline().IsZero() == want {
			t.Fatalf("held %v, want %v; deadline %v; %v", held, want, lease.Deadline(), err)
		}
		if err := client.Del(ctx, "pollux:test").Err(); err != nil { // a failover lost it
			t.Fatal(err)
		}
	}
}

func TestLeaseLapsesAndIsTakenByTheNext(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	ctx := t.Context()
	one := cluster.NewLease(client, "pollux:test", "a", 300*time.Millisecond)
	two := cluster.NewLease(client, "pollux:test", "b", time.Minute)
	if held, err := one.TryAcquire(ctx); err != nil || !held {
		t.Fatal(held, err)
	}
	s.Pause()
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	deadline := one.Deadline()
	if held, err := one.TryAcquire(short); err == nil || held {
		t.Errorf("a frozen Redis renews: %v", held)
	}
	if one.Deadline() != deadline {
		t.Error("an error moved the deadline")
	}
	polluxtest.Eventually(t, 5*time.Second, "the deadline passes", func() bool { return time.Now().After(deadline) })
	s.Resume()
	polluxtest.Eventually(t, 5*time.Second, "the next holder gets it", func() bool {
		held, err := two.TryAcquire(ctx)
		return err == nil && held
	})
	if held, err := one.TryAcquire(ctx); err != nil || held {
		t.Errorf("the first holder renews what it lost: %v, %v", held, err)
	}
}

func TestLeaseOfAnUnreachableRedisIsAnError(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	s.Kill()
	lease := cluster.NewLease(client, "pollux:test", "a", time.Second)
	if _, err := lease.TryAcquire(t.Context()); err == nil {
		t.Error("acquired")
	}
	if err := lease.Release(t.Context()); err == nil {
		t.Error("released")
	}
	if _, err := lease.Holder(t.Context()); err == nil {
		t.Error("somebody holds it")
	}
}
