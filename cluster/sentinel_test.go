package cluster_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

// sentinel starts one Sentinel with a password of its own, which watches the server as "mymaster".
func sentinel(t *testing.T, watched, watchedPassword, password string) (address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(watched)
	if err != nil {
		t.Fatal(err)
	}
	own := strconv.Itoa(polluxtest.FreePort(t))
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nrequirepass %s\nsentinel monitor mymaster %s %s 1\n"+
		"sentinel auth-pass mymaster %s\nsentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n",
		own, dir, password, host, port, watchedPassword)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("redis-server", file, "--sentinel")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed: its exit code means nothing
	})
	address = net.JoinHostPort("127.0.0.1", own)
	polluxtest.Eventually(t, 20*time.Second, "the Sentinel listens", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return address
}

func TestSentinelFindsTheMasterAndItsSuccessor(t *testing.T) {
	t.Parallel()
	auth := []string{"--requirepass", canary, "--masterauth", canary}
	master := polluxtest.Redis(t, auth...)
	host, port, err := net.SplitHostPort(master.Address)
	if err != nil {
		t.Fatal(err)
	}
	replica := polluxtest.Redis(t, append(auth, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")...)
	const own = "sentinel-" + canary
	c := config.Redis{
		Host: "127.0.0.1", Port: 1, // Sentinel wins
		Sentinels: []string{sentinel(t, master.Address, canary, own)}, SentinelService: "mymaster",
		Password: secret.New(canary), SentinelPassword: secret.New(own),
	}
	client := connect(t, c)
	mustWork(t, client)
	before, err := cluster.RunID(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}

	for name, wrong := range map[string]struct {
		change func(*config.Redis)
		want   error
		says   string
	}{
		"the Sentinel's password": {func(c *config.Redis) { c.SentinelPassword = secret.New("x") }, cluster.ErrCredentials, "REDIS_SENTINEL_PASSWORD"},
		"the server's password":   {func(c *config.Redis) { c.Password = secret.New("x") }, cluster.ErrCredentials, "correct REDIS_USERNAME and REDIS_PASSWORD"},
		"the service":             {func(c *config.Redis) { c.SentinelService = "other" }, cluster.ErrUnavailable, "correct REDIS_SENTINEL_SERVICE"},
	} {
		bad := c
		wrong.change(&bad)
		if _, err := cluster.Connect(t.Context(), bad, quiet()); !errors.Is(err, wrong.want) || !strings.Contains(err.Error(), wrong.says) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}

	direct := at(t, replica.Address)
	direct.Password = secret.New(canary)
	observer := connect(t, direct)
	polluxtest.Eventually(t, 20*time.Second, "the replica follows", func() bool {
		return strings.Contains(observer.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	watcher := redis.NewClient(&redis.Options{Addr: c.Sentinels[0], Password: own})
	defer watcher.Close()
	polluxtest.Eventually(t, 20*time.Second, "the Sentinel knows the replica", func() bool {
		return strings.Contains(watcher.Info(t.Context(), "sentinel").Val(), "slaves=1")
	})
	master.Kill()
	polluxtest.Eventually(t, 30*time.Second, "the client works with the new master", func() bool {
		id, err := cluster.RunID(t.Context(), client)
		if err != nil || id == before {
			return false
		}
		held, err := cluster.NewLease(client, "pollux:test", "test", time.Second).TryAcquire(t.Context())
		return err == nil && held
	})
}
