// Package standalone runs redis-server and rrdcached as supervised children
// of one process, for a machine on which nobody has set them up.
//
// They are the real servers with data of their own below one directory, so
// that moving to external ones is configuration only. The package must not
// know what is stored in them.
package standalone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	maxSocketPath = 100 // bytes; the kernel takes 107, and a server may add a suffix
	startLimit    = 60 * time.Second
	stopLimit     = 60 * time.Second // rrdcached writes out its files before it ends
	dirMode       = 0o700
)

// ErrInUse says that another process runs on the data directory.
var ErrInUse = errors.New("another standalone process uses the data directory")

// ErrMissing says that a server's program is not installed.
var ErrMissing = errors.New("program not found")

// Config says what to run and where.
type Config struct {
	DataDir   string
	Redis     bool // run a redis-server, because none is configured
	RRDCached bool // run an rrdcached, because none is configured
}

// Place is where the servers of a data directory are, whether they run or not.
type Place struct {
	Run         string // directory of sockets and pids
	RedisSocket string
	RRDCached   string // address of the rrdcached, "unix:/path"
	RRDBase     string // directory of the RRD files
}

// Locate says where the servers of a data directory are.
func Locate(dataDir string) (Place, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return Place{}, fmt.Errorf("find the data directory: %w", err)
	}
	run := filepath.Join(dir, "run")
	if len(filepath.Join(run, "rrdcached.sock")) > maxSocketPath {
		sum := sha256.Sum256([]byte(dir))
		run = filepath.Join(os.TempDir(), "pollux-"+hex.EncodeToString(sum[:6]))
	}
	return Place{
		Run: run, RedisSocket: filepath.Join(run, "redis.sock"), RRDCached: "unix:" + filepath.Join(run, "rrdcached.sock"),
		RRDBase: filepath.Join(dir, "rrd"),
	}, nil
}

// Children are the servers of one data directory.
type Children struct {
	config Config
	place  Place
	log    *slog.Logger
	all    []*child
	ready  chan struct{}
}

// New checks that the programs are there. Nothing runs and nothing is written until Run.
func New(config Config, log *slog.Logger) (*Children, error) {
	place, err := Locate(config.DataDir)
	if err != nil {
		return nil, err
	}
	c := &Children{config: config, place: place, log: log, ready: make(chan struct{})}
	if config.Redis {
		if err := c.add("redis-server", place.RedisSocket, c.redisArguments()); err != nil {
			return nil, err
		}
	}
	if config.RRDCached {
		if err := c.add("rrdcached", strings.TrimPrefix(place.RRDCached, "unix:"), c.rrdcachedArguments()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Children) add(name, socket string, arguments []string) error {
	program, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: %s; install it with: apt-get install redis-server rrdcached rrdtool", ErrMissing, name)
	}
	c.all = append(c.all, &child{
		name: name, program: program, arguments: arguments, log: c.log.With("child", name),
		socket: socket, pidFile: filepath.Join(c.place.Run, name+".child.pid"), ready: make(chan struct{}),
	})
	return nil
}

// Place is where the children are.
func (c *Children) Place() Place { return c.place }

func (c *Children) redisArguments() []string {
	return []string{
		"--port", "0", "--unixsocket", c.place.RedisSocket, "--unixsocketperm", "700", "--dir", filepath.Join(c.config.DataDir, "redis"),
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory", "1gb", "--maxmemory-policy", "noeviction",
		"--daemonize", "no", "--loglevel", "warning",
	}
}

// rrdcachedArguments: -w, -z, -f are what the setting rrd.flush_window covers;
// -F writes everything out when it is stopped, so that files are whole for other tools.
func (c *Children) rrdcachedArguments() []string {
	return []string{
		"-g", "-l", c.place.RRDCached, "-b", c.place.RRDBase, "-B", "-R", "-F", "-p", filepath.Join(c.place.Run, "rrdcached.pid"),
		"-w", "900", "-z", "300", "-f", "1800", "-t", "1",
	}
}

// Ready waits until every child answers.
func (c *Children) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-c.ready:
	case <-ctx.Done():
		return fmt.Errorf("wait for the children: %w", ctx.Err())
	}
	for _, child := range c.all {
		select {
		case <-child.ready:
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", child.name, ctx.Err())
		}
	}
	return nil
}

// Run takes the data directory, runs the children, restarts those that die,
// and stops them all when ctx ends. They never outlive the process.
func (c *Children) Run(ctx context.Context) error {
	release, err := c.prepare()
	if err != nil {
		return err
	}
	defer release()
	close(c.ready)
	group, ctx := errgroup.WithContext(ctx)
	for _, child := range c.all {
		group.Go(func() error { return child.supervise(ctx) })
	}
	return group.Wait()
}

// prepare makes the directories and locks them against a second process.
func (c *Children) prepare() (release func(), err error) {
	for _, dir := range []string{c.config.DataDir, filepath.Join(c.config.DataDir, "redis"), c.place.RRDBase, c.place.Run} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, fmt.Errorf("make the data directory: %w", err)
		}
	}
	if err := ownAlone(c.place.Run); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(c.config.DataDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, c.config.DataDir)
	}
	for _, child := range c.all {
		if err := child.endLeftover(); err != nil {
			_ = lock.Close()
			return nil, err
		}
	}
	return func() { _ = lock.Close() }, nil
}

// ownAlone refuses a directory below $TMPDIR that somebody else made.
func ownAlone(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a directory that only this user can write to; choose a shorter data directory or another TMPDIR", dir)
	}
	return nil
}

// answers says whether something accepts connections on the socket and
// answers PING, a command of both servers. Redis refuses it while it still loads its data.
func answers(ctx context.Context, socket string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	return err == nil && !bytes.Contains(answer[:n], []byte("LOADING"))
}
