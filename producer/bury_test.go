package producer

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
)

// morgue lists removed devices, two at a time.
type morgue struct {
	mu      sync.Mutex
	removed []device.Removed
}

func (m *morgue) Removed(_ context.Context, after time.Time, afterID int64) (list []device.Removed, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.removed {
		if d.At.After(after) && d.ID > afterID && len(list) < 2 {
			list = append(list, d)
		}
	}
	return list, nil
}

func (m *morgue) add(id int64, ago time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removed = append(m.removed, device.Removed{ID: id, At: time.Now().Add(-ago)})
}

const tombstonesKey = "pollux:{journal:0}:tombstones"

// buries gives the rig removed devices and a journal.
func (r *rig) buries() *morgue {
	m, log := &morgue{}, journal.New(r.client, 0)
	r.deps.Removals, r.deps.Tombs, r.deps.Moves = m, func(int) Tombs { return log }, journal.NewShards(r.client)
	return m
}

func (r *rig) buried(t *testing.T, id int64) bool {
	t.Helper()
	_, err := r.client.ZScore(t.Context(), tombstonesKey, strconv.FormatInt(id, 10)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return err == nil
}

// A removed device has its tombstone for as long as the log may hold an entry of it.
func TestTombstonesOfRemovedDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "a")
	m := r.buries()
	lead := r.leads(t)
	m.add(1, 0)
	m.add(2, 24*time.Hour)
	if err := lead.tombstones(t.Context(), farBack, map[int64]bool{}); err != nil {
		t.Fatal(err)
	}
	if !r.buried(t, 1) || r.buried(t, 2) {
		t.Errorf("the log is empty: %v, %v", r.buried(t, 1), r.buried(t, 2))
	}
	// A target that is away for two days keeps the log for as long.
	id := strconv.FormatInt(time.Now().Add(-48*time.Hour).UnixMilli(), 10) + "-0"
	if err := r.client.XAdd(t.Context(), &redis.XAddArgs{Stream: "pollux:{journal:0}", ID: id, Values: []any{"e", "x"}}).Err(); err != nil {
		t.Fatal(err)
	}
	marked := map[int64]bool{}
	if err := lead.tombstones(t.Context(), farBack, marked); err != nil || !r.buried(t, 2) {
		t.Errorf("an old entry is in the log: %v, %v", r.buried(t, 2), err)
	}
	// Redis forgets. What is marked is not marked again before the renewal.
	if err := r.client.Del(t.Context(), tombstonesKey).Err(); err != nil {
		t.Fatal(err)
	}
	m.add(3, time.Second)
	if err := lead.tombstones(t.Context(), lately, marked); err != nil || r.buried(t, 1) || !r.buried(t, 3) {
		t.Errorf("between renewals: %v, %v, %v", r.buried(t, 1), r.buried(t, 3), err)
	}
	clear(marked)
	if err := lead.tombstones(t.Context(), farBack, marked); err != nil || !r.buried(t, 1) || !r.buried(t, 2) {
		t.Errorf("after the renewal: %v, %v, %v", r.buried(t, 1), r.buried(t, 2), err)
	}
	score, err := r.client.ZScore(t.Context(), tombstonesKey, "1").Result()
	if left := time.Until(time.UnixMilli(int64(score))); err != nil || left < 100*time.Minute || left > 103*time.Minute { // 2 x (3000 s + 60 s)
		t.Errorf("a tombstone lasts for %v, %v", left, err)
	}
}

// Where a removed device was moved to is forgotten when no log is as old as its removal: its id may be used again after the database was restored.
func TestMovesOfRemovedDevicesAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "a")
	m := r.buries()
	lead := r.leads(t)
	const moves = "pollux:{journal:0}:moves"
	if err := r.client.HSet(t.Context(), moves, "1", "2", "2", "2", "3", "2").Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.client.HSet(t.Context(), "pollux:{journal:0}:owners", "aaaaaaaaaaaaaaaaaa", "2").Err(); err != nil {
		t.Fatal(err)
	}
	m.add(1, 0)
	m.add(2, 24*time.Hour)
	left := func(want string) {
		t.Helper()
		if err := lead.tombstones(t.Context(), farBack, map[int64]bool{}); err != nil {
			t.Fatal(err)
		}
		ids := r.client.HKeys(t.Context(), moves).Val()
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("noted are the moves of %s, want %s", got, want)
		}
	}
	id := strconv.FormatInt(time.Now().Add(-48*time.Hour).UnixMilli(), 10) + "-0"
	if err := r.client.XAdd(t.Context(), &redis.XAddArgs{Stream: "pollux:{journal:2}", ID: id, Values: []any{"e", "x"}}).Err(); err != nil {
		t.Fatal(err)
	}
	left("1 2 3") // another log is as old
	if err := r.client.Del(t.Context(), "pollux:{journal:2}").Err(); err != nil {
		t.Fatal(err)
	}
	left("1 3")
}

// However many were removed, each has its tombstone renewed.
func TestTombstonesOfManyRemovedDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "a")
	m := r.buries()
	lead := r.leads(t)
	for id := range int64(7) {
		m.add(id+1, time.Duration(id)*time.Minute)
	}
	if err := lead.tombstones(t.Context(), farBack, map[int64]bool{}); err != nil {
		t.Fatal(err)
	}
	for id := range int64(7) {
		if !r.buried(t, id+1) {
			t.Errorf("device %d has no tombstone", id+1)
		}
	}
}

// The leader finds a removed device by itself, soon.
func TestTheLeaderBuries(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "a")
	m := r.buries()
	r.start(t)
	polluxtest.Eventually(t, 10*time.Second, "it leads", r.Leading)
	m.add(4, 0)
	polluxtest.Eventually(t, 3*buryEvery, "the device has a tombstone", func() bool { return r.buried(t, 4) })
}
