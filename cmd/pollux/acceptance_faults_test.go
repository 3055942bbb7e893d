//go:build faults

package main_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/device"
	"pollux/polluxtest"
)

// These tests freeze and kill what a poll stands on, for longer than "make
// test" should take: make faults runs them.

// pass waits for a moment.
func pass(t testing.TB, what string, moment time.Time) {
	t.Helper()
	untilEvery(t, time.Second, time.Until(moment)+startLimit, what, func() bool { return !time.Now().Before(moment) })
}

// begun are the slots that begin in a stretch of time.
func (f *fleet) begun(from, to time.Time) (all []slot) {
	for _, id := range f.ids {
		begin := device.SlotAt(id, f.interval, to.Unix())
		if begin > from.Unix() {
			all = append(all, slot{id, begin})
		}
	}
	return all
}

// TestFaultRedisHangs freezes Redis for 45 s while polls are under way. Their
// measurements wait for it, slots that begin meanwhile are polled late, and the
// tasks whose acknowledgement was lost, which come again a minute later, poll nothing.
func TestFaultRedisHangs(t *testing.T) {
	t.Parallel()
	const devices, hang, recovery = 300, 45 * time.Second, 120 * time.Second
	d := deploy(t, polluxtest.MariaDB(t))
	f := startFleet(t, d.dir, devices, 4, 300, 800*time.Millisecond)
	p1 := d.run("producer", "p1")
	consumers := newTotal(d.run("consumer", "c1"), d.run("consumer", "c2"))
	adding := time.Now()
	added := f.add(d.store)
	untilEvery(t, time.Second, 2*time.Minute, "a poll of each device", func() bool { return consumers.sum("pollux_polls_total") >= devices })
	until(t, 5*time.Minute, "polls under way", func() bool { return consumers.sum("pollux_polls_in_flight") >= 6 })
	flying := consumers.sum("pollux_polls_in_flight")
	hung := time.Now()
	d.redis.Pause()
	pass(t, "the hang is over", hung.Add(hang))
	d.redis.Resume()
	resumed := time.Now()
	pass(t, "lost tasks have come again", resumed.Add(recovery))

	client := d.client()
	logged := f.checkJournal(journalEntries(t, client), f.offered(adding, added))
	late := f.begun(hung, resumed)
	for _, s := range slices.Concat(late, f.begun(added, hung)) {
		if logged.up[s] != 1 {
			t.Errorf("slot %v is %d times in the log", s, logged.up[s])
		}
	}
	checkQueues(t, client)
	repeats := consumers.sum("pollux_task_repeats_total")
	t.Logf("%.0f polls under way and %d slots begun during the hang; %.0f tasks came again", flying, len(late), repeats)
	if repeats == 0 {
		t.Error("no task came again: the fault did not bite")
	}
	consumers.log(t)
	d.drain(p1, consumers.nodes[0], consumers.nodes[1])
	f.stop()
	f.polledTwice(f.reads(), logged)
	if behind, known := lag(t, client); !known || behind > 5*time.Second {
		t.Errorf("the recorder left entries %v old", behind)
	}
}

// TestFaultSoakWithDyingServers polls for five minutes while each server of
// standalone is killed in turn. Nothing may be lost, and a kill may cost a device at most one slot.
func TestFaultSoakWithDyingServers(t *testing.T) {
	t.Parallel()
	const devices, soak, killEvery = 300, 5 * time.Minute, 35 * time.Second
	in := install(t)
	f := startFleet(t, in.dir, devices, 8, 10, 0)
	p := in.run("standalone")
	adding := time.Now()
	added := f.add(in.store)
	polled(t, p, 3*devices)
	calm := p.scrape()
	var kills []span
	for n := 0; time.Since(added) < soak; n++ {
		name := []string{"redis-server", "rrdcached"}[n%2]
		killed := time.Now()
		pid := in.child(name)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", name, err)
		}
		until(t, time.Minute, name+" runs again", func() bool { now := in.child(name); return now != pid && running(now) })
		kills = append(kills, span{killed, time.Now().Add(10 * time.Second)})
		pass(t, "the next kill", killed.Add(killEvery))
	}
	end := time.Now()
	redis := in.redis()
	logged := f.checkJournal(journalEntries(t, redis), append(kills, f.offered(adding, added))...)
	checkQueues(t, redis)
	missed, worst := f.missing(logged.up, added, end)
	t.Logf("%d kills in %v: %d of %d slots missed, at most %d of a device", len(kills), end.Sub(added).Round(time.Second), len(missed), len(f.slots(added, end)), worst)
	if worst > len(kills) || len(missed) > len(kills)*devices/10 {
		t.Errorf("%d slots were missed: %v", len(missed), some(missed))
	}
	m := p.scrape()
	logWork(t, "standalone", m)
	if cut := m.sum("pollux_journal_cut_total"); cut > 0 {
		t.Errorf("%g entries of the log were cut", cut)
	}
	if before, now := calm.sum("go_goroutines"), m.sum("go_goroutines"); now > 1.2*before+20 {
		t.Errorf("%.0f goroutines, %.0f before the kills", now, before)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
	f.stop()
	reads := f.reads()
	f.polledTwice(reads, logged)
	in.checkInventory(f)
	ports, to := f.pick(in.store, in.place.RRDBase, 100), end.Unix()/10*10-20
	checkAccuracy(t, f.compare(ports, f.fetch("", ports, added.Unix()-60, to), f.recorded(reads, logged.up), to), strict, 100*2*20)
}

// TestFaultZombieWriter freezes a consumer in the middle of polls for 30 s. The
// other one polls its devices meanwhile; what the frozen one still holds when it
// goes on is refused, and it works on.
func TestFaultZombieWriter(t *testing.T) {
	t.Parallel()
	const frozen = 30 * time.Second
	d := deploy(t, polluxtest.PostgreSQL(t))
	f := startFleet(t, d.dir, clusterDevices, 8, 10, 120*time.Millisecond)
	p1, c1, c2 := d.run("producer", "p1"), d.run("consumer", "c1"), d.run("consumer", "c2")
	consumers := newTotal(c1, c2)
	adding := time.Now()
	added := f.add(d.store)
	untilEvery(t, time.Second, 2*time.Minute, "two polls of each device", func() bool { return consumers.sum("pollux_polls_total") >= 2*clusterDevices })
	until(t, time.Minute, "polls under way", func() bool { return c1.scrape().sum("pollux_polls_in_flight") >= 3 })
	before := c1.scrape()
	c1.signal(syscall.SIGSTOP)
	stopped := time.Now()
	pass(t, "the consumer was frozen for long enough", stopped.Add(frozen))
	c1.signal(syscall.SIGCONT)
	resumed := time.Now()
	polled(t, c1, int(before.sum("pollux_polls_total"))+2*clusterDevices/2)

	end := time.Now()
	after := c1.scrape().since(before)
	client := d.client()
	logged := f.checkJournal(journalEntries(t, client), f.offered(adding, added))
	refused := 0.0
	for _, name := range []string{"pollux_polls_skipped_total", "pollux_task_repeats_total"} {
		for series, n := range after {
			if n > 0 && strings.HasPrefix(series, name) {
				t.Logf("%s: %g", series, n)
				refused += n
			}
		}
	}
	expired := after.sum("pollux_polls_total", `result="expired"`)
	missed, worst := f.missing(logged.up, added, end)
	t.Logf("frozen with %.0f polls under way for %v: %.0f late results refused, %.0f tasks expired, %d slots missed, at most %d of a device",
		before.sum("pollux_polls_in_flight"), resumed.Sub(stopped).Round(time.Second), refused, expired, len(missed), worst)
	if refused+expired == 0 {
		t.Error("the frozen consumer's late results were not refused")
	}
	if worst > 1 {
		t.Errorf("the frozen consumer cost a device %d slots: %v", worst, some(missed))
	}
	checkQueues(t, client)
	consumers.sum("pollux_polls_total")
	consumers.log(t)
	d.drain(p1, c1, c2)
	f.stop()
	reads := f.reads()
	f.polledTwice(reads, logged)
	d.checkRates(f, client, f.recorded(reads, logged.up), added, end)
}
