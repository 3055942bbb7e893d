package rrd_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

// commits stands between a mover and Redis where a device is moved for good: what
// answered returns is what the mover gets after Redis has carried it out.
type commits struct {
	answered func(ctx context.Context) error
}

func (c *commits) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commits) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *commits) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if len(args) != 10 || args[2] != 3 { // a script of three keys and four arguments
			return next(ctx, cmd)
		}
		if err := next(context.WithoutCancel(ctx), cmd); err != nil {
			return err
		}
		return c.answered(ctx)
	}
}

// TestACommitIsNotLeftHalf interrupts a move while Redis carries out its commit, and loses the answer of another one.
func TestACommitIsNotLeftHalf(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(2)
	for range 3 {
		w.poll()
	}
	w.recorded()
	hook := &commits{}
	w.client.AddHook(hook)
	mover, err := w.mover()
	if err != nil {
		t.Fatal(err)
	}
	defer mover.Close()
	interrupted, interrupt := context.WithCancel(t.Context())
	asked := 0
	hook.answered = func(ctx context.Context) error { interrupt(); asked++; return ctx.Err() }
	if moved, err := mover.Move(interrupted, rrd.Move{Device: w.devices[1], From: 0, To: 1}); err != nil || moved.Files != shardPorts {
		t.Errorf("interrupted: %+v, %v", moved, err)
	}
	hook.answered = func(context.Context) error { asked++; return errors.New("the connection broke") }
	if moved, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[2], From: 0, To: 1}); err != nil || moved.Files != shardPorts {
		t.Errorf("without an answer: %+v, %v", moved, err)
	}
	if asked != 2 {
		t.Fatalf("%d commits were seen", asked)
	}
	w.poll()
	if left := mover.Settle(t.Context()); len(left) > 0 {
		t.Errorf("files that are left: %v", left)
	}
	w.check()
}

// proxied are the places of all RRDCached, one of them behind a proxy.
func (w *shardWorld) proxied(shard, n int, request func(line []byte) []byte) rrd.MoverConfig {
	c := w.moverConfig()
	c.Places[shard][n].Address = polluxtest.NewProxy(w.t, w.rrds[shard][n].Address, polluxtest.Relay{Request: request}).Address
	return c
}

func (w *shardWorld) moverOf(c rrd.MoverConfig) *rrd.Mover {
	w.t.Helper()
	mover, err := rrd.NewMover(w.t.Context(), c, rrd.MoverDeps{Shards: w.shards, Note: w.note})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(mover.Close)
	return mover
}

func portFile(device, port int64) string {
	return measurement.Path("sw1", measurement.KindPort, device*100+port, 0)
}

// early answers a FLUSH as RRDCached does for a file that it is just writing: at once.
func early(file string) []byte { return []byte("0 Nothing to flush: " + file + ".\n") }

func flushes(line []byte, file string) bool {
	return bytes.Equal(bytes.TrimSpace(line), []byte("FLUSH "+file))
}

// TestTheSecondTreeMayBeBusy: what is on its way to a file of the other tree is no difference.
func TestTheSecondTreeMayBeBusy(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(1)
	for range 3 {
		w.poll()
	}
	w.recorded()
	var busy atomic.Int32
	mover := w.moverOf(w.proxied(0, 1, func(line []byte) []byte {
		if flushes(line, portFile(1, 1)) && busy.Add(-1) >= 0 {
			return early(portFile(1, 1))
		}
		return nil
	}))
	if _, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[1], From: 0, To: 1}); err != nil {
		t.Fatal(err)
	}
	busy.Store(3)
	if left := mover.Settle(t.Context()); len(left) > 0 {
		t.Errorf("files that are left: %v", left)
	}
	if busy.Load() >= 3 {
		t.Error("the second tree was not asked to write")
	}
	w.poll()
	w.check()
}

// TestTheLastOfTwoSamplesInAStepIsCopied: the second one is being written when the file is
// copied at first, and RRDCached's LAST is the same before and after.
func TestTheLastOfTwoSamplesInAStepIsCopied(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(1)
	for range 3 {
		w.poll()
	}
	w.recorded()
	w.flush(w.rrds[0][0])
	const after = 3 // seconds
	if result, err := w.shards.AppendAgain(t.Context(), w.entry(w.devices[1], w.slot, after)); err != nil || result != journal.Accepted {
		t.Fatalf("append: %v, %v", result, err)
	}
	w.recorded()
	var written atomic.Bool
	direct, err := rrdcached.Dial(t.Context(), w.rrds[0][0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	mover := w.moverOf(w.proxied(0, 0, func(line []byte) []byte {
		switch {
		case flushes(line, portFile(1, 0)) && !written.Load():
			return early(portFile(1, 0))
		case flushes(line, portFile(1, shardPorts-1)) && !written.Swap(true): // the first file was copied
			if err := direct.Flush(t.Context(), portFile(1, 0)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}))
	if _, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[1], From: 0, To: 1}); err != nil {
		t.Fatal(err)
	}
	if !written.Load() {
		t.Error("the file was not copied while it was written")
	}
	for _, daemon := range w.rrds[1] {
		client, err := rrdcached.Dial(t.Context(), daemon.Address)
		if err != nil {
			t.Fatal(err)
		}
		info, err := client.Info(t.Context(), portFile(1, 0))
		_ = client.Close()
		if want := time.Unix(w.slot+after, 0); err != nil || !info.LastUpdate.Equal(want) {
			t.Errorf("the copy ends at %v, want %v: %v", info.LastUpdate.UTC(), want.UTC(), err)
		}
	}
	w.poll()
	if left := mover.Settle(t.Context()); len(left) > 0 {
		t.Errorf("files that are left: %v", left)
	}
	w.check()
}
