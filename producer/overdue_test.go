package producer

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
)

func TestUnpolled(t *testing.T) {
	t.Parallel()
	const now = epoch
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	// A device whose interval was changed from 300 s to 10 s: its slots begin from 200 s from now on.
	changed := device.Scheduled{ID: 7, Interval: 10, SlotFrom: now + 200}
	longer := device.Scheduled{ID: 7, Interval: 300, SlotFrom: now - 50}
	firstOfLonger := device.SlotAt(7, 300, longer.SlotFrom+299)
	for _, c := range []struct {
		name          string
		device        device.Scheduled
		last          journal.Last
		since, known  int64
		want          int64
		late, overdue bool
	}{
		{"polled in its last slot", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 300}, 0, 0, 300, false, false},
		{"a poll that takes long at a short interval", device.Scheduled{Interval: 10}, journal.Last{Slot: now - 17}, 0, 0, 17, false, false},
		{"late", device.Scheduled{Interval: 10}, journal.Last{Slot: now - 18}, 0, 0, 18, true, false},
		{"late at 300 s", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 366}, 0, 0, 366, true, false},
		{"not yet overdue", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 905}, 0, 0, 905, true, false},
		{"overdue", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 906}, 0, 0, 906, true, true},
		{"a known old slot counts at once in a new leader", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 7200}, 0, now, 7200, true, true},
		{"polled late in its slot", device.Scheduled{Interval: 300}, journal.Last{Slot: now - 400, SampleAt: at(now - 200)}, 0, 0, 200, false, false},
		{"never polled, in a new leader", device.Scheduled{Interval: 10, Created: now - 9000}, journal.Last{}, 0, now - 3, 3, false, false},
		{"never polled, in an old leader", device.Scheduled{Interval: 10, Created: now - 9000}, journal.Last{}, 0, now - 60, 60, true, true},
		{"added in this leader's time", device.Scheduled{Interval: 10, Created: now - 4}, journal.Last{}, now - 3, now - 600, 3, false, false},
		{"switched on again", device.Scheduled{Interval: 10}, journal.Last{Slot: now - 86_400}, now - 3, now - 600, 3, false, false},
		{"a shorter interval that has not begun", changed, journal.Last{Slot: now - 100}, 0, 0, 0, false, false},
		{"a longer interval that has not begun", longer, journal.Last{Slot: now - 60}, 0, 0, min(60, now-(firstOfLonger-300)), false, false},
		{"a clock that went back", device.Scheduled{Interval: 10}, journal.Last{Slot: now + 5}, 0, 0, 0, false, false},
	} {
		if c.device.ID == 0 {
			c.device.ID = 1
		}
		u := unpolled(c.device, c.last, c.since, c.known, now)
		if u.For != time.Duration(c.want)*time.Second || u.Late() != c.late || u.Overdue() != c.overdue {
			t.Errorf("%s: %v, late %t, overdue %t, want %d s, %t, %t", c.name, u.For, u.Late(), u.Overdue(), c.want, c.late, c.overdue)
		}
	}
}

// TestDevicesThatArePolledAreNeverLate polls devices of all intervals at the latest moment that is well, and looks at any time.
func TestDevicesThatArePolledAreNeverLate(t *testing.T) {
	t.Parallel()
	for id := int64(1); id < 200; id++ {
		for _, interval := range []int{10, 30, 300, 3600} {
			d := device.Scheduled{ID: id, Interval: interval}
			for step := range int64(50) {
				now := epoch + step*int64(interval)/7
				slot := device.SlotAt(id, interval, now)
				if now-slot < 5+int64(interval)/5 { // its present slot is not finished yet
					slot -= int64(interval)
				}
				if u := unpolled(d, journal.Last{Slot: slot, Outcome: device.OutcomeDown}, 0, 0, now); u.Late() {
					t.Fatalf("device %d of %d s is late %v after its slot began", id, interval, u.For)
				}
			}
		}
	}
}

func TestLateDevicesAreFoundInOrder(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = client.Close() })
	var devices []device.Scheduled
	want := map[int64]tally{}
	fields := map[string]any{}
	for id := int64(1); id <= 2500; id++ { // more than one batch
		d := device.Scheduled{ID: id, Group: id % 3, Interval: []int{10, 60, 300}[id%7%3]}
		devices = append(devices, d)
		slot := epoch - int64(d.Interval)
		w := want[d.Group]
		if id%5 == 0 {
			slot, w.late = epoch-2*int64(d.Interval)-6, w.late+1
		}
		if id%50 == 0 {
			slot, w.overdue = epoch-4*int64(d.Interval), w.overdue+1
		}
		want[d.Group] = w
		fields[itoa(id)] = "0:" + itoa(slot) + ":down:" + itoa(slot-10)
	}
	if err := client.HSet(t.Context(), "pollux:{journal:0}:last", fields).Err(); err != nil {
		t.Fatal(err)
	}
	late, err := lateDevices(t.Context(), journal.New(client, 0), NewSchedule(devices), 0, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(late, func(a, b Unpolled) int { return int(a.DeviceID - b.DeviceID) }) || len(late) != 500 {
		t.Errorf("%d late devices, want 500 in order", len(late))
	}
	for group, found := range tallyOf(late) {
		if found != want[group] {
			t.Errorf("group %d: %+v, want %+v", group, found, want[group])
		}
	}
	server.Kill()
	if _, err := lateDevices(t.Context(), journal.New(client, 0), NewSchedule(devices), 0, epoch); err == nil {
		t.Error("devices are judged without the journal")
	}
}

// BenchmarkLateDevicesOf100000 is one look at a large cluster, with a real Redis.
func BenchmarkLateDevicesOf100000(b *testing.B) {
	server := polluxtest.Redis(b)
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	b.Cleanup(func() { _ = client.Close() })
	ctx := context.Background()
	var devices []device.Scheduled
	for begin := int64(0); begin < 100_000; begin += 1000 {
		fields := map[string]any{}
		for id := begin + 1; id <= begin+1000; id++ {
			devices = append(devices, device.Scheduled{ID: id, Interval: 300})
			fields[itoa(id)] = itoa(epoch*1000) + ":" + itoa(epoch-id%300) + ":up:" + itoa(epoch-300-id%300)
		}
		if err := client.HSet(ctx, "pollux:{journal:0}:last", fields).Err(); err != nil {
			b.Fatal(err)
		}
	}
	log, s := journal.New(client, 0), NewSchedule(devices)
	b.ReportAllocs()
	for b.Loop() {
		if late, err := lateDevices(ctx, log, s, 0, epoch); err != nil || len(late) != 0 {
			b.Fatal(len(late), err)
		}
	}
}
