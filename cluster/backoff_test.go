package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

// slowed says how long the call takes that Redis must refuse with a reply that begins as given.
func slowed(t *testing.T, call func(context.Context) error, reply string) time.Duration {
	t.Helper()
	started := time.Now()
	if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), reply) {
		t.Errorf("got %v, want %s", err, reply)
	}
	return time.Since(started)
}

func TestRefusedCallsSlowDown(t *testing.T) {
	t.Parallel()
	script := redis.NewScript("return redis.call('SET', KEYS[1], 'x')")
	write := func(client redis.UniversalClient) func(context.Context) error {
		return func(ctx context.Context) error { return client.Set(ctx, "pollux:x", "y", 0).Err() }
	}
	scripted := func(client redis.UniversalClient) func(context.Context) error {
		return func(ctx context.Context) error { return script.Run(ctx, client, []string{"asynq:x"}).Err() }
	}
	piped := func(client redis.UniversalClient) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Ping(ctx)
				pipe.Set(ctx, "pollux:x", "y", 0)
				pipe.Set(ctx, "pollux:z", "y", 0)
				return nil
			})
			return err
		}
	}
	narrow := func(c *config.Redis) { c.Username, c.Password = "narrow", secret.New("x") }
	for name, test := range map[string]struct {
		conf  []string
		login func(*config.Redis)
		call  func(redis.UniversalClient) func(context.Context) error
		reply string
	}{
		"memory":            {[]string{"--maxmemory", "1"}, nil, write, "OOM"},
		"memory, script":    {[]string{"--maxmemory", "1"}, nil, scripted, "OOM"},
		"memory, pipeline":  {[]string{"--maxmemory", "1"}, nil, piped, "OOM"},
		"replicas":          {[]string{"--min-replicas-to-write", "1"}, nil, write, "NOREPLICAS"},
		"read-only":         {[]string{"--replicaof", "127.0.0.1", "1"}, nil, write, "READONLY"},
		"permission":        {[]string{"--user", "narrow", "on", ">x", "~*", "+@all", "-set"}, narrow, write, "NOPERM"},
		"permission, again": {[]string{"--user", "narrow", "on", ">x", "~*", "+@all", "-set"}, narrow, scripted, "can't run this command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := polluxtest.Redis(t, test.conf...)
			c := at(t, s.Address)
			if test.login != nil {
				test.login(&c)
			}
			client := connect(t, c)
			took := slowed(t, test.call(client), test.reply)
			if took < time.Second || took > 5*time.Second {
				t.Errorf("the first refused call took %v", took)
			}
			started := time.Now()
			if err := cluster.Ping(t.Context(), client); err != nil || time.Since(started) > 900*time.Millisecond {
				t.Errorf("a call that works took %v, %v", time.Since(started), err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer stop()
			started = time.Now()
			if err := test.call(client)(ctx); err == nil || time.Since(started) > 900*time.Millisecond {
				t.Errorf("a pause did not end with its context: %v, %v", time.Since(started), err)
			}
		})
	}
}

func TestOtherRepliesAreNotSlowed(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	started := time.Now()
	for range 50 {
		if err := client.LPush(t.Context(), "pollux:x", "a").Err(); err != nil {
			t.Fatal(err)
		}
		if err := client.Get(t.Context(), "pollux:x").Err(); !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Fatal(err)
		}
		if err := client.Get(t.Context(), "pollux:none").Err(); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWatchShowsWhetherRedisIsUp(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	metrics := prometheus.NewRegistry()
	var book logbook
	w := cluster.NewWatch(client, book.logger(), metrics)
	if !w.Up() || metric(t, metrics, "pollux_redis_up") != 1 {
		t.Error("it starts as down")
	}
	w.Hurry(50 * time.Millisecond)
	s.Kill()
	stop := background(t, w.Run)
	polluxtest.Eventually(t, 20*time.Second, "it is down", func() bool { return !w.Up() && metric(t, metrics, "pollux_redis_up") == 0 })
	s.Start()
	polluxtest.Eventually(t, 20*time.Second, "it is up again", func() bool { return w.Up() && metric(t, metrics, "pollux_redis_up") == 1 })
	stop()
	if book.count("does not answer") != 1 || book.count("answers again") != 1 {
		t.Error("the changes are not logged once each")
	}
}
