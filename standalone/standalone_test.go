package standalone_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/standalone"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pxs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, dir string) (c *standalone.Children, stop func()) {
	t.Helper()
	c, err := standalone.New(standalone.Config{DataDir: dir, Redis: true, RRDCached: true}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return c, stop
}

func pid(t *testing.T, dir, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "run", name+".child.pid"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0 // it is being written
	}
	return n
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

func TestChildrenRestartAndEndWithTheParent(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	_, stop := start(t, dir)
	for _, name := range []string{"redis-server", "rrdcached"} {
		before := pid(t, dir, name)
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		polluxtest.Eventually(t, 20*time.Second, name+" runs again", func() bool {
			now := pid(t, dir, name)
			return now != before && alive(now)
		})
	}
	redis, rrdcached := pid(t, dir, "redis-server"), pid(t, dir, "rrdcached")
	stop()
	if alive(redis) || alive(rrdcached) {
		t.Error("a child outlives Run")
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	start(t, dir)
	second, err := standalone.New(standalone.Config{DataDir: dir, Redis: true, RRDCached: true}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); !errors.Is(err, standalone.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestLongPathFallsBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), strings.Repeat("x", 100))
	c, _ := start(t, dir)
	if len(c.Place().RedisSocket) > 100 {
		t.Errorf("the socket is %s", c.Place().RedisSocket)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(c.Place().RedisSocket)) })
}

// TestKilledParent runs this test binary again as the parent, kills it, and starts anew on what it left.
func TestKilledParent(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("STANDALONE_TEST_PARENT"); dir != "" {
		c, err := standalone.New(standalone.Config{DataDir: dir, Redis: true, RRDCached: true}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err != nil { // until it is killed
			t.Fatal(err)
		}
		return
	}
	dir := tempDir(t)
	parent := exec.Command(os.Args[0], "-test.run=^TestKilledParent$")
	parent.Env = append(os.Environ(), "STANDALONE_TEST_PARENT="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var redis, rrdcached int
	polluxtest.Eventually(t, 20*time.Second, "both children run", func() bool {
		redis, rrdcached = pid(t, dir, "redis-server"), pid(t, dir, "rrdcached")
		_, err := os.Stat(filepath.Join(dir, "run", "rrdcached.sock"))
		return alive(redis) && alive(rrdcached) && err == nil
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	polluxtest.Eventually(t, 20*time.Second, "the children ended", func() bool { return !alive(redis) && !alive(rrdcached) })
	start(t, dir)
}

func TestMissingProgramSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := standalone.New(standalone.Config{DataDir: t.TempDir(), Redis: true}, quiet())
	if !errors.Is(err, standalone.ErrMissing) || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("got %v", err)
	}
}
