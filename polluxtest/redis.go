package polluxtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis starts a redis-server with an append-only file, reachable over TCP
// and a unix socket. extra are further words of its command line, such as
// "--requirepass", "x"; a file of settings stands first.
func Redis(t testing.TB, extra ...string) *Server {
	t.Helper()
	s := newServer(t, "redis-server")
	s.Data = s.Dir
	redisServer(s, nil, extra)
	return s
}

// PackagedRedis is Redis with the settings and users of packaging/redis: the
// user pollux, with PolluxPassword, and besides one for Ask. With small its
// folder Data is a file system of its own with so many MiB, which a test may fill.
func PackagedRedis(t testing.TB, small int, extra ...string) *Server {
	t.Helper()
	s := newServer(t, "redis-server")
	s.Data = s.Dir
	s.login = []string{adminUser, adminPassword}
	addAdmin(t, Packaged(t, "redis/users.acl", s.Dir))
	var before []string
	if small > 0 {
		s.Data = filepath.Join(s.Dir, "small")
		if err := os.Mkdir(s.Data, 0o755); err != nil {
			t.Fatal(err)
		}
		mount := fmt.Sprintf(`mount -t tmpfs -o size=%dm tmpfs "$0" && exec "$@"`, small)
		before = []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, s.Data}
	}
	redisServer(s, before, append([]string{Packaged(t, "redis/redis.conf", s.Dir)}, extra...))
	return s
}

// Fill fills the file system that PackagedRedis made, up to the last byte; empty makes room again.
func (s *Server) Fill() (empty func()) {
	s.t.Helper()
	// The file system is seen by the server only, and through it.
	name := fmt.Sprintf("/proc/%d/root%s", s.PID(), filepath.Join(s.Data, "filler"))
	filler, err := os.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer filler.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := filler.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			s.t.Error(err)
		}
	}
}

// StartLoading starts a server that was killed, and returns while it is busy
// loading its data and answers LOADING. finish lets it come to the end of that.
func (s *Server) StartLoading() (finish func()) {
	s.t.Helper()
	command, ready := s.command, s.ready
	s.command = func() *exec.Cmd {
		slow := command()
		slow.Args = append(slow.Args, "--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024") // microseconds a key; it answers after every 1024 at the latest
		return slow
	}
	s.ready = func() error {
		if _, err := s.Ask("GET", "none"); err == nil || !strings.HasPrefix(err.Error(), "LOADING") {
			return fmt.Errorf("it is not loading: %w", err)
		}
		return nil
	}
	s.Start()
	s.command, s.ready = command, ready
	return func() {
		s.t.Helper()
		s.Must("CONFIG", "SET", "key-load-delay", "0")
		Eventually(s.t, startLimit, "redis-server has loaded its data", func() bool { return ready() == nil })
	}
}

// addAdmin adds the user for Ask to a file of users.
func addAdmin(t testing.TB, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	admin := fmt.Sprintf("user %s on >%s ~* &* +@all\n", adminUser, adminPassword)
	if err := os.WriteFile(file, append(text, admin...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// redisServer starts a redis-server; before stands in front of its command line.
func redisServer(s *Server, before, extra []string) {
	t := s.t
	t.Helper()
	port := FreePort(t)
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.Socket = filepath.Join(s.Dir, "redis.sock")
	var file []string
	if len(extra) > 0 && strings.HasSuffix(extra[0], ".conf") {
		file, extra = extra[:1], extra[1:]
	}
	s.command = func() *exec.Cmd {
		words := append(slices.Clone(before), "redis-server")
		words = append(append(words, file...),
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", s.Socket, "--dir", s.Data,
			"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no",
		)
		words = append(words, extra...)
		return exec.Command(words[0], words[1:]...)
	}
	s.ready = func() error { return pingRedis(s.Socket) }
	s.run()
}

// pingRedis accepts any answer but LOADING: a server that asks for a password is ready too.
func pingRedis(socket string) error {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.Contains(line, "LOADING") {
		return fmt.Errorf("redis-server says %s", strings.TrimSpace(line))
	}
	return nil
}
