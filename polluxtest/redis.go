package polluxtest

import (
	"bufio"
	"fmt"
	"net"
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
	port := FreePort(t)
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.Socket = filepath.Join(s.Dir, "redis.sock")
	var file []string
	if len(extra) > 0 && strings.HasSuffix(extra[0], ".conf") {
		file, extra = extra[:1], extra[1:]
	}
	s.command = func() *exec.Cmd {
		args := append(slices.Clone(file),
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", s.Socket, "--dir", s.Dir,
			"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no",
		)
		return exec.Command("redis-server", append(args, extra...)...)
	}
	s.ready = func() error { return pingRedis(s.Socket) }
	s.run()
	return s
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
