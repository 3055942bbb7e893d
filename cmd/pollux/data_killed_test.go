//go:build faults

package main_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/rrdcached"
)

// TestDataRRDCachedKilled kills RRDCached every minute for ten minutes, and once
// more while no recorder lives, who could see it.
func TestDataRRDCachedKilled(t *testing.T) {
	t.Parallel()
	const every = time.Minute
	// It holds what it acknowledged for up to 110 s: several samples of each file.
	rrd := polluxtest.RRDCached(t, "-w", "40", "-z", "10", "-f", "60", "-t", "1")
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{targets: []*polluxtest.Server{rrd}, window: 110 * time.Second})
	began, kills := time.Now(), 0
	var worst time.Duration
	for time.Since(began) < lasting(10*time.Minute) {
		pass(t, "the next kill", began.Add(time.Duration(kills+1)*every))
		worst = max(worst, w.restart(rrd))
		kills++
	}
	pass(t, "RRDCached holds several samples", time.Now().Add(time.Minute))
	held := w.unwritten(rrd)

	down := time.Now()
	for _, name := range []string{"c1", "c2"} {
		w.kill(w.nodes[name])
	}
	seen := w.instance()
	w.killTarget(rrd)
	rrd.Start()
	for _, name := range []string{"c1", "c2"} { // under the names that the dead ones held
		w.start("consumer", name)
	}
	up := time.Now()
	until(t, time.Minute, "a recorder sees the restart", func() bool { return w.instance() > seen })
	unseen := w.drained(up, drainedIn)
	w.healed("all devices are polled in a whole slot", up, 2)
	v := w.judge("%d kills of RRDCached in %v, drained after at most %v; killed once more with about %d updates in its memory while no recorder lived, drained %v after they were back",
		kills, time.Since(began).Round(time.Minute), worst, held, unseen)
	w.outside(v, span{began, began}, span{down, up.Add(dataInterval * time.Second)}) // the kills with living recorders cost no slot
	if held == 0 {
		t.Error("RRDCached had written all: the last kill proves nothing")
	}
}

// restart kills the first RRDCached and starts it again, and returns after how
// long it had been sent all that the log holds; that begins when the recorder has seen the new instance.
func (w *dataWorld) restart(server *polluxtest.Server) time.Duration {
	w.t.Helper()
	w.killTarget(server)
	return w.revive(server)
}

// revive starts a killed RRDCached, and returns what restart does.
func (w *dataWorld) revive(server *polluxtest.Server) time.Duration {
	w.t.Helper()
	before := w.instance()
	server.Start()
	back := time.Now()
	until(w.t, time.Minute, "the recorder sees another instance", func() bool { return w.instance() > before })
	return w.drained(back, drainedIn)
}

// killTarget kills an RRDCached with SIGKILL and keeps what it left in its files.
func (w *dataWorld) killTarget(server *polluxtest.Server) {
	w.t.Helper()
	server.Kill()
	w.kills = append(w.kills, kill{server.Base, leftIn(w.t, server.Base)})
}

// leftIn is what stands in the files of a tree whose daemon was killed.
func leftIn(t testing.TB, base string) map[string]leftBehind {
	t.Helper()
	found := map[string]leftBehind{}
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".rrd" {
			return err
		}
		b, err := os.ReadFile(path)
		if left, ok := readLeftBehind(b); ok {
			found[path] = left
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// instance counts the instances of the only RRDCached that recorders have seen.
func (w *dataWorld) instance() int {
	w.t.Helper()
	targets, err := w.client.SMembers(w.t.Context(), journalStream+":targets").Result()
	must(w.t, err)
	n, err := w.client.HGet(w.t.Context(), journalStream+":cursor:"+targets[0], "instance").Int()
	must(w.t, err)
	return n
}

// unwritten is how many updates an RRDCached was sent and has not written since it began.
func (w *dataWorld) unwritten(server *polluxtest.Server) uint64 {
	w.t.Helper()
	s := w.stats(server)
	return s.UpdatesReceived - min(s.UpdatesReceived, s.DataSetsWritten)
}

// stats are the counters of an RRDCached.
func (w *dataWorld) stats(server *polluxtest.Server) (s rrdcached.Stats) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), startLimit)
	defer cancel()
	client, err := rrdcached.Dial(ctx, server.Address)
	must(w.t, err)
	defer client.Close()
	s, err = client.Stats(ctx)
	must(w.t, err)
	return s
}

// TestDataSlowWriteOut slows RRDCached's write-out until its queue grows, for
// longer than the window after which updates would count as written, and kills it then.
func TestDataSlowWriteOut(t *testing.T) {
	t.Parallel()
	const (
		rounds  = 2
		pause   = 400 * time.Millisecond // a file: a fraction of what comes in
		backlog = 100                    // files
		slow    = 3 * time.Minute        // the window and its grace are 80 s
	)
	rrd := polluxtest.SlowRRDCached(t, pause, shortWindow...)
	w := newDataWorld(t, polluxtest.PostgreSQL, dataSetup{targets: []*polluxtest.Server{rrd}})
	faulted, brake := time.Now(), filepath.Join(rrd.Dir, "slow")
	var queued int64
	var unwritten, worst time.Duration
	for range rounds {
		must(t, os.WriteFile(brake, nil, 0o600))
		began := time.Now()
		until(t, 2*time.Minute, "files wait to be written", func() bool { return w.stats(rrd).QueueLength > backlog })
		pass(t, "the write-out was slow for long enough", began.Add(slow))
		status, err := w.status()
		must(t, err)
		queued, unwritten = int64(w.stats(rrd).QueueLength), status.Targets[0].Unwritten
		if queued <= backlog {
			t.Errorf("only %d files wait to be written: the fault does not bite", queued)
		}
		if unwritten < slow-30*time.Second {
			t.Errorf("after %v with files waiting, all but the last %v counts as written", slow, unwritten)
		}
		w.killTarget(rrd)
		must(t, os.Remove(brake))
		worst = max(worst, w.revive(rrd))
		until(t, 4*time.Minute, "the log is trimmed again", func() bool {
			status, err := w.status()
			return err == nil && status.Targets[0].Unwritten < shortWindowSum+time.Minute+time.Minute
		})
	}
	v := w.judge("%d kills of RRDCached with %d files waiting to be written, nothing of the last %v known to be on disk; drained after %v", rounds, queued, unwritten.Round(time.Second), worst)
	v.wholly(t, faulted)
}
