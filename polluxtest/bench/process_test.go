//go:build gosnmp_nodebug

// Package bench measures what polling costs: the SNMP path alone, and a whole
// node of real processes. It holds benchmarks only and no program.
//
// It is built with the tag gosnmp_nodebug only, as the binary is: without it
// gosnmp formats its debug texts, and the figures would be of another program.
package bench

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pollux/polluxtest"
)

// binaryVariable names the binary whose processes are measured; without it one is built.
const binaryVariable = "BENCH_BINARY"

// answerLimit is how long a process may take to answer at first.
const answerLimit = time.Minute

// binary is the path of the program.
func binary(b *testing.B) string {
	b.Helper()
	if given := os.Getenv(binaryVariable); given != "" {
		return given
	}
	path := filepath.Join(b.TempDir(), "pollux")
	build := exec.Command("go", "build", "-trimpath", "-tags", "gosnmp_nodebug", "-ldflags", "-s -w", "-o", path, "pollux/cmd/pollux")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the program: %v: %s", err, out)
	}
	return path
}

// process is a running process of the program.
type process struct {
	pid int
	out *bufio.Reader // its standard output
	log string        // file of its error output
}

// start runs the program until the benchmark ends. It gets environ and nothing of this process's own variables.
func start(b *testing.B, path string, environ []string, args ...string) *process {
	b.Helper()
	p := &process{log: filepath.Join(b.TempDir(), args[0]+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(path, args...)
	command.Env, command.Stderr, command.Dir = environ, log, filepath.Dir(p.log)
	// It dies with this process, however that ends.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	p.pid, p.out = command.Process.Pid, bufio.NewReader(out)
	b.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		killing := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		defer killing.Stop()
		_, _ = io.Copy(io.Discard, p.out)
		_ = command.Wait() // how it ends says nothing about the figures
	})
	return p
}

// fail ends the benchmark with the end of what the process logged.
func (p *process) fail(b *testing.B, what string) {
	b.Helper()
	text, _ := os.ReadFile(p.log)
	b.Fatalf("%s: %s", what, text[max(len(text)-2000, 0):])
}

// simulate starts simulated devices on a range of addresses, and waits until they answer.
func simulate(b *testing.B, path, listen string, args ...string) *process {
	b.Helper()
	p := start(b, path, nil, append([]string{"simulate", "--listen", listen}, args...)...)
	line, err := p.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "answering SNMP") {
		p.fail(b, "the simulator does not answer")
	}
	return p
}

// cpuOf is the CPU time that a process has used until now, user and system, in
// all of its threads. It reads the process's CPU clock (clock_getcpuclockid(3)),
// which counts nanoseconds where /proc/PID/stat has hundredths of a second.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	const schedulerClock = 2 // CPUCLOCK_SCHED of the kernel
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		b.Fatalf("read the CPU clock of process %d, which may have ended: %v", pid, err)
	}
	return time.Duration(t.Nano())
}

// processWith finds the one process whose command line holds the word.
func processWith(b *testing.B, program, word string) int {
	b.Helper()
	pid := 0
	find := func() bool {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it ended
			}
			words := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
			if filepath.Base(words[0]) == program && contains(words, word) {
				pid = number(filepath.Base(filepath.Dir(file)))
			}
		}
		return pid != 0
	}
	polluxtest.Eventually(b, answerLimit, program+" runs", find)
	return pid
}
