package rrd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

func (w *world) copyConfig() rrd.CopyConfig {
	return rrd.CopyConfig{
		Journal: w.journal, ClusterID: clusterID, Tree: w.a.Base, From: w.a.Address, To: w.b.Address, NewLease: w.lease,
	}
}

// has says whether Redis has a key.
func (w *world) has(key string) bool {
	w.t.Helper()
	n, err := w.client.Exists(context.Background(), key).Result()
	must(w.t, err)
	return n > 0
}

// TestANewTargetIsSeededWhileEntriesFlow copies a tree of which entries flow into
// the source all the time, unpacks it as an operator does, and lets the new
// RRDCached record. At the end rrdtool reads the same in both trees.
func TestANewTargetIsSeededWhileEntriesFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopA := w.record(w.a)
	for range 100 {
		w.poll()
	}
	w.drained(w.a)
	stopA()
	w.durable()
	w.record(w.a)
	outside := filepath.Join(t.TempDir(), "outside.rrd")
	plant(t, filepath.Dir(outside), "outside.rrd", "not of this tree")
	must(t, os.Symlink(outside, filepath.Join(w.a.Base, "sw1", "link.rrd")))
	must(t, os.Symlink(filepath.Dir(outside), filepath.Join(w.a.Base, "linked")))
	plant(t, w.a.Base, "sw1/notes.txt", "of an operator")
	plant(t, w.a.Base, "sw1/odd name.rrd", "a name that is never sent")
	plant(t, w.a.Base, "sw1/empty.rrd", "no RRD file")

	stop := w.pollWhile()
	unpack := exec.Command("tar", "-x", "-C", w.b.Base)
	input, err := unpack.StdinPipe()
	must(t, err)
	must(t, unpack.Start())
	copied, err := rrd.Copy(t.Context(), w.copyConfig(), writer(func(p []byte) (int, error) {
		w.grows(9)
		return input.Write(p)
	}))
	must(t, err)
	must(t, input.Close())
	must(t, unpack.Wait())
	if copied.Files != 15 || copied.Directories != 3 || copied.Skipped != 5 || copied.Bytes == 0 || copied.To != w.identify(w.b) || copied.From != w.identify(w.a) {
		t.Errorf("copied %+v", copied)
	}
	w.record(w.b)
	w.grows(150)
	stop()
	w.drained(w.a, w.b)
	if w.slots < 250 {
		t.Errorf("only %d slots", w.slots)
	}
	if result, found := w.verify(); len(found) > 0 || result.Behind > 0 || result.Files != 15 {
		t.Errorf("%+v: %v", result, found)
	}
	slots := 0
	from, to := w.rrdtool(w.a), w.rrdtool(w.b)
	for i, line := range from {
		if i >= len(to) || line != to[i] {
			t.Errorf("line %d of %d and %d differs: %q", i, len(from), len(to), line)
			break
		}
		if strings.Contains(line, "e+") {
			slots++
		}
	}
	if slots < 15*90 {
		t.Errorf("rrdtool shows only %d known slots", slots)
	}
	want := slices.DeleteFunc(names(t, w.a.Base), func(name string) bool {
		return strings.Contains(name, "link") || strings.Contains(name, "notes") || strings.Contains(name, "odd") || strings.Contains(name, "empty")
	})
	if got := names(t, w.b.Base); !slices.Equal(got, want) {
		t.Errorf("the new tree has %v, want %v", got, want)
	}
}

// grows waits until so many entries more are in the log.
func (w *world) grows(n int64) {
	w.t.Helper()
	length := func() int64 { return w.client.XLen(context.Background(), "pollux:{journal:0}").Val() }
	before := length()
	polluxtest.Eventually(w.t, limit, "entries flow", func() bool { return length() >= before+n })
}

// durable has all on the disk of the first RRDCached, and nothing of it in the log, as it is after an hour. No recorder runs.
func (w *world) durable() {
	w.t.Helper()
	for _, file := range w.files() {
		must(w.t, w.dial(w.a).Flush(w.t.Context(), file))
	}
	id, err := w.journal.End(w.t.Context())
	must(w.t, err)
	must(w.t, w.client.HSet(w.t.Context(), "pollux:{journal:0}:cursor:"+w.identify(w.a), "durable", id).Err())
	must(w.t, w.client.XTrimMinID(w.t.Context(), "pollux:{journal:0}", id).Err())
	if left := w.client.XLen(w.t.Context(), "pollux:{journal:0}").Val(); left > 1 {
		w.t.Fatalf("%d entries are left", left)
	}
}

// rrdtool reads all files on disk, after what the daemon held of them was written: the lines that it prints.
func (w *world) rrdtool(s *polluxtest.Server) (lines []string) {
	w.t.Helper()
	client := w.dial(s)
	var commands strings.Builder
	end := w.begin + int64(w.slots)*step
	for _, file := range w.files() {
		polluxtest.Eventually(w.t, limit, file+" is written", func() bool {
			must(w.t, client.Flush(w.t.Context(), file))
			last, err := client.Last(w.t.Context(), file)
			must(w.t, err)
			info, err := client.Info(w.t.Context(), file)
			must(w.t, err)
			return info.LastUpdate.Unix()/step == last.Unix()/step
		})
		for _, of := range []string{"AVERAGE 580", "AVERAGE 2300", "AVERAGE 4500", "MAX 2300", "MAX 4500"} { // an archive each
			function, length, _ := strings.Cut(of, " ")
			seconds, err := strconv.ParseInt(length, 10, 64)
			must(w.t, err)
			fmt.Fprintf(&commands, "fetch %s %s -s %d -e %d\n", filepath.Join(s.Base, file), function, end-seconds, end)
		}
	}
	rrdtool := exec.Command("rrdtool", "-")
	rrdtool.Stdin = strings.NewReader(commands.String())
	out, err := rrdtool.Output()
	must(w.t, err)
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "ERROR") {
			w.t.Fatalf("rrdtool: %s", line)
		}
		if !strings.HasPrefix(line, "OK ") { // which says how long it took
			lines = append(lines, line)
		}
	}
	return lines
}

// TestNobodyWritesToANewTargetDuringTheCopy looks at the journal in mid-copy.
func TestNobodyWritesToANewTargetDuringTheCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	w.poll()
	w.drained(w.a)
	target := w.identify(w.b)
	var seen []string
	_, err := rrd.Copy(t.Context(), w.copyConfig(), writer(func(p []byte) (int, error) {
		if len(seen) == 0 {
			fields, err := w.client.HGetAll(t.Context(), "pollux:{journal:0}:cursor:"+target).Result()
			must(t, err)
			seen = append(seen, text(fields))
			if err := w.journal.ForgetTarget(t.Context(), target); !errors.Is(err, journal.ErrTargetBusy) {
				t.Errorf("forget it: %v", err)
			}
			if held, err := w.lease(w.journal.RecorderKey(target)).TryAcquire(t.Context()); err != nil || held {
				t.Errorf("somebody else gets the lease: %v, %v", held, err)
			}
		}
		return len(p), nil
	}))
	must(t, err)
	if want := text(map[string]string{"acked": "0-0", "durable": "0-0", "updates": "0", "instance": "0"}); len(seen) != 1 || seen[0] != want {
		t.Errorf("the cursor is %v, want %s", seen, want)
	}
	if w.has(w.journal.RecorderKey(target)) || !w.has("pollux:{journal:0}:cursor:"+target) {
		t.Error("afterwards the lease must be free, and the cursor stand")
	}
}

type writer func(p []byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

// TestACopyThatFailsLeavesNothing: the journal must not keep everything for a target that never comes.
func TestACopyThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	w.poll()
	w.drained(w.a)
	target := w.identify(w.b)
	broken := errors.New("broken pipe")
	written := 0
	_, err := rrd.Copy(t.Context(), w.copyConfig(), writer(func(p []byte) (int, error) {
		if written += len(p); written > 10_000 {
			return 0, broken
		}
		return len(p), nil
	}))
	if !errors.Is(err, broken) {
		t.Errorf("a broken pipe: %v", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	_, err = rrd.Copy(interrupted, w.copyConfig(), writer(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if w.has("pollux:{journal:0}:cursor:"+target) || w.has(w.journal.RecorderKey(target)) {
		t.Error("a cursor or a lease is left")
	}
	if _, err := rrd.Copy(t.Context(), w.copyConfig(), io.Discard); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestACopyEndsWithItsLease: when the lease went away, a node may write to the new target.
func TestACopyEndsWithItsLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	w.poll()
	w.drained(w.a)
	target := w.identify(w.b)
	c := w.copyConfig()
	short := &shortLease{Lease: w.lease(w.journal.RecorderKey(target)), lost: make(chan struct{})}
	c.NewLease = func(string) journal.Lease { return short }
	_, err := rrd.Copy(t.Context(), c, writer(func(p []byte) (int, error) { <-short.lost; return len(p), nil }))
	if err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("it ends with %v", err)
	}
}

// shortLease is lost when it is renewed.
type shortLease struct {
	journal.Lease
	taken bool
	lost  chan struct{}
}

func (l *shortLease) Deadline() time.Time { return time.Now().Add(60 * time.Millisecond) }

func (l *shortLease) TryAcquire(ctx context.Context) (bool, error) {
	if !l.taken {
		l.taken = true
		return l.Lease.TryAcquire(ctx)
	}
	select {
	case <-l.lost:
	default:
		close(l.lost)
	}
	return false, nil
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopA := w.record(w.a)
	w.poll()
	w.drained(w.a)
	backup := filepath.Join(t.TempDir(), "backup")
	for _, file := range w.files() { // on disk before it is saved
		must(t, w.dial(w.a).Flush(t.Context(), file))
	}
	if out, err := exec.Command("cp", "-a", w.a.Base, backup).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 3 {
		w.poll()
	}
	w.drained(w.a)
	foreign, busy, known, inUse := polluxtest.RRDCached(t), polluxtest.RRDCached(t), polluxtest.RRDCached(t), polluxtest.RRDCached(t)
	_, err := journal.Identify(t.Context(), w.dial(foreign), strings.Repeat("ab", 9))
	must(t, err)
	w.record(busy)
	stopKnown := w.record(known)
	w.drained(busy, known)
	stopKnown()
	w.identify(inUse)
	one := &other{t: t, name: "sw1/uptime.rrd", from: w.begin}
	one.create(w.dial(inUse), step, "uptime", "AVERAGE:1x60")
	one.update(1, 1, w.dial(inUse))
	other := polluxtest.RRDCached(t)
	w.identify(other)
	unrecorded := w.copyConfig()
	unrecorded.From, unrecorded.Tree = other.Address, other.Base

	for name, c := range map[string]struct {
		config rrd.CopyConfig
		want   error
	}{
		"the same target":       {with(w, func(c *rrd.CopyConfig) { c.To = w.a.Address }), rrd.ErrSameTarget},
		"another cluster":       {with(w, func(c *rrd.CopyConfig) { c.To = foreign.Address }), journal.ErrOtherCluster},
		"from another cluster":  {with(w, func(c *rrd.CopyConfig) { c.From = foreign.Address }), journal.ErrOtherCluster},
		"a target that records": {with(w, func(c *rrd.CopyConfig) { c.To = busy.Address }), rrd.ErrInUse},
		"a target that did":     {with(w, func(c *rrd.CopyConfig) { c.To = known.Address }), nil},
		"files in memory":       {with(w, func(c *rrd.CopyConfig) { c.To = inUse.Address }), rrd.ErrInUse},
		"no tree":               {with(w, func(c *rrd.CopyConfig) { c.Tree = t.TempDir() }), rrd.ErrNotTree},
		"the tree of another":   {with(w, func(c *rrd.CopyConfig) { c.Tree = other.Base }), rrd.ErrNotTree},
		"a backup of the tree":  {with(w, func(c *rrd.CopyConfig) { c.Tree = backup }), rrd.ErrNotTree},
		"no directory":          {with(w, func(c *rrd.CopyConfig) { c.Tree = "/nowhere" }), os.ErrNotExist},
		"a source without log":  {unrecorded, journal.ErrNoTarget},
		"nothing there":         {with(w, func(c *rrd.CopyConfig) { c.To = "unix:/nowhere/rrd.sock" }), rrdcached.ErrConnection},
	} {
		_, err := rrd.Copy(t.Context(), c.config, io.Discard)
		if c.want == nil && !errors.Is(err, rrd.ErrInUse) && !errors.Is(err, journal.ErrTargetKnown) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	id := w.identify(w.b)
	if w.has("pollux:{journal:0}:cursor:"+id) || w.has(w.journal.RecorderKey(id)) {
		t.Error("a cursor or a lease is left")
	}
	stopA()
	// Restarted, they hold nothing in memory: now the journal tells who they are.
	known.Stop()
	known.Start()
	if _, err := rrd.Copy(t.Context(), with(w, func(c *rrd.CopyConfig) { c.To = known.Address }), io.Discard); !errors.Is(err, journal.ErrTargetKnown) {
		t.Errorf("a target with a cursor: %v", err)
	}
	if held, err := w.lease(w.journal.RecorderKey(id)).TryAcquire(t.Context()); err != nil || !held {
		t.Fatalf("take the lease: %v, %v", held, err)
	}
	if _, err := rrd.Copy(t.Context(), w.copyConfig(), io.Discard); !errors.Is(err, journal.ErrTargetBusy) {
		t.Errorf("a target whose lease is held: %v", err)
	}
}

// TestACopyNamesADamagedFile: passed over as no RRD file, its history would be missing and nobody would know.
func TestACopyNamesADamagedFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.record(w.a)
	w.poll()
	w.drained(w.a)
	stop()
	w.damage(w.a, "sw2/port-id201.rrd", func(data []byte) []byte { return data[:len(data)-1000] })
	copied, err := rrd.Copy(t.Context(), w.copyConfig(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "sw2/port-id201.rrd") || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%+v, %v", copied, err)
	}
	must(t, os.Remove(filepath.Join(w.a.Base, "sw2/port-id201.rrd")))
	if copied, err := rrd.Copy(t.Context(), w.copyConfig(), io.Discard); err != nil || copied.Files != 14 {
		t.Errorf("without it: %+v, %v", copied, err)
	}
}

func with(w *world, change func(*rrd.CopyConfig)) rrd.CopyConfig {
	c := w.copyConfig()
	change(&c)
	return c
}

// TestTheStreamIsATree reads the headers of a copy.
func TestTheStreamIsATree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	w.poll()
	w.drained(w.a)
	var stream bytes.Buffer
	_, err := rrd.Copy(t.Context(), w.copyConfig(), &stream)
	must(t, err)
	var got []string
	for reader := tar.NewReader(&stream); ; {
		head, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, head.Name)
		data, err := io.ReadAll(reader)
		must(t, err)
		onDisk, err := os.ReadFile(filepath.Join(w.a.Base, head.Name))
		if head.Typeflag == tar.TypeReg && (err != nil || !bytes.Equal(data, onDisk)) {
			t.Errorf("%s is not as on disk (%v)", head.Name, err)
		}
	}
	slices.Sort(got)
	want := slices.DeleteFunc(names(t, w.a.Base), func(name string) bool { return name == "_pollux.rrd" })
	if !slices.Equal(got, want) {
		t.Errorf("the stream has %v, want %v", got, want)
	}
}
