package polluxtest

import (
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

// RRDCached starts an rrdcached on a unix socket. flags replace the ones that
// say how long it holds updates in memory ("-w", "900", "-z", "300", "-f", "1800", "-t", "1").
func RRDCached(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	s.Socket = filepath.Join(s.Dir, "rrd.sock")
	s.Address = "unix:" + s.Socket
	rrdcached(s, nil, "unix:"+s.Socket, func() error { return dial("unix", s.Socket) }, flags)
	return s
}

// SlowRRDCached is RRDCached whose write-out of a file takes pause longer while
// the file "slow" stands in its folder Dir. A shim in front of librrd does that; it is compiled with cc.
func SlowRRDCached(t testing.TB, pause time.Duration, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	shim := filepath.Join(s.Dir, "slow.so")
	compile := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", shim, "-x", "c", "-", "-ldl")
	compile.Stdin = strings.NewReader(slowSource)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile the shim that slows rrdcached (are gcc and libc6-dev installed?): %v: %s", err, out)
	}
	before := []string{
		"env", "LD_PRELOAD=" + shim, "SLOW_FILE=" + filepath.Join(s.Dir, "slow"), "SLOW_US=" + strconv.FormatInt(pause.Microseconds(), 10),
	}
	s.Socket = filepath.Join(s.Dir, "rrd.sock")
	s.Address = "unix:" + s.Socket
	rrdcached(s, before, "unix:"+s.Socket, func() error { return dial("unix", s.Socket) }, flags)
	return s
}

// slowSource stands before the one function of librrd with which rrdcached writes a file out.
const slowSource = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int rrd_update_r(const char *file, const char *template, int count, const char **values) {
	static int (*next)(const char *, const char *, int, const char **);
	if (!next) next = dlsym(RTLD_NEXT, "rrd_update_r");
	if (access(getenv("SLOW_FILE"), F_OK) == 0) usleep(atoi(getenv("SLOW_US")));
	return next(file, template, count, values);
}
`

// RRDCachedOnSmallDisk is RRDCached whose RRD tree is a file system of its own
// with so many MiB, which Fill fills. It ends with the server, and so does Base, through which it is seen.
func RRDCachedOnSmallDisk(t testing.TB, mebibytes int, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	s.Data = filepath.Join(s.Dir, "rrd")
	mount := fmt.Sprintf(`mount -t tmpfs -o size=%dm tmpfs "$0" && exec "$@" || echo "this machine does not let a test mount a tmpfs in a namespace of its own" >&2`, mebibytes)
	before := []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, s.Data}
	s.Socket = filepath.Join(s.Dir, "rrd.sock")
	s.Address = "unix:" + s.Socket
	rrdcached(s, before, "unix:"+s.Socket, func() error { return dial("unix", s.Socket) }, flags)
	s.Base = fmt.Sprintf("/proc/%d/root%s", s.PID(), s.Data)
	return s
}

// RRDCachedTCP is RRDCached on a TCP port of 127.0.0.1.
func RRDCachedTCP(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := newServer(t, "rrdcached")
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
	rrdcached(s, nil, s.Address, func() error { return dial("tcp", s.Address) }, flags)
	return s
}

// rrdcached starts the daemon; before stands in front of its command line.
func rrdcached(s *Server, before []string, listen string, ready func() error, flags []string) {
	s.t.Helper()
	base := filepath.Join(s.Dir, "rrd")
	s.Base = base
	if err := os.MkdirAll(base, 0o755); err != nil {
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
		words := append(append(slices.Clone(before), "rrdcached"), flags...)
		words = append(words, "-g", "-l", listen, "-b", base, "-B", "-R", "-p", pid)
		return exec.Command(words[0], words[1:]...)
	}
	s.ready = ready
	s.run()
}
