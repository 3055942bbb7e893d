package journal_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
)

// portEntry is a poll of ports whose first one was read at the given time, and each other 1 ms after the one before.
func portEntry(id, slot int64, at time.Time, ports int) journal.Entry {
	e := journal.Entry{DeviceID: id, Slot: slot, Outcome: device.OutcomeUp, Dir: "sw" + itoa(int(id)), Step: 300, Heartbeat: 600}
	for p := range ports {
		e.Measurements = append(e.Measurements, measurement.Measurement{
			Kind: measurement.KindPort, Instance: id*100 + int64(p), Max: measurement.DefaultPortMax,
			Time: at.Add(time.Duration(p) * time.Millisecond), Values: portValues(uint64(at.Unix() + int64(p))),
		})
	}
	return e
}

type appending struct {
	t       *testing.T
	client  *redis.Client
	journal *journal.Journal
}

func newAppending(t *testing.T, extra ...string) *appending {
	client := dialRedis(t, polluxtest.Redis(t, extra...))
	return &appending{t: t, client: client, journal: journal.New(client, 3)}
}

func (a *appending) want(want journal.Result, e journal.Entry) {
	a.t.Helper()
	if got, err := a.journal.Append(a.t.Context(), e); err != nil || got != want {
		a.t.Errorf("append: %v, %v, want %v", got, err, want)
	}
}

func (a *appending) last(id int64) journal.Last {
	a.t.Helper()
	lasts, err := a.journal.Last(a.t.Context(), []int64{id})
	if err != nil || len(lasts) != 1 {
		a.t.Fatalf("last: %v, %v", lasts, err)
	}
	return lasts[0]
}

func (a *appending) length() int64 {
	a.t.Helper()
	return a.client.XLen(a.t.Context(), "pollux:{journal:3}").Val()
}

func TestAppendKeepsTheOrder(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Truncate(time.Millisecond).Add(-time.Minute)
	slot := now.Unix()
	a.want(journal.Accepted, portEntry(7, slot, now, 3)) // its latest sample is 2 ms later
	a.want(journal.Stale, portEntry(7, slot, now, 3))    // the same again, as after a lost answer
	a.want(journal.Stale, portEntry(7, slot, now.Add(1001*time.Millisecond), 1))
	a.want(journal.Accepted, portEntry(8, slot, now, 1)) // another device
	a.want(journal.Accepted, portEntry(7, slot+10, now.Add(1002*time.Millisecond), 1))
	a.want(journal.Stale, portEntry(7, slot, now.Add(time.Minute), 1)) // a slot that is over
	a.want(journal.Future, portEntry(9, slot, time.Now().Add(3*time.Second), 1))
	a.want(journal.Accepted, portEntry(9, slot, time.Now().Add(time.Second), 1))
	if n := a.length(); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}
	// The order of samples inside an entry does not matter: the earliest is compared with the latest.
	mixed := portEntry(7, slot+20, now.Add(20*time.Second), 2)
	mixed.Measurements[1].Time = now
	a.want(journal.Stale, mixed)
	mixed.Measurements[1].Time = now.Add(10 * time.Second)
	a.want(journal.Accepted, mixed)
	if last := a.last(7); !last.SampleAt.Equal(now.Add(20*time.Second)) || last.Slot != slot+20 || last.Outcome != device.OutcomeUp {
		t.Errorf("last is %+v", last)
	}
}

func TestAppendOfADeviceThatIsDown(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Truncate(time.Millisecond).Add(-time.Minute)
	slot := now.Unix()
	if last := a.last(7); last != (journal.Last{}) {
		t.Errorf("a device that was never polled: %+v", last)
	}
	down := journal.Entry{DeviceID: 7, Slot: slot - 10, Outcome: device.OutcomeDown}
	a.want(journal.Accepted, down)
	if last := a.last(7); last != (journal.Last{Slot: slot - 10, Outcome: device.OutcomeDown}) {
		t.Errorf("last is %+v", last)
	}
	a.want(journal.Accepted, portEntry(7, slot, now, 1))
	a.want(journal.Stale, down)
	down.Slot, down.Outcome = slot+10, device.OutcomeAuth
	a.want(journal.Accepted, down)
	if last := a.last(7); !last.SampleAt.Equal(now) || last.Slot != slot+10 || last.Outcome != device.OutcomeAuth {
		t.Errorf("last is %+v", last)
	}
	if n := a.length(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if text := a.client.HGet(t.Context(), "pollux:{journal:0}:last", "7").Val(); text != itoa(int(now.UnixMilli()))+":"+itoa(int(slot+10))+":auth:-10-10." {
		t.Errorf("the hash holds %q", text)
	}
	// What is known of it without its help is recorded.
	measured := portEntry(7, slot+20, now.Add(20*time.Second), 1)
	measured.Outcome = device.OutcomeDown
	a.want(journal.Accepted, measured)
	a.want(journal.Stale, measured)
	if last := a.last(7); !last.SampleAt.Equal(now.Add(20*time.Second)) || last.Slot != slot+20 || last.Outcome != device.OutcomeDown || a.length() != 2 {
		t.Errorf("last is %+v, %d entries", last, a.length())
	}
}

func TestAppendRefusesWhatCouldNotBeRecorded(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Add(-time.Minute)
	for name, spoil := range map[string]func(*journal.Entry){
		"no device":       func(e *journal.Entry) { e.DeviceID = 0 },
		"outcome":         func(e *journal.Entry) { e.Outcome = device.OutcomeSkipped },
		"slot":            func(e *journal.Entry) { e.Slot = -1 },
		"no directory":    func(e *journal.Entry) { e.Dir = "" },
		"upwards":         func(e *journal.Entry) { e.Dir = ".." },
		"two directories": func(e *journal.Entry) { e.Dir = "a/b" },
		"second command":  func(e *journal.Entry) { e.Dir = "a\nFLUSHALL" },
		"step":            func(e *journal.Entry) { e.Step = 0 },
		"heartbeat":       func(e *journal.Entry) { e.Heartbeat = -1 },
		"kind":            func(e *journal.Entry) { e.Measurements[1].Kind = 99 },
		"generation":      func(e *journal.Entry) { e.Measurements[1].Generation = -1 },
		"instance":        func(e *journal.Entry) { e.Measurements[1].Instance = -1 },
		"time":            func(e *journal.Entry) { e.Measurements[1].Time = time.Time{} },
		"fewer values":    func(e *journal.Entry) { e.Measurements[1].Values = e.Measurements[1].Values[1:] },
		"too many":        func(e *journal.Entry) { e.Measurements = make([]measurement.Measurement, journal.MaxMeasurements+1) },
	} {
		e := portEntry(7, now.Unix(), now, 2)
		spoil(&e)
		if _, err := a.journal.Append(t.Context(), e); !errors.Is(err, journal.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := a.length(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// Many nodes append polls of one device at once, each its own, in any order: what is in the log increases by a second at least.
func TestTheLogIncreasesStrictlyPerDevice(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	begin := time.Now().Add(-time.Hour)
	var nodes sync.WaitGroup
	for n := range 8 {
		nodes.Go(func() {
			for i := range 50 {
				at := begin.Add(time.Duration(i*1000+n*377) * time.Millisecond)
				if _, err := a.journal.Append(t.Context(), portEntry(1, at.Unix(), at, 2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	nodes.Wait()
	messages, err := a.client.XRange(t.Context(), "pollux:{journal:3}", "-", "+").Result()
	if err != nil || len(messages) < 20 {
		t.Fatalf("%d entries, %v", len(messages), err)
	}
	latest := time.Time{}
	for _, message := range messages {
		e, err := journal.DecodeEntry([]byte(message.Values["e"].(string)))
		if err != nil {
			t.Fatal(err)
		}
		if e.Measurements[0].Time.Sub(latest) < time.Second {
			t.Fatalf("%v follows %v", e.Measurements[0].Time, latest)
		}
		latest = e.Measurements[1].Time
	}
}

// An append that Redis has no room for is an error, and leaves no trace that would make its retry stale.
func TestAppendIntoAFullRedis(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	ctx := t.Context()
	if err := a.client.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-time.Minute)
	e := portEntry(7, now.Unix(), now, 2)
	if result, err := a.journal.Append(ctx, e); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("append: %v, %v", result, err)
	}
	if err := a.client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if last := a.last(7); last != (journal.Last{}) {
		t.Errorf("last is %+v", last)
	}
	a.want(journal.Accepted, e)
}

// What stands in Redis may be damaged; then it is as if it were not there.
func TestDamagedLastTimes(t *testing.T) {
	t.Parallel()
	a := newAppending(t)
	now := time.Now().Add(-time.Minute)
	for _, text := range []string{"", "x", "1:2", "1:x:up", "-5:1:up", "99999999999999999999:1:up", "1:2:skipped", "1:2:up:", "1:2:up:x", "1:2:up:3", "1:2:up:-2", "1:2:up:1:1",
		"1:20:up:-", "1:20:up:-1-", "1:20:up:-1--1", "1:20:up:-0", "1:20:up:-1x", "1:20:up:..", "1:20:up:-1-1-1-1-1-1-1-1", "1:20:up:-99999999999999999999"} {
		if err := a.client.HSet(t.Context(), "pollux:{journal:0}:last", "7", text).Err(); err != nil {
			t.Fatal(err)
		}
		if last := a.last(7); last != (journal.Last{}) {
			t.Errorf("%q is %+v", text, last)
		}
	}
	if err := a.client.HSet(t.Context(), "pollux:{journal:0}:last", "7", "nonsense").Err(); err != nil {
		t.Fatal(err)
	}
	a.want(journal.Accepted, portEntry(7, now.Unix(), now, 1))
	ids := make([]int64, 4500)
	ids[4321] = 7
	lasts, err := a.journal.Last(t.Context(), ids)
	if err != nil || len(lasts) != len(ids) || lasts[4321].Slot != now.Unix() || lasts[0] != (journal.Last{}) {
		t.Errorf("last of many: %d, %v", len(lasts), err)
	}
}
