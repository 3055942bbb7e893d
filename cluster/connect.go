package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"pollux/config"
)

const (
	schemeTLS       = "tls"
	commandTimeout  = 2 * time.Second // of dialling, and of each read and write
	defaultPoolSize = 32              // a command takes less than a millisecond: enough for hundreds of workers
	pipelinePool    = 4               // connections for pipelines, opened when needed: their buffers are large
	idleLimit       = 5 * time.Minute
	firstPause      = 100 * time.Millisecond // between two attempts to connect; doubled up to longestPause
	longestPause    = 2 * time.Second
)

// Option changes how Connect builds the client.
type Option func(*connection)

type connection struct {
	poolSize int
	name     string
}

// PoolSize sets how many connections the process may use at once; the default
// is 32. A subscription and a blocking read hold theirs for as long as they last.
func PoolSize(connections int) Option {
	return func(c *connection) { c.poolSize = connections }
}

// Name sets the name that CLIENT LIST shows for the process's connections; the
// default is "pollux". Bytes that Redis does not take in a name become "-".
func Name(name string) Option {
	return func(c *connection) { c.name = name }
}

// Connect returns the one Redis client of a process, after Redis answered.
//
// Sentinel wins over the unix socket, and the socket over host and port. Behind
// Sentinels the client follows the master that most of them name (Majority). Every
// command ends with its context, and after 2 s of silence per attempt, with
// one retry. While Redis refuses commands (out of memory, disk full, read-only,
// loading, not permitted) each refused call pauses 1 to 5 s before it returns.
//
// An unreachable Redis is tried again for c.Timeout (once when that is 0), then
// the error is ErrUnavailable. Wrong credentials (ErrCredentials), a user that
// may not do what is needed (ErrDenied) and settings that cannot work
// (ErrConfig) end it at once. The texts are one line and hold no password.
func Connect(ctx context.Context, c config.Redis, log *slog.Logger, options ...Option) (redis.UniversalClient, error) {
	settings := connection{poolSize: defaultPoolSize, name: "pollux"}
	for _, option := range options {
		option(&settings)
	}
	client, err := newClient(c, settings, log)
	if err != nil {
		return nil, err
	}
	injectFaults(client, log)
	if err := untilReady(ctx, client, c, log); err != nil {
		_ = client.Close() // nothing was sent that could be lost
		return nil, err
	}
	return client, nil
}

// Ping says whether Redis answers a command now; an error says what is wrong in one line.
func Ping(ctx context.Context, client redis.UniversalClient) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

// RunID is the random id that a redis-server gives itself at its start (INFO
// server, run_id). It changes with a restart and with a change of the master.
func RunID(ctx context.Context, client redis.UniversalClient) (string, error) {
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("read INFO server of Redis: %w", err)
	}
	_, rest, found := strings.Cut(info, "run_id:")
	if !found {
		return "", fmt.Errorf("read INFO server of Redis: no run_id in %d bytes", len(info))
	}
	id, _, _ := strings.Cut(rest, "\r\n")
	return printable(id), nil
}

// untilReady tries until Redis answers, the time is over or the error is final.
func untilReady(ctx context.Context, client redis.UniversalClient, c config.Redis, log *slog.Logger) error {
	started := time.Now()
	limit, stop := context.WithTimeout(ctx, max(c.Timeout, 2*commandTimeout))
	defer stop()
	pause := firstPause
	for {
		err := probe(limit, client)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("connect to Redis at %s: %w", address(c), ctx.Err())
		}
		failure, final := explain(err, c)
		if final || time.Since(started)+pause >= c.Timeout {
			return failure
		}
		if pause == firstPause {
			log.Warn("Redis does not answer yet", "address", address(c), "trying_for", c.Timeout, "reason", failure)
		}
		select {
		case <-limit.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// probe asks for the least that every process needs: an answer, and the permission for keys of ours.
func probe(ctx context.Context, client redis.UniversalClient) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	return client.Exists(ctx, clusterKey).Err()
}

// newClient builds the client; it does not connect.
func newClient(c config.Redis, settings connection, log *slog.Logger) (redis.UniversalClient, error) {
	dialer, err := newDialer(c)
	if err != nil {
		return nil, err
	}
	options := &redis.Options{
		Username: c.Username, Password: c.Password.Reveal(), DB: c.DB, ClientName: clientName(settings.name),
		Dialer: dialer, DialerRetries: 1, MaxRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: commandTimeout, ReadTimeout: commandTimeout, WriteTimeout: commandTimeout,
		PoolSize: settings.poolSize, PipelinePoolSize: pipelinePool, ConnMaxIdleTime: idleLimit,
		// Both would send a command per connection that Redis before 7.2 or a narrow ACL refuses.
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if len(c.Sentinels) > 0 {
		if c.SentinelService == "" {
			return nil, fmt.Errorf("%w: REDIS_SENTINEL is set, but REDIS_SENTINEL_SERVICE is not", ErrConfig)
		}
		client := follow(c, options, dialer, log)
		client.AddHook(newBackoff(log)) // the first one is the outermost: it waits last
		client.AddHook(client.follower)
		return client, nil
	}
	options.Network, options.Addr = endpoint(c)
	if options.Addr == "" {
		return nil, fmt.Errorf("%w: none of REDIS_HOST, REDIS_SOCKET and REDIS_SENTINEL is set", ErrConfig)
	}
	client := redis.NewClient(options)
	client.AddHook(newBackoff(log))
	return client, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// newDialer dials by ctx alone; the library's own TLS dialer cannot be cancelled.
func newDialer(c config.Redis) (dialFunc, error) {
	plain := &net.Dialer{Timeout: commandTimeout, KeepAlive: 30 * time.Second}
	switch c.Scheme {
	case "", "tcp":
		return plain.DialContext, nil
	case schemeTLS:
	default:
		return nil, fmt.Errorf("%w: REDIS_SCHEME is %q; it must be tcp or tls", ErrConfig, c.Scheme)
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("%w: read REDIS_TLS_CA: %w", ErrConfig, err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: REDIS_TLS_CA %s holds no certificate in PEM form", ErrConfig, c.TLSCA)
		}
	}
	secure := &tls.Dialer{NetDialer: plain, Config: settings}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return plain.DialContext(ctx, network, address) // redis-server does not speak TLS there
		}
		return secure.DialContext(ctx, network, address)
	}, nil
}

// endpoint is where a client without Sentinel dials.
func endpoint(c config.Redis) (network, address string) {
	if c.Socket != "" {
		return "unix", strings.TrimPrefix(c.Socket, "unix:")
	}
	if c.Host == "" {
		return "tcp", ""
	}
	port := c.Port
	if port == 0 {
		port = 6379
	}
	return "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(port)))
}

// address names the server for people.
func address(c config.Redis) string {
	if len(c.Sentinels) > 0 {
		return "sentinels " + strings.Join(c.Sentinels, ",") + " service " + c.SentinelService
	}
	_, where := endpoint(c)
	return where
}

// clientName keeps what CLIENT SETNAME takes: printable ASCII without spaces.
func clientName(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, name)
}
