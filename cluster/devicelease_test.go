package cluster_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/polluxtest"
)

func TestDeviceLeaseIsExclusiveAndWaitedFor(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	one := cluster.NewDeviceLeases(client, "node-a", quiet())
	two := cluster.NewDeviceLeases(client, "node-b", quiet())
	until := time.Now().Add(time.Minute)
	release, ok, err := one.Acquire(t.Context(), 7, 10*time.Second, until)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if _, ok, err := two.Acquire(t.Context(), 8, 10*time.Second, until); err != nil || !ok {
		t.Errorf("another device: %v, %v", ok, err)
	}
	got := make(chan error, 1)
	go func() {
		release, ok, err := two.Acquire(context.Background(), 7, 10*time.Second, until)
		if err == nil && !ok {
			err = errors.New("not acquired")
		}
		release()
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	release()
	release() // harmless
	if err := <-got; err != nil {
		t.Error(err)
	}
	if n := client.Exists(t.Context(), "pollux:lease:7").Val(); n != 0 {
		t.Error("it is not released")
	}
}

func TestDeviceLeaseWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	leases := cluster.NewDeviceLeases(client, "a", quiet())
	if err := client.Set(t.Context(), "pollux:lease:1", "somebody", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ ttl, until, most time.Duration }{
		"one TTL":          {300 * time.Millisecond, time.Hour, 300 * time.Millisecond},
		"the slot's end":   {time.Hour, 300 * time.Millisecond, 300 * time.Millisecond},
		"the slot is over": {time.Hour, -time.Second, 0},
	} {
		started := time.Now()
		release, ok, err := leases.Acquire(t.Context(), 1, test.ttl, started.Add(test.until))
		took := time.Since(started)
		if ok || err != nil || took < test.most || took > test.most+2*time.Second {
			t.Errorf("%s: %v, %v after %v", name, ok, err, took)
		}
		release()
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, ok, err := leases.Acquire(ctx, 1, time.Hour, time.Now().Add(time.Hour)); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the end of the context: %v, %v", ok, err)
	}
}

func TestDeviceLeaseIsRenewedUntilTheDeadlineOnly(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	leases := cluster.NewDeviceLeases(client, "a", quiet())
	ctx, stop := context.WithCancel(t.Context())
	started := time.Now()
	const ttl = 1500 * time.Millisecond
	until := started.Add(4 * time.Second)
	_, ok, err := leases.Acquire(ctx, 1, ttl, until)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	stop() // the drain does not end the renewals of a running poll
	var lapsed time.Time
	polluxtest.Eventually(t, 10*time.Second, "a poll that never releases loses it", func() bool {
		n, err := client.Exists(t.Context(), "pollux:lease:1").Result()
		lapsed = time.Now()
		return err == nil && n == 0
	})
	if lapsed.Before(until.Add(-ttl/2)) || lapsed.After(until.Add(ttl)) {
		t.Errorf("it lapsed %v after the start, the deadline was %v after it", lapsed.Sub(started), until.Sub(started))
	}
}

func TestDeviceLeaseReleasedTwiceDoesNotTouchTheNext(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	leases := cluster.NewDeviceLeases(client, "a", quiet())
	until := time.Now().Add(time.Minute)
	first, ok, err := leases.Acquire(t.Context(), 1, time.Minute, until)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := client.Del(t.Context(), "pollux:lease:1").Err(); err != nil { // lapsed
		t.Fatal(err)
	}
	second, ok, err := leases.Acquire(t.Context(), 1, time.Minute, until)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	first()
	if n := client.Exists(t.Context(), "pollux:lease:1").Val(); n != 1 {
		t.Error("the late release of the first hold ended the second")
	}
	second()
}

func TestDeviceLeasesUnderContention(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	var inside [4]atomic.Int64
	var taken atomic.Int64
	var group sync.WaitGroup
	for n := range 12 {
		leases := cluster.NewDeviceLeases(client, "n", quiet())
		group.Go(func() {
			for round := range 10 {
				device := (n + round) % len(inside)
				release, ok, err := leases.Acquire(context.Background(), int64(device), 20*time.Second, time.Now().Add(time.Minute))
				if err != nil || !ok {
					t.Error(ok, err)
					continue
				}
				if inside[device].Add(1) != 1 {
					t.Errorf("device %d is read twice at once", device)
				}
				taken.Add(1)
				inside[device].Add(-1)
				release()
			}
		})
	}
	group.Wait()
	if taken.Load() != 120 {
		t.Errorf("%d of 120", taken.Load())
	}
}

func TestDeviceLeaseOfAnUnreachableRedisIsAnError(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	leases := cluster.NewDeviceLeases(client, "a", quiet())
	release, ok, err := leases.Acquire(t.Context(), 1, time.Minute, time.Now().Add(time.Minute))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	s.Kill()
	release() // does not hang
	if _, ok, err := leases.Acquire(t.Context(), 2, time.Minute, time.Now().Add(time.Minute)); ok || err == nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// BenchmarkDeviceLease measures one poll's share: take and give back.
func BenchmarkDeviceLease(b *testing.B) {
	_, client := server(b)
	leases := cluster.NewDeviceLeases(client, "a", quiet())
	var device atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		id := device.Add(1)
		for pb.Next() {
			release, ok, err := leases.Acquire(b.Context(), id, time.Minute, time.Now().Add(time.Minute))
			if err != nil || !ok {
				b.Error(ok, err)
				return
			}
			release()
		}
	})
}
