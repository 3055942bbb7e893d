//go:build faults

package main_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// These tests freeze and kill what a poll stands on, for longer than "make
// test" should take: make faults runs them.

// pass waits for a moment.
func pass(t testing.TB, what string, moment time.Time) {
	t.Helper()
	untilEvery(t, time.Second, time.Until(moment)+startLimit, what, func() bool { return !time.Now().Before(moment) })
}

// TestSoakWithDyingServers polls for five minutes while each server of
// standalone is killed in turn. Nothing may be lost, and a kill may cost a device at most one slot.
func TestSoakWithDyingServers(t *testing.T) {
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
	// One moment may have many polls in hand, of several goroutines each.
	most := 1.2*calm.sum("go_goroutines") + 20
	until(t, time.Minute, fmt.Sprintf("at most %.0f goroutines are left", most), func() bool { return p.scrape().sum("go_goroutines") <= most })
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
	f.stop()
	reads := f.reads()
	f.polledTwice(reads, logged)
	in.checkInventory(f)
	ports, to := f.pick(in.store, in.place.RRDBase, 100), end.Unix()/10*10-20
	checkAccuracy(t, f.compare(ports, f.fetch("", ports, added.Unix()-60, to), reads, logged, to), strict, 100*2*20)
}
