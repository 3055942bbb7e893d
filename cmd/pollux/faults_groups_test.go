//go:build faults

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

const (
	assignedWithin = 10 * time.Second // until an assignment is in force
	farGroup       = 3                // of the devices that die
)

// assignments are what the consumers serve, one after the other: five nodes, four groups.
var assignments = []map[string][]int64{
	{"c1": {0, 1}, "c2": {1, 2}, "c3": {2, 3}, "c4": {0, 3}, "c5": {}},
	{"c1": {2, 3}, "c2": {0, 1}, "c3": {0, 1}, "c4": {}, "c5": {2, 3}},
	{"c1": {}, "c2": {2}, "c3": {3}, "c4": {0}, "c5": {1}},
	{"c1": {0, 1, 2, 3}, "c2": {}, "c3": {0}, "c4": {1, 3}, "c5": {2}},
	{"c1": {0, 3}, "c2": {1, 3}, "c3": {2, 3}, "c4": {0, 1, 2, 3}, "c5": {1, 2}},
}

func listOf(groups []int64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(groups), " ", ","), "[]")
}

// TestFaultGroupsMove reassigns four poller groups to five consumers under load,
// which loses and doubles nothing, and lets the 100 devices of one group die, which
// must not hold up the others. It measures milliseconds, and so runs before the tests that are parallel.
func TestFaultGroupsMove(t *testing.T) {
	w := newWorld(t, polluxtest.PostgreSQL, setup{
		devices: 200, second: 100, producers: 1, consumers: 5,
		group: func(number int) int64 {
			if number < 0 {
				return farGroup
			}
			return int64(number % 3)
		},
		prepare: func(d *deployment) {
			cli(t, d.dir, d.env, "config", "set", "distributed_poller", "true")
			for _, name := range []string{"north", "south", "far"} {
				cli(t, d.dir, d.env, "group", "create", name)
			}
			// A task that nobody may take: asynq serves "default" when it is given no queue.
			must(t, d.client().HSet(t.Context(), "asynq:{default}:t:nobody", "msg", "x", "state", "pending").Err())
			must(t, d.client().LPush(t.Context(), "asynq:{default}:pending", "nobody").Err())
		},
		environ: func(name string) []string {
			return []string{"DISTRIBUTED_POLLER_GROUP=" + listOf(assignments[0][name])}
		},
	})
	var slowest time.Duration
	now := assignments[0]
	for _, next := range assignments[1:] {
		slowest = max(slowest, w.assign(now, next))
		now = next
	}
	calm := time.Now()
	w.healed("the devices are polled before some die", calm, 3)
	before := time.Now()
	w.second.process.signal(syscall.SIGSTOP) // they do not answer; a simulator that ended would let the kernel refuse
	w.died = time.Now()
	w.disturbed(w.died, w.died)
	w.healed("the devices that live are polled after some died", w.died, 4)
	after := time.Now()
	if waiting := w.client.LLen(t.Context(), "asynq:{default}:pending").Val(); waiting != 1 {
		t.Errorf("%d tasks wait in the queue default, want the one", waiting)
	}
	w.second.process.signal(syscall.SIGCONT)
	down := w.sum("pollux_polls_total", `group="3"`, `result="down"`)
	w.second.stop()
	o := w.finish("%d assignments in force within %v; %.0f polls found a device down", len(assignments)-1, slowest.Round(10*time.Millisecond), down)
	if down < 200 {
		t.Errorf("only %.0f polls found a device down", down)
	}
	if o.missed > 0 || len(o.again) > 0 {
		t.Errorf("%d slots were missed, %d tasks came again", o.missed, len(o.again))
	}
	w.checkLateness(o, span{calm, before}, span{w.died, after})
}

// assign gives all consumers their groups, as an operator does, and waits until
// that is in force. It returns how long the slowest took.
func (w *world) assign(was, next map[string][]int64) (slowest time.Duration) {
	w.t.Helper()
	names := slices.Sorted(maps.Keys(next))
	given, gained := map[string]time.Time{}, map[string]func() bool{}
	for _, name := range names {
		for _, group := range without(next[name], was[name]) {
			gained[fmt.Sprintf("%s polls group %d", name, group)] = more(w.nodes[name], group)
		}
		cli(w.t, w.dir, w.env, "node", "set", name, "--groups", listOf(next[name]))
		given[name] = time.Now()
	}
	for _, name := range names {
		until(w.t, time.Minute, fmt.Sprintf("%s serves %v", name, next[name]), func() bool {
			at, groups := w.nodes[name].serves(w.t)
			slowest = max(slowest, at.Sub(given[name]))
			return slices.Equal(groups, next[name])
		})
	}
	for what, polls := range gained {
		until(w.t, time.Minute, what, polls)
	}
	pass(w.t, "the assignments are in force", given[names[len(names)-1]].Add(assignedWithin))
	lost := map[string]func() bool{}
	for _, name := range names {
		for _, group := range without(was[name], next[name]) {
			lost[fmt.Sprintf("%s polled group %d", name, group)] = more(w.nodes[name], group)
		}
	}
	pass(w.t, "nodes would have polled what they lost", time.Now().Add(3*time.Second))
	for what, polls := range lost {
		if polls() {
			w.t.Errorf("%s more than %v after it lost it", what, assignedWithin)
		}
	}
	if slowest > assignedWithin {
		w.t.Errorf("an assignment was in force after %v", slowest)
	}
	return slowest
}

// serves is what a consumer said last of the groups that it serves, and when.
func (p *process) serves(t *testing.T) (at time.Time, groups []int64) {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var said struct {
			Time   time.Time
			Msg    string
			Groups []int64
		}
		if strings.Contains(line, "queues are served") && json.Unmarshal([]byte(line), &said) == nil {
			at, groups = said.Time, said.Groups
		}
	}
	return at, groups
}

// without are the elements of a list that are not in another one.
func without(list, other []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(list), func(g int64) bool { return slices.Contains(other, g) })
}

// checkLateness fails the test when devices that live were polled later in one
// stretch of time than in another, by a tenth or 100 ms, whichever is more, at the
// 95th percentile: all of them by their own figure, and each group by that of the
// worst group before, since a single group's figure of three slots moves by as much by itself.
func (w *world) checkLateness(o outcome, before, after span) {
	w.t.Helper()
	var calm time.Duration
	living := []int64{0, 1, 2}
	for _, group := range living {
		calm = max(calm, w.lateness(o, before, group))
	}
	for _, group := range living {
		was, then := w.lateness(o, before, group), w.lateness(o, after, group)
		w.t.Logf("figures: group %d was polled %v late (p95) before devices of another group died, %v after", group, was.Round(time.Millisecond), then.Round(time.Millisecond))
		if then > calm+max(calm/10, 100*time.Millisecond) {
			w.t.Errorf("group %d was polled %v late (p95) after devices of another group died, no group more than %v before", group, then, calm)
		}
	}
	was, then := w.lateness(o, before, living...), w.lateness(o, after, living...)
	w.t.Logf("figures: all groups that live were polled %v late (p95) before devices of another group died, %v after", was.Round(time.Millisecond), then.Round(time.Millisecond))
	if then > was+max(was/10, 100*time.Millisecond) {
		w.t.Errorf("the groups that live were polled %v late (p95) after devices of another group died, %v before", then, was)
	}
}

// lateness is the 95th percentile of how late the slots of some groups in a stretch of time were begun.
func (w *world) lateness(o outcome, during span, groups ...int64) time.Duration {
	w.t.Helper()
	var all []time.Duration
	for _, v := range o.visits {
		began, slot := v.from.Add(-w.latency/2), time.Unix(v.begin, 0)
		number := slices.Index(w.ids, v.device)
		if number >= 0 && slices.Contains(groups, w.group(number)) && slot.After(during.from) && slot.Before(during.to) {
			all = append(all, began.Sub(slot))
		}
	}
	if len(all) < w.devices/3 {
		w.t.Fatalf("the groups %v were polled %d times", groups, len(all))
	}
	slices.Sort(all)
	return all[len(all)*95/100]
}
