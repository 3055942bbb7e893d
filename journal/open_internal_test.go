package journal

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/measurement"
)

// Large entries are read and opened few at a time, small ones many.
func TestReadsTakeWhatFits(t *testing.T) {
	t.Parallel()
	brought := func(entries, bytes int) []redis.XMessage {
		messages := make([]redis.XMessage, entries)
		for i := range messages {
			messages[i].Values = map[string]any{field: strings.Repeat("x", bytes)}
		}
		return messages
	}
	var r reading
	for i, c := range []struct {
		entries, bytes, want int
	}{
		{50, 2000, 50}, {0, 0, 50}, {50, 1 << 20, 4}, {4, 1 << 20, 4}, {4, 5 << 20, 1}, {1, 5 << 20, 1}, {1, 2000, 2}, {2, 2000, 4}, {1, 2000, 8},
		{8, 1, 16}, {16, 0, 32}, {32, 2000, 50},
	} {
		if r.brought(brought(c.entries, c.bytes)); r.next() != c.want {
			t.Errorf("after read %d the next one takes %d, want %d", i, r.next(), c.want)
		}
	}
	for _, want := range []int{25, 12, 6, 3, 1, 1} {
		if r.failed(); r.next() != want {
			t.Errorf("after a read that failed the next one takes %d, want %d", r.next(), want)
		}
	}
}

// However many entries a read brings, what is open at a time is bounded; one entry always is.
func TestFewLargeEntriesAreOpenAtATime(t *testing.T) {
	t.Parallel()
	large := Entry{DeviceID: 1, Slot: 5, Outcome: device.OutcomeUp, Dir: "sw1", Step: 300, Heartbeat: 600}
	for i := range maxOpen/2 - 10 {
		large.Measurements = append(large.Measurements, measurement.Measurement{
			Kind: measurement.KindUptime, Instance: int64(i), Time: time.UnixMilli(1_795_340_100_000), Values: make([]measurement.Value, 1),
		})
	}
	payload, err := new(encoder).encode(&large)
	if err != nil {
		t.Fatal(err)
	}
	message := func(id string, payload []byte) redis.XMessage {
		return redis.XMessage{ID: id, Values: map[string]any{field: string(payload), sumField: checksum(payload)}}
	}
	one := message("1795340200000-1", payload)
	bad := message("1795340200000-2", []byte("garbage"))
	term := &term{Recorder: &Recorder{}}
	for name, c := range map[string]struct {
		messages       []redis.XMessage
		items, damaged int
	}{
		"one":             {[]redis.XMessage{one}, 1, 0},
		"many":            {[]redis.XMessage{one, one, one, one, one}, 2, 0},
		"damaged between": {[]redis.XMessage{one, bad, bad, one, one, bad}, 4, 2},
	} {
		items, damaged, err := term.decode(c.messages)
		if err != nil || len(items) != c.items || len(damaged) != c.damaged {
			t.Errorf("%s: %d items, %d damaged, %v", name, len(items), len(damaged), err)
		}
		for _, err := range damaged {
			if !errors.Is(err, ErrEntry) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
