package journal_test

import (
	"errors"
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
	if homes, err := m.shards.Homes(t.Context()); err != nil || len(homes) != 0 {
		t.Errorf("a device that was let go again is noted: %v, %v", homes, err)
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
