package journal_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

// A log that would be cut before what it must keep is in it is told once, and again when it had room meanwhile.
func TestTooLittleRoomIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	w.limit.Store(1 << 40)
	log := w.logged()
	old := strconv.FormatInt(time.Now().Add(-30*time.Minute).UnixMilli(), 10) + "-1"
	if err := w.client.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), ID: old, Values: []string{"e", "garbage"}}).Err(); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	w.poll(3, 6)
	w.drained()
	ratio := func() float64 { return r.counter("pollux_journal_room_ratio") }
	polluxtest.Eventually(t, 10*time.Second, "there is room", func() bool { return ratio() > 1000 })
	bytes, err := w.client.MemoryUsage(t.Context(), w.journal.Stream(), 10).Result()
	if err != nil {
		t.Fatal(err)
	}
	for times := 1; times <= 2; times++ {
		w.limit.Store(2 * bytes) // twice half an hour, of a window of one hour
		polluxtest.Eventually(t, 10*time.Second, "it is told", func() bool { return ratio() < 2 && len(log.with("level=WARN", "too little room")) == times })
		if got := ratio(); got < 0.9 || got > 1.1 {
			t.Errorf("there is room for %.2f windows, want 1", got)
		}
		w.limit.Store(1 << 40)
		polluxtest.Eventually(t, 10*time.Second, "it is over", func() bool { return len(log.with("level=INFO", "has room again")) == times })
	}
	if lost := r.counter("pollux_journal_cut_total", "lost") + r.counter("pollux_journal_cut_total", "acked"); lost != 0 {
		t.Errorf("%.0f entries were cut: the test proves nothing", lost)
	}
}
