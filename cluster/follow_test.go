package cluster_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
)

// switched is how long after the loss of a master a client may need until it
// works with the next one: down-after and 10 s.
const switched = 15 * time.Second

// serverOf is which redis-server answers a client now; "" for none.
func serverOf(t *testing.T, client cluster.Client) string {
	t.Helper()
	id, err := cluster.RunID(t.Context(), client)
	if err != nil {
		return ""
	}
	return id
}

// among is the configuration with other Sentinels.
func among(c config.Redis, sentinels ...string) config.Redis {
	c.Sentinels, c.Timeout = sentinels, 0
	return c
}

func TestFollowsMostOfTheSentinels(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	other := polluxtest.PackagedRedis(t, 0) // takes the same user: whoever asks for it gets it
	liar := watched.Stray(other.Address)
	c := among(watched.Config(), liar.Address, watched.Watchers[0].Address, watched.Watchers[1].Address)
	master := watched.Nodes[0].InfoField("run_id")
	for range 20 {
		client := connect(t, c)
		if got := serverOf(t, client); got != master {
			t.Fatalf("it follows %q, want the master %q", got, master)
		}
	}

	client := connect(t, c)
	watched.Watchers[0].Pause()
	if _, err := cluster.Connect(t.Context(), c, quiet()); !errors.Is(err, cluster.ErrUnavailable) ||
		!strings.Contains(err.Error(), "too few Sentinels agree: start the others, or correct REDIS_SENTINEL") ||
		!strings.Contains(err.Error(), "2 of 3 Sentinels answered, 2 must agree on the master of mymaster") {
		t.Errorf("without a majority: %v", err)
	}
	if got := serverOf(t, client); got != master {
		t.Errorf("a client that works left its master for %q when a Sentinel went", got)
	}
	watched.Watchers[0].Resume()
	c.Timeout = time.Minute
	if got := serverOf(t, connect(t, c)); got != master {
		t.Errorf("with a majority again it follows %q, want %q", got, master)
	}
}

// A liar stands first in the list, and the master goes in each way.
func TestFollowsAFailover(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options polluxtest.SentinelOptions
		fail    func(*polluxtest.Failover) *polluxtest.Server
	}{
		"killed":          {polluxtest.SentinelOptions{}, (*polluxtest.Failover).KillMaster},
		"hung":            {polluxtest.SentinelOptions{}, (*polluxtest.Failover).PauseMaster},
		"hung behind TLS": {polluxtest.SentinelOptions{WatcherUser: "watcher", TLS: true}, (*polluxtest.Failover).PauseMaster},
		"told to": {polluxtest.SentinelOptions{}, func(f *polluxtest.Failover) *polluxtest.Server {
			f.Watchers[1].Must("SENTINEL", "failover", "mymaster")
			return f.Nodes[0]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watched := polluxtest.Sentinels(t, test.options)
			c := watched.Config()
			if !test.options.TLS {
				c.Sentinels[0] = watched.Stray(polluxtest.PackagedRedis(t, 0).Address).Address
			}
			var book logbook
			client, err := cluster.Connect(t.Context(), c, book.logger())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			messages := client.Subscribe(t.Context(), "asynq:cancel") // a connection on which nothing comes
			defer messages.Close()
			if _, err := messages.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = messages.Channel() // reads on, and subscribes anew when its connection ends
			before := serverOf(t, client)
			failed := time.Now()
			old := test.fail(watched)
			polluxtest.Eventually(t, time.Minute, "the client works with the new master", func() bool {
				id := serverOf(t, client)
				held, err := cluster.NewLease(client, "pollux:test", "test", time.Second).TryAcquire(t.Context())
				return id != "" && id != before && err == nil && held
			})
			took := time.Since(failed)
			t.Logf("it worked with the new master after %v", took.Round(time.Millisecond))
			if took > switched {
				t.Errorf("it worked with the new master only after %v", took)
			}
			if now := watched.Successor(old, time.Minute); serverOf(t, client) != now.InfoField("run_id") {
				t.Errorf("it follows another one than the Sentinels")
			}
			polluxtest.Eventually(t, time.Minute, "the subscription moved too", func() bool {
				heard, err := client.PubSubNumSub(t.Context(), "asynq:cancel").Result()
				return err == nil && heard["asynq:cancel"] == 1
			})
			if book.count("the Sentinels name another master of Redis") != 1 {
				t.Error("the change is not logged once")
			}
		})
	}
}

// A master that was cut off with this process and one Sentinel refuses writes.
// Nothing may be read from it either, since it lags behind the one that the others have.
func TestLeavesAMasterThatIsCutOff(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	var book logbook
	client, err := cluster.Connect(t.Context(), watched.Config(), book.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	lease := cluster.NewLease(client, "pollux:test", "test", time.Second)
	far := []*polluxtest.Server{watched.Watchers[1], watched.Watchers[2], watched.Nodes[1], watched.Nodes[2]}
	for _, s := range far[:2] {
		s.Kill()
	}
	if _, err := lease.TryAcquire(t.Context()); err != nil {
		t.Errorf("a master with replicas was left because Sentinels are away: %v", err)
	}
	for _, s := range far[2:] {
		s.Kill()
	}
	polluxtest.Eventually(t, time.Minute, "reads fail too", func() bool {
		_, _ = lease.TryAcquire(t.Context()) // is refused: the master has no replicas
		err := cluster.Ping(t.Context(), client)
		return err != nil && strings.Contains(err.Error(), "1 of 3 Sentinels answered, 2 must agree on the master of mymaster")
	})
	if book.count("too few Sentinels agree on the master of Redis") != 1 {
		t.Error("it is not logged once")
	}
	for _, s := range far {
		s.Start()
	}
	polluxtest.Eventually(t, time.Minute, "the client works again", func() bool {
		held, err := lease.TryAcquire(t.Context())
		return err == nil && held
	})
	if book.count("enough Sentinels agree on the master of Redis again") != 1 {
		t.Error("that it passed is not logged once")
	}
}

// Not parallel, since it counts the goroutines of the whole process.
func TestAClosedClientLeavesNothingBehind(t *testing.T) {
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	away := among(watched.Config(), watched.Watchers[0].Address, "127.0.0.1:1", "127.0.0.1:2")
	before := runtime.NumGoroutine()
	for range 5 {
		client, err := cluster.Connect(t.Context(), watched.Config(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		mustWork(t, client)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if _, err := cluster.Connect(t.Context(), away, quiet()); err == nil {
			t.Error("one of three Sentinels is enough")
		}
		if err := cluster.Ping(t.Context(), client); err == nil {
			t.Error("a closed client answers")
		}
	}
	polluxtest.Eventually(t, 20*time.Second, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}
