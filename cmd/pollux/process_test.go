package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollux/secret"
	"pollux/simulator"
)

const processName = "RUN_AS_THE_PROGRAM"

// TestRunAsTheProgram is no test: a process of the test binary that a test
// starts with the variable set is the program itself, race detector included.
func TestRunAsTheProgram(*testing.T) {
	if os.Getenv(processName) != "1" {
		return
	}
	os.Args = append([]string{"pollux"}, flag.Args()...)
	main()
}

// running is a process of the program.
type running struct {
	t           testing.TB
	out, errout buffer
	command     *exec.Cmd
	exited      chan struct{}
}

// start starts the program; the end of the test kills it.
func (s *site) start(args ...string) *running { s.t.Helper(); return s.startTo(nil, args...) }

// startTo starts it with another standard output than the buffer.
func (s *site) startTo(out *os.File, args ...string) *running {
	s.t.Helper()
	p := &running{t: s.t, exited: make(chan struct{})}
	p.command = exec.Command(os.Args[0], append([]string{"-test.run=^TestRunAsTheProgram$", "--"}, args...)...)
	p.command.Dir, p.command.Env = s.dir, append(append([]string{}, s.environ...), processName+"=1")
	p.command.Stdout, p.command.Stderr = &p.out, &p.errout
	if out != nil {
		p.command.Stdout = out
	}
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // the exit code is read where it matters
		close(p.exited)
	}()
	s.t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.exited
		if text := p.out.String() + p.errout.String(); strings.Contains(text, canary) {
			s.t.Errorf("pollux %q shows a secret:\n%s", args, text)
		}
	})
	return p
}

func (p *running) wait(limit time.Duration) (code int) {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.command.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("%q does not end:\n%s", p.command.Args[2:], p.errout.String())
		return -1
	}
}

// end stops it as an operator does, and wants it to end well.
func (p *running) end() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	if code := p.wait(cliLimit); code != exitOK {
		p.t.Errorf("%q: exit code %d after SIGTERM:\n%s", p.command.Args[2:], code, p.errout.String())
	}
}

// buffer may be written and read at the same time.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// agents simulates devices of 3 ports each at 127.0.0.1 and further addresses; the port is that of all of them.
func agents(t testing.TB, c simulator.Config) (port string) {
	t.Helper()
	c.Ports, c.Community = 3, secret.New(canaryCommunity)
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	c.V3 = &simulator.User{
		Name: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(canaryAuth), PrivProtocol: "AES", PrivPassword: secret.New(canaryPriv),
	}
	agent, err := simulator.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	select {
	case <-agent.Ready():
	case err := <-done:
		t.Fatalf("simulator: %v", err)
	}
	return fmt.Sprint(agent.Addr(0).Port())
}
