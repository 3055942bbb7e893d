package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/tasks"
)

// fakeDiscoverables are the devices that are to be discovered.
type fakeDiscoverables struct {
	list []device.Discoverable
	err  error
}

func (f *fakeDiscoverables) Discoverable(context.Context) ([]device.Discoverable, error) {
	return f.list, f.err
}

// discoveriesIn are the ids of the tasks that wait in a queue.
func discoveriesIn(t *testing.T, inspector *asynq.Inspector, queue string) []string {
	t.Helper()
	list, err := inspector.ListPendingTasks(queue, asynq.PageSize(5000))
	if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		t.Fatal(err)
	}
	ids := make([]string, len(list))
	for i, task := range list {
		ids[i] = task.ID
	}
	slices.Sort(ids)
	return ids
}

func TestOverdueDevicesAreOfferedForDiscovery(t *testing.T) {
	t.Parallel()
	h := newRig(t, polluxtest.Redis(t), "a")
	term := h.leads(t)
	now := h.clock.Now().Unix()
	const every = 21600
	current := func(id int64) int64 { return device.SlotAt(id, every, now) }
	due := &fakeDiscoverables{list: []device.Discoverable{
		{ID: 1}, // new
		{ID: 2, Group: 3, Slot: current(2) - every}, // its slot has begun since
		{ID: 3, Slot: current(3)},                   // done
		{ID: 4, Slot: now},                          // by hand, in its slot
	}}
	h.deps.Discoverables = due
	offered := map[int64]offeredDiscovery{}
	for range 2 { // the second look offers nothing again
		if err := term.offerDiscoveries(t.Context(), offered); err != nil {
			t.Fatal(err)
		}
	}
	inspector := asynq.NewInspectorFromRedisClient(h.client)
	want := map[string][]string{
		"discovery:0": {fmt.Sprintf("discover:1:%d", current(1))},
		"discovery:3": {fmt.Sprintf("discover:2:%d", current(2))},
	}
	for queue, ids := range want {
		if got := discoveriesIn(t, inspector, queue); !slices.Equal(got, ids) {
			t.Errorf("%s holds %q, want %q", queue, got, ids)
		}
	}
	// Another leader offers the same: those are conflicts.
	if err := term.offerDiscoveries(t.Context(), map[int64]offeredDiscovery{}); err != nil {
		t.Error(err)
	}
	// One whose task was lost is offered again after a while.
	if err := inspector.DeleteTask("discovery:0", want["discovery:0"][0]); err != nil {
		t.Fatal(err)
	}
	h.clock.offset.Add(int64(offerAgain + time.Second))
	if err := term.offerDiscoveries(t.Context(), offered); err != nil {
		t.Fatal(err)
	}
	if got := discoveriesIn(t, inspector, "discovery:0"); len(got) == 0 {
		t.Error("the lost discovery is not offered again")
	}
	due.err = errors.New("away")
	if err := term.offerDiscoveries(t.Context(), offered); err == nil {
		t.Error("a database that is away is no error")
	}
}

func TestDiscoveriesDoNotFillRedis(t *testing.T) {
	t.Parallel()
	h := newRig(t, polluxtest.Redis(t), "a")
	term := h.leads(t)
	many := &fakeDiscoverables{}
	for id := range int64(5000) {
		many.list = append(many.list, device.Discoverable{ID: id + 1})
	}
	h.deps.Discoverables = many
	offered := map[int64]offeredDiscovery{}
	inspector := asynq.NewInspectorFromRedisClient(h.client)
	for look := range 6 {
		if err := term.offerDiscoveries(t.Context(), offered); err != nil {
			t.Fatal(err)
		}
		if got, want := len(discoveriesIn(t, inspector, tasks.Queue(tasks.KindDiscovery, 0))), min((look+1)*discoverBurst, discoverPending); got != want {
			t.Errorf("after look %d: %d discoveries wait, want %d", look+1, got, want)
		}
	}
}
