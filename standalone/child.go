package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	firstPause = 100 * time.Millisecond // before a restart; doubled until lastPause
	lastPause  = 5 * time.Second
	healthyFor = 10 * time.Second // a child that lived so long is restarted at once
	maxLine    = 4096
)

// child is one supervised server.
type child struct {
	name      string
	program   string
	arguments []string
	socket    string
	pidFile   string
	log       *slog.Logger

	once  sync.Once
	ready chan struct{}
}

// supervise runs the child until ctx ends.
//
// The thread is locked for its whole life: the kernel's parent-death signal
// comes when the thread that started the child ends, not the process.
func (c *child) supervise(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- c.loop(ctx)
	}()
	return <-done
}

func (c *child) loop(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		started := time.Now()
		err := c.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > healthyFor {
			pause = firstPause
		}
		c.log.Error("child ended; it is started again", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

// runOnce runs the child until it ends or, when ctx ends, stops it.
func (c *child) runOnce(ctx context.Context) error {
	// What a dead predecessor left behind keeps a server from starting.
	for _, leftover := range []string{c.socket, strings.TrimSuffix(c.socket, ".sock") + ".pid"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a leftover: %w", err)
		}
	}
	command := exec.Command(c.program, c.arguments...)
	// Its own group, so that a terminal's Ctrl-C reaches this process only and the order of stopping is ours.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	output, input := io.Pipe()
	command.Stdout, command.Stderr = input, input
	go c.copyLog(output)
	defer input.Close()
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := os.WriteFile(c.pidFile, []byte(strconv.Itoa(command.Process.Pid)), 0o600); err != nil {
		c.log.Warn("the child's pid cannot be noted", "err", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	go c.waitUntilReady(ctx)
	select {
	case err := <-exited:
		return fmt.Errorf("%s ended by itself: %w", c.name, orEnded(err))
	case <-ctx.Done():
	}
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		c.log.Debug("child stopped", "err", err)
	case <-time.After(stopLimit):
		c.log.Warn("child does not stop; it is killed", "after", stopLimit)
		_ = command.Process.Kill()
		c.log.Debug("child ended", "err", <-exited)
	}
	_ = os.Remove(c.pidFile)
	return nil
}

func (c *child) waitUntilReady(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range int(startLimit / (20 * time.Millisecond)) {
		if answers(ctx, c.socket) {
			c.once.Do(func() { close(c.ready) })
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *child) copyLog(output *io.PipeReader) {
	lines := bufio.NewScanner(output)
	lines.Buffer(make([]byte, maxLine), maxLine)
	for lines.Scan() {
		if text := strings.TrimSpace(lines.Text()); text != "" {
			c.log.Info("child says", "line", text)
		}
	}
	_, _ = io.Copy(io.Discard, output) // a line beyond the bound must not block the child
}

// endLeftover ends a child of a predecessor that was killed and whose
// parent-death signal has not done its work yet.
func (c *child) endLeftover() error {
	text, err := os.ReadFile(c.pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pid of a former %s: %w", c.name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 || !c.isOurs(pid) {
		return nil // a number that means nothing, or another program's by now
	}
	c.log.Warn("a former child still runs; it is ended", "pid", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for range 500 {
		if !c.isOurs(pid) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("a former %s (pid %d) does not end; end it by hand", c.name, pid)
}

// isOurs says whether the process runs our program on our socket: pids are reused.
func (c *child) isOurs(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	// redis-server rewrites its title; its working directory tells as well.
	if strings.Contains(string(line), c.socket) {
		return true
	}
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil || !strings.Contains(exe, "redis") || c.name != "redis-server" {
		return false
	}
	dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	return err == nil && dir == c.directory()
}

// directory is the one that the child was given with --dir.
func (c *child) directory() string {
	for i, word := range c.arguments[:max(len(c.arguments)-1, 0)] {
		if word == "--dir" {
			return c.arguments[i+1]
		}
	}
	return ""
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
