package rrd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

const lockedFile = "HOLD_THE_LOCK_OF"

// TestHoldALock is no test: a process of the test binary that a test starts
// with the variable set locks a file as RRDtool does, until its input ends.
func TestHoldALock(t *testing.T) {
	name := os.Getenv(lockedFile)
	if name == "" {
		return
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test
}

// TestAFileIsReadBetweenTwoWrites: while somebody has it locked it is not read.
func TestAFileIsReadBetweenTwoWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a.rrd")
	if err := os.WriteFile(name, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree := &tree{root: root}
	defer tree.close()
	if data, _, err := tree.read(t.Context(), "a.rrd"); err != nil || string(data) != "before" {
		t.Errorf("at first: %q, %v", data, err)
	}
	holder := exec.Command(os.Args[0], "-test.run=^TestHoldALock$")
	holder.Env = append(os.Environ(), lockedFile+"="+name)
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if data, _, err := tree.read(t.Context(), "a.rrd"); !errors.Is(err, errBusy) {
		t.Errorf("locked: %q, %v", data, err)
	}
	read := make(chan string)
	go func() {
		data, _, err := tree.read(t.Context(), "a.rrd")
		read <- fmt.Sprint(string(data), err)
	}()
	if err := os.WriteFile(name, []byte("after!"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if got := <-read; got != "after!<nil>" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestHeaders reads what RRDtool wrote.
func TestHeaders(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.rrd")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("rrdtool", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run("create", name, "-b", "1795340000", "-s", "10", "DS:a123456789012345678:GAUGE:60:0:100", "DS:b:DERIVE:60:0:U",
		"RRA:AVERAGE:0.5:1:10", "RRA:MAX:0.5:6:10", "RRA:LAST:0.5:12:10")
	run("update", name, "1795340017.25:1:2")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHeader(data)
	if err != nil || !slices.Equal(h.sources, []string{"a123456789012345678", "b"}) || !h.lastUpdate.Equal(time.Unix(1795340017, 0)) {
		t.Errorf("%+v, %v", h, err)
	}
	for n := range data[:800] {
		damaged := slices.Clone(data)
		damaged[n] ^= 0xff
		_, _ = parseHeader(damaged) // must not panic
		if h, err := parseHeader(data[:n]); err == nil && n < 128+2*120+3*120+16 {
			t.Errorf("of %d bytes: %+v", n, h)
		}
	}
}

// TestNothingElseIsOpened: a pipe would be waited for, and a link leads away.
func TestNothingElseIsOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "pipe"), filepath.Join(dir, "inside")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree := &tree{root: root}
	defer tree.close()
	for _, name := range []string{"pipe", "link", "inside", ".", "../x"} {
		if _, err := tree.open(name); err == nil {
			t.Errorf("%s is opened", name)
		}
	}
}
