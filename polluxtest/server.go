// Package polluxtest starts the real servers that tests run against, on free
// ports and in temporary folders, and stops them when the test ends.
//
// It is for tests only: no package outside a test may import it.
package polluxtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a server may take until it answers; generous, since tests share few cores.
const startLimit = 60 * time.Second

// Server is one real server that a test started.
type Server struct {
	Address string // what a client is given: "host:port", or "unix:/path" for RRDCached
	Socket  string // path of its unix socket, "" for none
	Base    string // RRDCached: the base directory of the RRD tree
	Data    string // redis-server: the folder of its append-only file, where it is not Dir
	Dir     string // its folder, removed at the end
	Log     string // file with what it printed

	t       testing.TB
	name    string
	login   []string // user and password for Ask; none for a server that asks for none
	command func() *exec.Cmd
	ready   func() error

	mu      sync.Mutex
	process *os.Process
	exited  chan struct{}
}

// PID is the process id of the running server, 0 when it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Pid
}

// Start starts the server with the data it has, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("start %s: %v", s.name, err)
	}
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	out, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	command := s.command()
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(s.pidFile(), []byte(strconv.Itoa(command.Process.Pid)), 0o644); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = command.Wait() // its exit code means nothing: tests kill servers
		close(exited)
	}()
	s.process, s.exited = command.Process, exited
	deadline := time.Now().Add(startLimit)
	for {
		err := s.ready()
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			s.process = nil
			return fmt.Errorf("it ended at once: %s", tail(s.Log))
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not answer: %w: %s", err, tail(s.Log))
		}
	}
}

// Kill ends the server with SIGKILL, as a crash does.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server with SIGTERM, as an operator does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Pause freezes the server with SIGSTOP.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a frozen server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		if err := s.process.Signal(signal); err != nil {
			s.t.Errorf("send %v to %s: %v", signal, s.name, err)
		}
	}
}

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Signal(signal)
	if signal != syscall.SIGKILL {
		_ = s.process.Signal(syscall.SIGCONT)
	}
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		_ = s.process.Kill()
		<-s.exited
	}
	s.process = nil
}

func (s *Server) pidFile() string { return filepath.Join(s.Dir, "pollux-test.pid") }

// guard starts a shell that outlives this process by a moment: when this
// process ends, however it ends, the server dies and its folder goes.
func (s *Server) guard() (release func(), err error) {
	shell := exec.Command("/bin/sh", "-c", `cat >/dev/null; kill -9 "$(cat "$0/pollux-test.pid")" 2>/dev/null; rm -rf "$0"`, s.Dir)
	input, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C for the tests must not end the guard first
	if err := shell.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = input.Close()
		_ = shell.Wait()
	}, nil
}

// newServer prepares a server in a short temporary folder: the path of a unix socket has at most 107 bytes.
func newServer(t testing.TB, name string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pxt")
	if err != nil {
		t.Fatal(err)
	}
	return &Server{t: t, name: name, Dir: dir, Log: filepath.Join(dir, "log")}
}

// run starts a prepared server for the length of the test.
func (s *Server) run() {
	s.t.Helper()
	release, err := s.guard()
	if err != nil {
		s.t.Fatalf("guard %s: %v", s.name, err)
	}
	s.t.Cleanup(func() {
		s.Kill()
		release()
	})
	s.Start()
}

// FreePort returns a TCP and UDP port of 127.0.0.1 that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		_ = tcp.Close()
		if err != nil {
			continue
		}
		_ = udp.Close()
		if reserve(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free for both TCP and UDP")
}

// reserved keeps the names that reserve took, so that they are not collected.
var reserved sync.Map

// reserve makes sure that no port is handed out twice, to this process or to
// another one that tests at the same time: a server takes its port only a moment
// after it was chosen. The name is an abstract socket's, which ends with the process.
func reserve(port int) bool {
	name, err := net.Listen("unix", "@pollux-test-port-"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	reserved.Store(port, name)
	return true
}

// Eventually waits until condition holds, looking every 10 ms, and fails the test after limit.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		<-tick.C
	}
}

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

func tail(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 2000 {
		_, _ = f.Seek(-2000, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 2000))
	return string(text)
}
