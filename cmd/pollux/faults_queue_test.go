//go:build faults

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

const (
	faultQueue = "asynq:{poller:0}:"
	cureLimit  = 10 * time.Minute
)

// damage is one way in which asynq's keys break.
type damage struct {
	name string
	do   func(w *world, active []string) (broken []string)
}

var damages = []damage{
	{"the lease of one task is gone", func(w *world, active []string) []string {
		must(w.t, w.client.ZRem(w.t.Context(), faultQueue+"lease", active[0]).Err())
		return active[:1]
	}},
	{"the task of one is gone", func(w *world, active []string) []string {
		must(w.t, w.client.Del(w.t.Context(), faultQueue+"t:"+active[1]).Err())
		return active[1:2]
	}},
	{"all leases are gone", func(w *world, active []string) []string {
		must(w.t, w.client.Del(w.t.Context(), faultQueue+"lease").Err())
		return active
	}},
	{"an id that never was is active", func(w *world, _ []string) []string {
		must(w.t, w.client.LPush(w.t.Context(), faultQueue+"active", "never").Err())
		return []string{"never"}
	}},
	// One such lease stops the recovery of all queues of a server.
	{"a message that nobody understands is leased", func(w *world, _ []string) []string {
		w.poison("leased", "active")
		must(w.t, w.client.ZAdd(w.t.Context(), faultQueue+"lease", redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: "leased"}).Err())
		return []string{"leased"}
	}},
	{"a message that nobody understands waits", func(w *world, _ []string) []string {
		w.poison("waiting", "pending")
		return []string{"waiting"}
	}},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// poison puts a task that cannot be decoded into a list of the queue.
func (w *world) poison(id, list string) {
	w.t.Helper()
	must(w.t, w.client.HSet(w.t.Context(), faultQueue+"t:"+id, "msg", "\xff\x00garbage", "state", list, "pending_since", time.Now().UnixNano()).Err())
	must(w.t, w.client.LPush(w.t.Context(), faultQueue+list, id).Err())
}

// TestFaultBrokenQueues breaks the keys of the queue in six ways and kills a
// consumer, whose tasks must be recovered all the same. Within 10 minutes nothing is stuck any more.
func TestFaultBrokenQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 1, consumers: 2, latency: 400 * time.Millisecond})
	began := time.Now()
	broken := map[string]bool{}
	for _, d := range damages {
		var active []string
		until(t, time.Minute, "tasks are in work", func() bool {
			var err error
			active, err = w.client.LRange(t.Context(), faultQueue+"active", 0, -1).Result()
			active = slices.DeleteFunc(active, func(id string) bool { return broken[id] || !strings.HasPrefix(id, "poll:") })
			return err == nil && len(active) >= 3
		})
		for _, id := range d.do(w, active) {
			broken[id] = true
		}
	}
	flying := w.underWay(w.nodes["c1"], 2)
	orphans, err := w.client.LRange(t.Context(), faultQueue+"active", 0, -1).Result()
	must(t, err)
	killed := w.kill(w.nodes["c1"])
	w.start("consumer", "c1")
	w.disturbed(began, time.Now())

	untilEvery(t, time.Second, cureLimit, "nothing is stuck and no task of the dead node is in work", func() bool {
		active, err := w.client.LRange(t.Context(), faultQueue+"active", 0, -1).Result()
		return err == nil && !slices.ContainsFunc(active, func(id string) bool { return slices.Contains(orphans, id) || broken[id] }) && len(w.judgeQueues()) == 0
	})
	cured := time.Since(killed)
	w.healed("all devices are polled in a whole slot", time.Now(), 1)
	repairs := w.sum("pollux_queue_repairs_total")
	o := w.finish("%d ways to break a queue, %d entries broken, a consumer killed with %.0f polls under way: whole after %v, %.0f repairs",
		len(damages), len(broken), flying, cured.Round(time.Second), repairs)
	if repairs < 3 { // a worker that lives ends the other tasks, and asynq takes them off its lists
		t.Errorf("the janitor made %.0f repairs", repairs)
	}
	for _, kind := range []string{"stuck", "undecodable"} {
		if w.sum("pollux_queue_repairs_total", fmt.Sprintf("kind=%q", kind)) == 0 {
			t.Errorf("the janitor repaired nothing that is %s", kind)
		}
	}
	if o.inRow > 1 {
		t.Errorf("a device missed %d slots in a row", o.inRow)
	}
}
