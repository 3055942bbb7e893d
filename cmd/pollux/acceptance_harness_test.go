package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The acceptance tests run the built program as an operator does, with real
// servers, against simulated devices whose counters have a closed form.

const (
	// startLimit is how long a process may take until it serves: generous, since tests share few cores.
	startLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
	lookEvery  = 100 * time.Millisecond
	tailBytes  = 6000 // of a process' log, printed when its test fails
)

// built is the program, and the pipe that keeps it: its folder goes with this process, however it ends.
type built struct {
	file string
	keep io.Closer
}

// program builds the program once per run of the tests.
var program = sync.OnceValues(func() (built, error) { return build("gosnmp_nodebug") })

// build builds the program with some tags, and further words for go build.
func build(tags string, extra ...string) (built, error) {
	dir, err := os.MkdirTemp("/tmp", "pxb")
	if err != nil {
		return built{}, err
	}
	guard := exec.Command("/bin/sh", "-c", `cat >/dev/null; rm -rf "$0"`, dir)
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	keep, err := guard.StdinPipe()
	if err != nil {
		return built{}, err
	}
	if err := guard.Start(); err != nil {
		return built{}, err
	}
	made := built{file: filepath.Join(dir, "pollux"), keep: keep}
	compile := exec.Command("go", append(append([]string{"build", "-tags", tags}, extra...), "-o", made.file, ".")...)
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		return made, fmt.Errorf("build the program: %w: %s", err, out)
	}
	return made, nil
}

// shortDir is a temporary folder with a path that is short enough for unix sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pxa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// until waits for an event and fails the test when it does not come.
func until(t testing.TB, limit time.Duration, what string, happened func() bool) {
	t.Helper()
	untilEvery(t, lookEvery, limit, what, happened)
}

// untilEvery is until with another distance between two looks.
func untilEvery(t testing.TB, every, limit time.Duration, what string, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !happened() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		<-tick.C
	}
}

// command prepares the program with nothing of the tester's own environment.
func command(t testing.TB, dir string, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	made, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return commandOf(t, made.file, dir, environ, args...)
}

// commandOf is command for another build of the program.
func commandOf(t testing.TB, file, dir string, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(file, args...)
	c.Dir = dir
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "POLLUX_OPS_LISTEN=127.0.0.1:0"}, environ...)
	// An empty file, so that none of this machine is read.
	if err := os.WriteFile(filepath.Join(dir, "empty.env"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = append(c.Env, "POLLUX_ENV_FILE="+filepath.Join(dir, "empty.env"))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// cli runs one command line to its end and returns what it printed.
func cli(t testing.TB, dir string, environ []string, args ...string) string {
	t.Helper()
	c := command(t, dir, environ, args...)
	var errout bytes.Buffer
	c.Stderr = &errout
	out, err := c.Output()
	if err != nil {
		t.Fatalf("pollux %s: %v\n%s%s", strings.Join(args, " "), err, out, errout.Bytes())
	}
	return string(out)
}

// process is one running process of the program.
type process struct {
	t       testing.TB
	name    string
	log     string // file with all that it printed
	command *exec.Cmd
	exited  chan struct{}
	address string // of the operators' listener
}

// start runs the program in the background. At the end of the test it is
// killed; when the test failed, the end of its log is printed.
func start(t testing.TB, dir, name string, environ []string, args ...string) *process {
	t.Helper()
	return startCommand(t, dir, name, command(t, dir, environ, args...))
}

// startCommand is start for a command that is prepared.
func startCommand(t testing.TB, dir, name string, prepared *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, log: filepath.Join(dir, name+".log"), command: prepared, exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.command.Stdout, p.command.Stderr = out, out
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // ProcessState tells
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, tail(p.log))
		}
	})
	return p
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("send %v to %s: %v", s, p.name, err)
	}
}

// end sends a signal and waits for the process to end; -1 is the exit code of one that was killed.
func (p *process) end(s syscall.Signal) (code int) {
	p.t.Helper()
	if p.alive() {
		p.signal(s)
	}
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		p.t.Errorf("%s still runs %v after %v", p.name, stopLimit, s)
		_ = p.command.Process.Kill()
		<-p.exited
	}
	return p.command.ProcessState.ExitCode()
}

// said waits until the process has printed a line that matches, and returns the first match.
func (p *process) said(pattern *regexp.Regexp, limit time.Duration) (match []string) {
	p.t.Helper()
	until(p.t, limit, fmt.Sprintf("%s says %s", p.name, pattern), func() bool {
		if !p.alive() {
			p.t.Fatalf("%s ended: %v", p.name, p.command.ProcessState)
		}
		text, err := os.ReadFile(p.log)
		if err != nil {
			p.t.Fatal(err)
		}
		match = pattern.FindStringSubmatch(string(text))
		return match != nil
	})
	return match
}

var opsOpen = regexp.MustCompile(`operators' listener is open","address":"([^"]+)"`)

// ready waits until the process serves.
func (p *process) ready() *process {
	p.t.Helper()
	p.address = p.said(opsOpen, startLimit)[1]
	return p
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	// What the database was asked is most of a log, and of no use there.
	text = []byte(strings.Join(slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool {
		return strings.Contains(line, `"msg":"sql"`)
	}), ""))
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return string(text)
}

// pidIn reads a file with a process id; 0 when there is none.
func pidIn(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// running says whether a process is there and no zombie.
func running(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}
