package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pollux/polluxtest"
	"pollux/simulator"
)

// pipeTo is the writing end of a pipe that nobody reads from: its reader is gone, or hangs and the pipe is full.
func pipeTo(t *testing.T, gone bool) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	if gone {
		_ = r.Close()
		return w
	}
	if _, err := w.Write(make([]byte, 64<<10)); err != nil { // what a pipe holds, see pipe(7)
		t.Fatal(err)
	}
	return w
}

// ended is what a process with such an output said.
func (s *site) ended(p *running) result {
	s.t.Helper()
	return s.result(p.command.Args[2:], p.wait(cliLimit), p.out.String(), p.errout.String())
}

// TestRRDCopyWhoseReaderEndsKeepsNothing takes away who unpacks the stream, and
// then the terminal of a copy whose reader hangs. Each leaves neither cursor nor lease, so that the next one works at once.
func TestRRDCopyWhoseReaderEndsKeepsNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	c := polluxtest.RRDCached(t)
	copying := []string{"rrd", "copy", "--tree", p.a.Base, "--from", p.a.Address, "--to", c.Address}
	targets := func() string { return p.redis.Must("SCARD", "pollux:{journal:0}:targets") }

	p.ended(p.startTo(pipeTo(t, true), copying...)).fails(exitFailure, "whoever reads the stream has ended", "nothing is kept for "+c.Address)
	if n := targets(); n != "2" {
		t.Errorf("the journal keeps measurements for %s targets", n)
	}
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		stuck := p.startTo(pipeTo(t, false), copying...)
		polluxtest.Eventually(t, roleLimit, "the copy is under way", func() bool { return targets() == "3" })
		if err := stuck.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		r := p.ended(stuck)
		r.fails(exitFailure, "the copy is not complete: interrupted; nothing is kept for "+c.Address)
		if n := targets(); n != "2" || strings.Contains(r.errout, "canceled") {
			t.Errorf("after %v the journal keeps measurements for %s targets, and the copy says %q", signal, n, r.errout)
		}
	}
	r := p.spawn(copying...)
	if r.code != exitOK {
		t.Fatalf("exit code %d: %s", r.code, r.errout)
	}
	unpack := exec.Command("tar", "-x", "-C", c.Base)
	unpack.Stdin = strings.NewReader(r.out)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(c.Base, p.files[0])); err != nil {
		t.Error(err)
	}
}

// TestRRDRebalanceGoesOnWithoutAReader moves all devices although nobody reads what it says, and leaves no lease.
func TestRRDRebalanceGoesOnWithoutAReader(t *testing.T) {
	t.Parallel()
	redis, a, b := polluxtest.Redis(t), polluxtest.RRDCachedTCP(t), polluxtest.RRDCachedTCP(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+a.Address)
	port := agents(t, simulator.Config{})
	for i := range 8 {
		s.ok("device", "add", fmt.Sprintf("sw%d", i), "-f", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity)
	}
	s.spawn("config", "set", "rrd.shards", "1="+b.Address).works()
	consumer := s.role("consumer")
	polluxtest.Eventually(t, roleLimit, "both shards have a recorder", func() bool {
		return redis.Must("HLEN", "pollux:{journal:0}:owners") == "2"
	})
	planned := len(decode[list](s.spawn("rrd", "rebalance", "--dry-run", "--json")).Items)
	if planned < 2 {
		t.Fatalf("%d of 8 devices belong into the second shard", planned)
	}
	rebalance := s.startTo(pipeTo(t, true), "rrd", "rebalance", "--yes", "--tree", a.Address+"="+a.Base, "--tree", b.Address+"="+b.Base)
	if r := s.ended(rebalance); r.code != exitOK {
		t.Errorf("exit code %d: %s", r.code, r.errout)
	}
	if left := redis.Must("EXISTS", "pollux:{journal:0}:mover"); left != "0" {
		t.Error("the lease of who moves devices is kept")
	}
	if left := decode[list](s.spawn("rrd", "rebalance", "--dry-run", "--json")).Items; len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	consumer.end()
}

// TestAListWhoseReaderEndsIsQuiet wants what other programs do there.
func TestAListWhoseReaderEndsIsQuiet(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	for _, args := range [][]string{{"config", "list"}, {"config", "list", "--json"}} {
		if r := s.ended(s.startTo(pipeTo(t, true), args...)); r.code != exitReaderGone || r.errout != "" {
			t.Errorf("%s: exit code %d, %q", r.line, r.code, r.errout)
		}
	}
}
