//go:build faults

package main_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

const redisHang = 45 * time.Second

// freezeRedis freezes Redis while polls are under way, and returns how many they were.
func (w *world) freezeRedis() (hung, resumed time.Time, flying float64) {
	w.t.Helper()
	flying = w.underWay(w.nodes["c1"], 2)
	hung = time.Now()
	w.redis.Pause()
	pass(w.t, "the hang is over", hung.Add(redisHang))
	w.redis.Resume()
	resumed = time.Now()
	w.disturbed(hung, resumed)
	return hung, resumed, flying
}

// TestFaultRedisHangs freezes Redis for 45 s at intervals of 20 s: slots that
// lie within are missed, nothing that was recorded is lost, and nothing is polled twice.
func TestFaultRedisHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 2, consumers: 2})
	_, resumed, flying := w.freezeRedis()
	recovered := w.healed("all devices are polled in three slots", resumed, 3)
	o := w.finish("Redis hung for %v with %.0f polls under way; well again %v after it", redisHang, flying, recovered.Round(time.Second))
	if most := int(redisHang/time.Second)/w.interval + 2; o.inRow > most {
		t.Errorf("a device missed %d slots in a row, at most %d touch the hang", o.inRow, most)
	}
	w.checkRecorded(o)
}

// TestFaultRedisHangsInLongSlots does it at 300 s. Measurements wait for Redis,
// slots that begin meanwhile are polled late, and the tasks whose acknowledgement
// was lost, which come again a minute later, poll nothing.
func TestFaultRedisHangsInLongSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.PostgreSQL, setup{interval: 300, producers: 1, consumers: 2, latency: 800 * time.Millisecond})
	_, resumed, flying := w.freezeRedis()
	untilEvery(t, time.Second, 3*time.Minute, "a task has come again", func() bool { return w.sum("pollux_task_repeats_total") > 0 })
	pass(t, "lost tasks have come again", resumed.Add(110*time.Second))
	o := w.finish("Redis hung for %v with %.0f polls under way", redisHang, flying)
	if o.missed > 0 {
		t.Errorf("%d slots were missed", o.missed)
	}
	if len(o.again) == 0 {
		t.Error("no task came again: the fault did not bite")
	}
}

// TestFaultFreezeConsumer freezes a consumer in the middle of polls for 90 s. The
// other one polls its devices meanwhile; what the frozen one still holds when it
// goes on is refused, and it works on.
func TestFaultFreezeConsumer(t *testing.T) {
	t.Parallel()
	const frozen = 90 * time.Second
	w := newWorld(t, polluxtest.PostgreSQL, setup{producers: 1, consumers: 2})
	c1 := w.nodes["c1"]
	flying := w.underWay(c1, 3)
	before := c1.scrape()
	c1.signal(syscall.SIGSTOP)
	stopped := time.Now()
	pass(t, "the consumer was frozen for long enough", stopped.Add(frozen))
	c1.signal(syscall.SIGCONT)
	thawed := time.Now()
	w.disturbed(stopped, thawed)
	w.pardoned = append(w.pardoned, span{thawed.Add(-time.Second), thawed.Add(2 * time.Second)})
	until(t, time.Minute, "the consumer polls again", func() bool {
		return c1.scrape().sum("pollux_polls_total", `result="up"`) > before.sum("pollux_polls_total", `result="up"`)
	})
	back := time.Since(thawed)
	w.healed("all devices are polled in a whole slot", thawed, 1)
	late := c1.scrape().since(before)
	refused := late.sum("pollux_polls_skipped_total") + late.sum("pollux_task_repeats_total") + late.sum("pollux_polls_total", `result="expired"`)
	o := w.finish("frozen for %v with %.0f polls under way; %.0f late results refused; it polled again after %v", frozen, flying, refused, back.Round(time.Millisecond))
	if dropped := w.droppedOf(c1, o.visits, stopped); refused == 0 || dropped == 0 {
		t.Errorf("the frozen consumer's late results were not refused: it ended %.0f slots without a poll, %d of them polls that were under way", refused, dropped)
	}
	if o.inRow > 1 {
		t.Errorf("the frozen consumer cost a device %d slots", o.inRow)
	}
	w.checkRecorded(o)
}

// droppedOf are the slots whose devices had answered before a node was frozen at a moment, and of which that node
// says, when it goes on, that they ended without a poll: what it had measured was refused, by the journal, which
// by then had later slots of these devices. No metric tells this from a task that waited
// in the node's hands and was over (both are late repeats, since Redis took the tasks from the node), but
// a device was not asked for that one. A slot that was refused as finished before is none of them.
func (w *world) droppedOf(frozen *process, visits []visit, at time.Time) (dropped int) {
	w.t.Helper()
	ended, again := endingsOn(w.t, frozen)
	counted := map[slot]bool{}
	for _, v := range visits {
		late := slices.ContainsFunc(again[v.slot], func(why string) bool { return why == "late" || why == "overtaken" }) ||
			slices.ContainsFunc(ended[v.slot], func(why string) bool { return strings.Contains(why, "stale") })
		if v.from.Before(at) && v.to.After(at.Add(-visitPause)) && late {
			counted[v.slot] = true
		}
	}
	w.t.Logf("figures: %d polls that were under way when the consumer was frozen ended there without a place in the log", len(counted))
	return len(counted)
}
