package consumer

import (
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/tasks"
)

func TestLeastOfASlot(t *testing.T) {
	t.Parallel()
	for interval, want := range map[int]time.Duration{10: 500 * time.Millisecond, 15: 750 * time.Millisecond, 20: time.Second, 300: time.Second} {
		if got := (&turn{Poll: tasks.Poll{Interval: interval}}).least(); got != want {
			t.Errorf("interval %d: %v, want %v", interval, got, want)
		}
	}
}

func TestLeaseTTL(t *testing.T) {
	t.Parallel()
	for interval, want := range map[int]time.Duration{10: 2500, 19: 4750, 20: 10_000, 40: 20_000, 60: 30_000, 300: 30_000, 3600: 30_000, 5: 2000} {
		if got := (&turn{Poll: tasks.Poll{Interval: interval}}).leaseTTL(); got != want*time.Millisecond {
			t.Errorf("interval %d: %v, want %v ms", interval, got, int(want))
		}
	}
}

func TestForeignTasksAreArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	for _, task := range []*asynq.Task{
		asynq.NewTask(tasks.TypePoll, []byte(`{"device_id":-1}`)), asynq.NewTask("x", nil),
		asynq.NewTask(tasks.TypePoll, []byte(`{"device_id":1,"slot":1,"interval":10}`)), // of no queue
	} {
		if err := r.HandlePoll(t.Context(), task); !errors.Is(err, asynq.SkipRetry) {
			t.Errorf("%s: %v", task.Payload(), err)
		}
	}
}
