package rrdcached

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests.
const patience = 10 * time.Second

// daemon is a real rrdcached of a test, on a unix socket or a TCP port.
type daemon struct {
	t       testing.TB
	dir     string
	address string
	flags   []string
	process *exec.Cmd
	log     safeBuffer
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startDaemon starts rrdcached on a unix socket; flags come before -l.
func startDaemon(t testing.TB, flags ...string) *daemon {
	t.Helper()
	dir := shortDir(t)
	return launch(t, dir, "unix:"+filepath.Join(dir, "s"), flags)
}

// startTCPDaemon starts rrdcached on a free port of 127.0.0.1.
func startTCPDaemon(t testing.TB, flags ...string) *daemon {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	return launch(t, shortDir(t), address, flags)
}

func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func launch(t testing.TB, dir, address string, flags []string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: dir, address: address, flags: flags}
	if err := os.MkdirAll(d.base(), 0o755); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(d.kill)
	return d
}

func (d *daemon) base() string { return filepath.Join(d.dir, "base") }

func (d *daemon) start() {
	d.t.Helper()
	args := append([]string{"-g"}, d.flags...)
	args = append(args, "-l", d.address, "-b", d.base(), "-B", "-R", "-p", filepath.Join(d.dir, "pid"),
		"-w", "900", "-z", "300", "-f", "1800", "-t", "1")
	d.process = exec.Command("rrdcached", args...)
	d.process.Stderr = &d.log
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, "rrdcached answers", func() bool {
		client, err := Dial(context.Background(), d.address)
		if err != nil {
			return false
		}
		defer client.Close()
		return client.Ping(context.Background()) == nil
	})
}

func (d *daemon) signal(signal syscall.Signal) {
	d.t.Helper()
	if err := d.process.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
}

// stop freezes the daemon and waits until each of its threads has stopped.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGSTOP)
	tasks := fmt.Sprintf("/proc/%d/task", d.process.Process.Pid)
	eventually(d.t, "rrdcached is stopped", func() bool {
		threads, err := os.ReadDir(tasks)
		must(d.t, err)
		for _, thread := range threads {
			text, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "stat"))
			must(d.t, err)
			if _, state, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
}

// kill ends the daemon without giving it time to write, as a crash does.
func (d *daemon) kill() {
	_ = d.process.Process.Kill()
	_ = d.process.Wait()
	for _, name := range []string{"pid", "s"} {
		_ = os.Remove(filepath.Join(d.dir, name))
	}
}

func (d *daemon) dial() *Client {
	d.t.Helper()
	client, err := Dial(context.Background(), d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { client.Close() })
	return client
}

// eventually polls a condition until it holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// epoch is a time on the boundary of every step that the tests use.
var epoch = time.Unix(1_795_338_000, 0)

func at(ms int64) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func derive(names ...string) []Source {
	var sources []Source
	for _, name := range names {
		sources = append(sources, Source{Name: name, Type: "DERIVE", Heartbeat: 600, Min: 0, Max: NoLimit})
	}
	return sources
}

// portSchema has 15 sources, as many as the file of a port.
func portSchema(step int) Schema {
	var names []string
	for i := range 15 {
		names = append(names, fmt.Sprintf("SOURCE_OF_PORT_%02d", i))
	}
	return Schema{Step: step, Sources: derive(names...), Archives: []Archive{{"AVERAGE", 0.5, 1, 120}, {"MAX", 0.5, 6, 20}}}
}

func counters(n int, value uint64) []Value {
	values := make([]Value, n)
	for i := range values {
		values[i] = Counter(value)
	}
	return values
}

// anything are n sources that take every value.
func anything(n int) []Source {
	sources := make([]Source, n)
	for i := range sources {
		sources[i] = Source{Name: fmt.Sprint("s", i), Type: "GAUGE", Heartbeat: 600, Min: NoLimit, Max: NoLimit}
	}
	return sources
}

// update is one of a file that is said to take all of the values, whatever it has.
func update(file string, when time.Time, values []Value) Update {
	return Update{file, when, values, anything(len(values))}
}
