package polluxtest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// RRDCached starts an rrdcached on a unix socket. flags replace the ones that
// say how long it holds updates in memory ("-w", "900", "-z", "300", "-f", "1800", "-t", "1").
func RRDCached(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	s.Socket = filepath.Join(s.Dir, "rrd.sock")
	s.Address = "unix:" + s.Socket
	rrdcached(s, "unix:"+s.Socket, func() error { return dial("unix", s.Socket) }, flags)
	return s
}

// RRDCachedTCP is RRDCached on a TCP port of 127.0.0.1.
func RRDCachedTCP(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
	rrdcached(s, s.Address, func() error { return dial("tcp", s.Address) }, flags)
	return s
}

func rrdcached(s *Server, listen string, ready func() error, flags []string) {
	s.t.Helper()
	s.Base = filepath.Join(s.Dir, "rrd")
	if err := os.MkdirAll(s.Base, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if len(flags) == 0 {
		flags = []string{"-w", "900", "-z", "300", "-f", "1800", "-t", "1"}
	}
	pid := filepath.Join(s.Dir, "rrdcached.pid")
	s.command = func() *exec.Cmd {
		// What a killed daemon left behind would keep the next one from starting.
		_ = os.Remove(pid)
		if s.Socket != "" {
			_ = os.Remove(s.Socket)
		}
		// Some options, such as -P, act only on the -l that follows them.
		return exec.Command("rrdcached", append(slices.Clone(flags), "-g", "-l", listen, "-b", s.Base, "-B", "-R", "-p", pid)...)
	}
	s.ready = ready
	s.run()
}
