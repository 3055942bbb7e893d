package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// moving is the log of two shards and a device that is polled every 10 s of a time that lies behind.
type moving struct {
	*appending
	shards *journal.Shards
	slot   int64
}

func newMoving(t *testing.T) *moving {
	client := dialRedis(t, polluxtest.Redis(t))
	return &moving{appending: &appending{t: t, client: client}, shards: journal.NewShards(client), slot: 1_700_000_000}
}

// poll appends the device's next poll into the log of a shard, as a node does that believes it is there.
func (m *moving) poll(shard int) (journal.Result, error) {
	m.t.Helper()
	m.slot += 10
	e := portEntry(7, m.slot, time.Unix(m.slot+1, 0), 1)
	e.Shard = shard
	return m.shards.AppendOn(m.t.Context(), "", e)
}

func (m *moving) accepted(shard int) {
	m.t.Helper()
	if result, err := m.poll(shard); err != nil || result != journal.Accepted {
		m.t.Errorf("append to shard %d: %v, %v", shard, result, err)
	}
}

// holds fails the test unless the logs hold so many entries.
func (m *moving) holds(want ...int64) {
	m.t.Helper()
	for shard, want := range want {
		if got := m.client.XLen(m.t.Context(), m.shards.Shard(shard).Stream()).Val(); got != want {
			m.t.Errorf("shard %d has %d entries, want %d", shard, got, want)
		}
	}
}

func (m *moving) hold(from, to int, limit time.Duration) *journal.Hold {
	m.t.Helper()
	hold, home, err := m.shards.Hold(m.t.Context(), 7, from, to, limit)
	if err != nil || hold == nil || home != from {
		m.t.Fatalf("hold: %v, shard %d, %v", hold, home, err)
	}
	return hold
}

func TestADeviceMovesToAnotherShard(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.accepted(0)
	hold := m.hold(0, 1, time.Minute)
	if _, err := m.poll(0); !errors.Is(err, journal.ErrMoving) {
		t.Errorf("append while it is held: %v", err)
	}
	if _, err := m.poll(1); !errors.Is(err, journal.ErrMoving) {
		t.Errorf("append to its new shard while it is held: %v", err)
	}
	if _, _, err := m.shards.Hold(t.Context(), 7, 0, 2, time.Minute); !errors.Is(err, journal.ErrMoving) {
		t.Errorf("a second hold: %v", err)
	}
	m.holds(1, 0)
	if err := m.shards.Commit(t.Context(), hold, time.Hour); err != nil {
		t.Fatal(err)
	}
	m.accepted(0) // by a node that read the inventory before the move
	m.accepted(1)
	m.holds(1, 2)
	if err := m.shards.Commit(t.Context(), hold, time.Hour); !errors.Is(err, journal.ErrMoveOver) {
		t.Errorf("a second commit: %v", err)
	}
	if n := m.client.ZScore(t.Context(), m.shards.Shard(0).Key("tombstones"), "7").Val(); n < float64(time.Now().Add(time.Hour).UnixMilli()) {
		t.Errorf("in its old shard its tombstone ends at %v", n)
	}
	if hold, home, err := m.shards.Hold(t.Context(), 7, 0, 1, time.Minute); err != nil || hold != nil || home != 1 {
		t.Errorf("a hold by who believes that it is in shard 0: %v, shard %d, %v", hold, home, err)
	}
	// And back: its old tombstone is gone then.
	if err := m.shards.Commit(t.Context(), m.hold(1, 0, time.Minute), time.Hour); err != nil {
		t.Fatal(err)
	}
	m.accepted(1)
	m.holds(2, 2)
	if m.client.ZScore(t.Context(), m.shards.Shard(0).Key("tombstones"), "7").Err() == nil {
		t.Error("it is back in shard 0, where its entries are dropped")
	}
}

// TestAMoveThatStops has the one who moves die: the device is polled on after a moment.
func TestAMoveThatStops(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	hold := m.hold(0, 1, 300*time.Millisecond)
	if _, err := m.poll(0); !errors.Is(err, journal.ErrMoving) {
		t.Errorf("append while it is held: %v", err)
	}
	polluxtest.Eventually(t, 10*time.Second, "the hold ends", func() bool {
		result, err := m.poll(0)
		return err == nil && result == journal.Accepted
	})
	if err := m.shards.Commit(t.Context(), hold, time.Hour); !errors.Is(err, journal.ErrMoveOver) {
		t.Errorf("a commit after the hold: %v", err)
	}
	m.holds(1, 0)
	hold = m.hold(0, 1, time.Minute)
	if err := m.shards.Release(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	m.accepted(0)
	m.holds(2, 0)
	if homes, err := m.shards.Homes(t.Context()); err != nil || homes[7] != 0 {
		t.Errorf("a device that was let go again is noted in another shard: %v, %v", homes, err)
	}
	// A Redis that took over lacks the commit: the hold lapses there.
	hold = m.hold(0, 1, 100*time.Millisecond)
	if err := m.shards.Confirm(t.Context(), hold, time.Hour); err != nil {
		t.Fatal(err)
	}
	m.accepted(0)
	m.holds(2, 1)
	if homes, err := m.shards.Homes(t.Context()); err != nil || homes[7] != 1 {
		t.Errorf("homes: %v, %v", homes, err)
	}
}

// TestALetGoDeviceStaysWhereItWasMoved: a node whose copy of the inventory is older than its first move must not bring it back.
func TestALetGoDeviceStaysWhereItWasMoved(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	if err := m.shards.Commit(t.Context(), m.hold(0, 1, time.Minute), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := m.shards.Release(t.Context(), m.hold(1, 2, time.Minute)); err != nil {
		t.Fatal(err)
	}
	m.accepted(0)
	m.holds(0, 1, 0)
	if homes, err := m.shards.Homes(t.Context()); err != nil || homes[7] != 1 {
		t.Errorf("homes: %v, %v", homes, err)
	}
}

// TestAMoveIsConfirmedOnlyWhereItWasLost: what somebody else has done with the device since stands.
func TestAMoveIsConfirmedOnlyWhereItWasLost(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	hold := m.hold(0, 1, time.Minute)
	if err := m.shards.Commit(t.Context(), hold, time.Hour); err != nil {
		t.Fatal(err)
	}
	moves, far := m.shards.Shard(0).Key("moves"), strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	for _, c := range []struct {
		value string
		want  error
	}{
		{"1", nil},                             // it stands
		{"0", nil},                             // it was lost
		{"0:1:2", nil},                         // somebody held it since, and gave up
		{"0:" + far + ":2", journal.ErrMoving}, // somebody moves it now
		{"2", journal.ErrMovedOn},              // somebody moved it
		{"2:1:0", journal.ErrMovedOn},          // and would have moved it back
	} {
		if err := m.client.HSet(t.Context(), moves, "7", c.value).Err(); err != nil {
			t.Fatal(err)
		}
		if err := m.shards.Confirm(t.Context(), hold, time.Hour); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.value, err, c.want)
		}
		want := c.value
		if c.want == nil {
			want = "1"
		}
		if got := m.client.HGet(t.Context(), moves, "7").Val(); got != want {
			t.Errorf("%q became %q", c.value, got)
		}
	}
	if err := m.client.HDel(t.Context(), moves, "7").Err(); err != nil {
		t.Fatal(err)
	}
	if err := m.shards.Confirm(t.Context(), hold, time.Hour); err != nil {
		t.Errorf("a Redis that knows nothing of it: %v", err)
	}
	m.accepted(0)
	m.holds(0, 1)
}

// TestAMoveOutlivesItsTombstone has a target of the old shard come back later than
// the tombstone of a device that left: the replay must not make its files there again.
func TestAMoveOutlivesItsTombstone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	shards := journal.NewShards(w.client)
	w.poll(3, 2)
	hold, _, err := shards.Hold(t.Context(), 2, 0, 1, time.Minute)
	if err != nil || hold == nil {
		t.Fatalf("hold: %v, %v", hold, err)
	}
	if err := shards.Commit(t.Context(), hold, time.Hour); err != nil {
		t.Fatal(err)
	}
	still, _, err := shards.Hold(t.Context(), 3, 0, 1, time.Minute) // it has not left yet
	if err != nil || still == nil {
		t.Fatalf("hold: %v, %v", still, err)
	}
	if err := w.client.ZRem(t.Context(), w.journal.Key("tombstones"), "2").Err(); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	w.drained()
	for name, there := range map[string]bool{"sw1": true, "sw2": false, "sw3": true} {
		if _, err := os.Stat(filepath.Join(w.rrd.Base, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.counter("pollux_rrd_updates_total", "removed"); n != 2 {
		t.Errorf("%.0f lines are dropped, want 2", n)
	}
}

// TestSlotsOfAllShards holds that a device's finished slots do not depend on its shard.
func TestSlotsOfAllShards(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.accepted(0)
	first := m.slot
	if err := m.shards.Commit(t.Context(), m.hold(0, 3, time.Minute), time.Hour); err != nil {
		t.Fatal(err)
	}
	stale := portEntry(7, first, time.Unix(first+1, 0), 1)
	if result, err := m.shards.AppendOn(t.Context(), "", stale); err != nil || result != journal.Stale {
		t.Errorf("a poll of a finished slot after the move: %v, %v", result, err)
	}
	m.accepted(0)
	last, err := m.shards.Last(t.Context(), []int64{7})
	if err != nil || last[0].Slot != m.slot || last[0].State(first) != journal.SlotFinished {
		t.Errorf("the finished slots: %+v, %v", last, err)
	}
	for _, shard := range []int{-1, 64, 1 << 40} {
		e := portEntry(7, m.slot+10, time.Unix(m.slot+11, 0), 1)
		e.Shard = shard
		if _, err := m.shards.AppendOn(t.Context(), "", e); !errors.Is(err, journal.ErrEntry) {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
}

// TestDamagedMoves: whatever stands in the hash, a device is polled on.
func TestDamagedMoves(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	for _, value := range []string{"", ":", "x", "-1", "1:", ":5:1", "0:x:1"} {
		if err := m.client.HSet(t.Context(), "pollux:{journal:0}:moves", "7", value).Err(); err != nil {
			t.Fatal(err)
		}
		if result, err := m.poll(0); err != nil || result != journal.Accepted {
			t.Errorf("%q: %v, %v", value, result, err)
		}
	}
	far := strconv.Itoa(1 << 20)
	if err := m.client.HSet(t.Context(), "pollux:{journal:0}:moves", "7", far).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.poll(0); err == nil {
		t.Errorf("a device of shard %s is recorded", far)
	}
}
