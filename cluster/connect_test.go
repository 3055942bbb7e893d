package cluster_test

import (
	"context"
	"errors"
	"net"
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

const canary = "s3cret-canary"

// mustWork writes and reads a key of ours.
func mustWork(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	lease := cluster.NewLease(client, "pollux:leader", "test", time.Minute)
	if held, err := lease.TryAcquire(t.Context()); err != nil || !held {
		t.Fatalf("acquired %v, %v", held, err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestConnectsEachWay(t *testing.T) {
	t.Parallel()
	plain := polluxtest.Redis(t)
	locked := polluxtest.Redis(t, "--requirepass", canary)
	narrow := polluxtest.Redis(t, "--aclfile", polluxtest.Packaged(t, "redis/users.acl", t.TempDir()))
	ways := map[string]config.Redis{
		"plain":    at(t, plain.Address),
		"database": at(t, plain.Address),
		"socket":   {Host: "127.0.0.1", Port: 1, Socket: plain.Socket}, // the socket wins
		"password": at(t, locked.Address),
		"user":     at(t, narrow.Address),
	}
	change := func(name string, f func(*config.Redis)) { c := ways[name]; f(&c); ways[name] = c }
	change("database", func(c *config.Redis) { c.DB = 3 })
	change("password", func(c *config.Redis) { c.Password = secret.New(canary) })
	change("user", func(c *config.Redis) { c.Username, c.Password = "pollux", secret.New(polluxtest.PolluxPassword) })
	for name, c := range ways {
		t.Run(name, func(t *testing.T) {
			client, err := cluster.Connect(t.Context(), c, quiet(), cluster.Name("pollux test\n1"), cluster.PoolSize(2))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			mustWork(t, client)
			if id, err := cluster.RunID(t.Context(), client); err != nil || len(id) != 40 {
				t.Errorf("run id %q, %v", id, err)
			}
			if got := client.ClientGetName(t.Context()).Val(); got != "pollux-test-1" {
				t.Errorf("client name %q", got)
			}
		})
	}
}

func TestConnectErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	plain := polluxtest.Redis(t)
	locked := polluxtest.Redis(t, "--requirepass", canary,
		"--user", "narrow", "on", ">"+canary, "~asynq:*", "-@all", "+@read", "+@connection")
	free := net.JoinHostPort("127.0.0.1", strconv.Itoa(polluxtest.FreePort(t)))
	with := func(address string, f func(*config.Redis)) config.Redis {
		c := at(t, address)
		f(&c)
		return c
	}
	for name, test := range map[string]struct {
		c    config.Redis
		want error
		says string
	}{
		"refused":          {at(t, free), cluster.ErrUnavailable, "nothing listens there: start redis-server or correct REDIS_HOST and REDIS_PORT"},
		"no socket":        {config.Redis{Socket: "/nonexistent/redis.sock"}, cluster.ErrUnavailable, "REDIS_SOCKET"},
		"no password":      {at(t, locked.Address), cluster.ErrCredentials, "set REDIS_PASSWORD"},
		"wrong password":   {with(locked.Address, func(c *config.Redis) { c.Password = secret.New("wrong-" + canary) }), cluster.ErrCredentials, `the password of user "default"`},
		"wrong user":       {with(locked.Address, func(c *config.Redis) { c.Username, c.Password = "nobody", secret.New(canary) }), cluster.ErrCredentials, `the password of user "nobody"`},
		"denied":           {with(locked.Address, func(c *config.Redis) { c.Username, c.Password = "narrow", secret.New(canary) }), cluster.ErrDenied, `the ACL user "narrow" the keys ~pollux:*`},
		"no such database": {with(plain.Address, func(c *config.Redis) { c.DB = 99 }), cluster.ErrConfig, "has no database 99: correct REDIS_DB"},
		"no TLS there":     {with(plain.Address, func(c *config.Redis) { c.Scheme = "tls" }), cluster.ErrUnavailable, "correct REDIS_SCHEME"},
		"scheme":           {with(plain.Address, func(c *config.Redis) { c.Scheme = "http" }), cluster.ErrConfig, "REDIS_SCHEME"},
		"authority file":   {with(plain.Address, func(c *config.Redis) { c.Scheme, c.TLSCA = "tls", "/nonexistent.pem" }), cluster.ErrConfig, "REDIS_TLS_CA"},
		"nothing set":      {config.Redis{}, cluster.ErrConfig, "REDIS_HOST"},
		"no service":       {config.Redis{Sentinels: []string{free}}, cluster.ErrConfig, "REDIS_SENTINEL_SERVICE"},
		"no Sentinel":      {config.Redis{Sentinels: []string{free}, SentinelService: "mymaster"}, cluster.ErrUnavailable, "correct REDIS_SENTINEL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var book logbook
			_, err := cluster.Connect(t.Context(), test.c, book.logger())
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), canary) || book.count(canary) > 0 {
				t.Errorf("the password shows: %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

func TestConnectRetriesUntilRedisIsThere(t *testing.T) {
	t.Parallel()
	s := polluxtest.Redis(t)
	s.Kill()
	c := at(t, s.Address)
	c.Timeout = 30 * time.Second
	var book logbook
	result := make(chan error, 1)
	go func() {
		client, err := cluster.Connect(context.Background(), c, book.logger())
		if err == nil {
			err = client.Close()
		}
		result <- err
	}()
	polluxtest.Eventually(t, 10*time.Second, "the first failure is logged", func() bool { return book.count("trying_for=30s") > 0 })
	s.Start()
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not connect")
	}
	if book.count("does not answer yet") != 1 {
		t.Error("it is not logged once")
	}
}

func TestConnectEndsAtItsTimeoutAndWithItsContext(t *testing.T) {
	t.Parallel()
	c := at(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(polluxtest.FreePort(t))))
	c.Timeout = 700 * time.Millisecond
	started := time.Now()
	if _, err := cluster.Connect(t.Context(), c, quiet()); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(started); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	c.Timeout = time.Hour
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := cluster.Connect(ctx, c, quiet()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCommandsEndWithTheirContextWhenRedisHangs(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	s.Pause()
	defer s.Resume()
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	started := time.Now()
	if err := cluster.Ping(ctx, client); err == nil {
		t.Error("a frozen server answers")
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("a context of 100 ms ended after %v", took)
	}
}

func TestConnectsOverTLS(t *testing.T) {
	t.Parallel()
	files, port := polluxtest.NewCertificates(t), polluxtest.FreePort(t)
	polluxtest.Redis(t, append(files.Flags(strconv.Itoa(port)), "--bind", "127.0.0.1", "127.0.0.2")...)
	c := config.Redis{Scheme: "tls", Host: "127.0.0.1", Port: uint16(port), TLSCA: files.Authority}
	mustWork(t, connect(t, c))

	c.TLSCA = ""
	if _, err := cluster.Connect(t.Context(), c, quiet()); !errors.Is(err, cluster.ErrUnavailable) || !strings.Contains(err.Error(), "set REDIS_TLS_CA") {
		t.Errorf("an unknown authority: %v", err)
	}
	c.TLSCA, c.Host = files.Authority, "127.0.0.2"
	if _, err := cluster.Connect(t.Context(), c, quiet()); err == nil || !strings.Contains(err.Error(), "its certificate does not fit") {
		t.Errorf("a certificate for another host: %v", err)
	}
	c.Scheme, c.Host = "", "127.0.0.1"
	if _, err := cluster.Connect(t.Context(), c, quiet()); !errors.Is(err, cluster.ErrUnavailable) || !strings.Contains(err.Error(), "REDIS_SCHEME=tls") {
		t.Errorf("without TLS: %v", err)
	}
}
