package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/secret"
	"pollux/standalone"
	"pollux/store"
)

// installation is a data directory of pollux standalone, prepared as an operator does.
type installation struct {
	t     testing.TB
	dir   string // working directory and logs
	data  string
	place standalone.Place
	store *store.Store
}

func install(t testing.TB) *installation {
	t.Helper()
	dir := shortDir(t)
	in := &installation{t: t, dir: dir, data: filepath.Join(dir, "d")}
	if err := os.Mkdir(in.data, 0o700); err != nil {
		t.Fatal(err)
	}
	key, _, err := config.Identity(in.data, secret.Key{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if in.place, err = standalone.Locate(in.data); err != nil {
		t.Fatal(err)
	}
	cli(t, dir, nil, "--data-dir", in.data, "migrate", "up")
	cli(t, dir, nil, "--data-dir", in.data, "config", "set", "rrd.rra", testArchives)
	database := config.Database{Connection: config.SQLite, Name: filepath.Join(in.data, "pollux.db")}
	if in.store, err = store.Open(t.Context(), database, key, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.store.Close() })
	return in
}

// run starts standalone on the data directory and waits until it serves.
func (in *installation) run(name string) *process {
	in.t.Helper()
	return start(in.t, in.dir, name, nil, "--data-dir", in.data, "standalone").ready()
}

func (in *installation) redis() cluster.Client {
	in.t.Helper()
	return openRedis(in.t, config.Redis{Socket: in.place.RedisSocket})
}

func TestStandaloneMeasuresEveryRate(t *testing.T) {
	t.Parallel()
	in := install(t)
	f := startFleet(t, in.dir, 300, 24, 10, 0)
	p := in.run("standalone")
	adding := time.Now()
	added := f.add(in.store)
	polled(t, p, 2*300) // the slots in which the devices were added are over then
	before := p.scrape()
	polledUntil(t, p, added.Add(wholeRun))
	redis, now := in.redis(), time.Now()
	logged := f.checkJournal(journalEntries(t, redis), f.offered(adding, added))
	judged := f.finishedOnce(logged.up, added, now)
	if judged < 6*300 {
		t.Errorf("only %d slots could be judged, want 60 s of each device", judged)
	}
	checkQueues(t, redis)
	m := p.scrape()
	checkQuiet(t, m, before)
	logWork(t, "standalone", m)

	to := now.Unix()/10*10 - 20
	ports := f.pick(in.store, in.place.RRDBase, 100)
	files := f.fetch(in.place.RRDCached, ports, added.Unix()-60, to)
	stopped := time.Now()
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
	f.stop()
	reads := f.reads()
	polls := f.polls(reads)
	if missed, _ := f.missing(polls, added, stopped); len(missed) > 0 {
		t.Errorf("%d of %d slots were not polled: %v", len(missed), len(f.slots(added, stopped)), some(missed))
	}
	f.polledTwice(reads, logged)
	checkAccuracy(t, f.compare(ports, files, reads, logged, to), strict, 100*2*5)
}

// child is the process id of a server that standalone runs, 0 for none.
func (in *installation) child(name string) int {
	return pidIn(filepath.Join(in.place.Run, name+".child.pid"))
}

func TestStandaloneGoesOnWithItsData(t *testing.T) {
	t.Parallel()
	const devices = 60
	in := install(t)
	f := startFleet(t, in.dir, devices, 8, 10, 30*time.Millisecond)
	first := in.run("first")
	adding := time.Now()
	added := f.add(in.store)
	polled(t, first, 2*devices)
	stopped := time.Now()
	if code := first.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
	second := in.run("second")
	restarted := leading(t, second)
	t.Logf("stopped and started again in %v", restarted.Sub(stopped).Round(time.Millisecond))
	polled(t, second, 3*devices)

	until(t, time.Minute, "polls under way", func() bool { return second.scrape().sum("pollux_polls_in_flight") >= 1 })
	former := map[string]int{"redis-server": in.child("redis-server"), "rrdcached": in.child("rrdcached")}
	killed := time.Now()
	second.end(syscall.SIGKILL)
	third := in.run("third")
	revived := leading(t, third)
	for name, pid := range former {
		until(t, time.Minute, "the former "+name+" is gone", func() bool { return !running(pid) })
		if now := in.child(name); now == 0 || now == pid {
			t.Errorf("%s has the process id %d, before it was %d", name, now, pid)
		}
	}
	polled(t, third, 4*devices)
	t.Logf("offered polls %v after the kill", revived.Sub(killed).Round(time.Millisecond))
	logWork(t, "third", third.scrape())
	checkQueues(t, in.redis())
	end := time.Now()
	logged := f.checkJournal(journalEntries(t, in.redis()), f.offered(adding, added), span{stopped, restarted}, span{killed, revived})
	if code := third.end(syscall.SIGTERM); code != 0 {
		t.Errorf("standalone ended with %d", code)
	}
	f.stop()
	reads := f.reads()
	in.checkInventory(f)
	f.polledTwice(reads, logged)
	f.checkPart("before and around the second start", logged, added, killed.Add(-20*time.Second))
	f.checkPart("around the kill", logged, killed.Add(-20*time.Second), end)
	// The daemon wrote everything out when it was stopped: the files are read as they are.
	ports, to := f.pick(in.store, in.place.RRDBase, 40), end.Unix()/10*10-20
	checkAccuracy(t, f.compare(ports, f.fetch("", ports, added.Unix()-60, to), reads, logged, to), delayed, 40*2*4)
}

// checkPart fails the test when a device missed more than one slot in a part of the run.
func (f *fleet) checkPart(what string, logged history, from, to time.Time) {
	f.t.Helper()
	missed, worst := f.missing(logged.all, from, to)
	f.t.Logf("%s: %d of %d slots missed, at most %d of a device", what, len(missed), len(f.slots(from, to)), worst)
	if worst > 1 {
		f.t.Errorf("%s a device missed %d slots: %v", what, worst, some(missed))
	}
}

// leading waits until a process leads, and returns when that was.
func leading(t testing.TB, p *process) time.Time {
	t.Helper()
	until(t, startLimit, p.name+" leads", func() bool { return leads(p) })
	return time.Now()
}

// wholeRun is 60 s of each device, whose slots begin at different times, and the
// two slots at the end that RRDCached may not have.
const wholeRun = 85 * time.Second

// polledUntil waits until a process has gone on polling up to a time.
func polledUntil(t testing.TB, p *process, end time.Time) {
	t.Helper()
	for time.Now().Before(end) {
		polled(t, p, int(p.scrape().sum("pollux_polls_total"))+1)
	}
}

// polled waits until a process has done so many polls since it began.
func polled(t testing.TB, p *process, polls int) {
	t.Helper()
	untilEvery(t, time.Second, 3*time.Minute, fmt.Sprintf("%s has done %d polls", p.name, polls), func() bool {
		return p.scrape().sum("pollux_polls_total") >= float64(polls)
	})
}

// checkInventory fails the test unless the inventory holds each device once, up, and each of its files once.
func (in *installation) checkInventory(f *fleet) {
	in.t.Helper()
	all, err := in.store.Devices(in.t.Context(), store.Filter{Limit: 10_000})
	if err != nil {
		in.t.Fatal(err)
	}
	if len(all) != f.devices {
		in.t.Errorf("the inventory has %d devices, want %d", len(all), f.devices)
	}
	for _, d := range all {
		if d.Status != device.StatusUp || d.Generation != 0 {
			in.t.Errorf("device %d is %s, generation %d: %s", d.ID, d.Status, d.Generation, d.StatusReason)
		}
	}
	files, err := filepath.Glob(filepath.Join(in.place.RRDBase, "sim-*", "*.rrd"))
	if err != nil {
		in.t.Fatal(err)
	}
	ports := 0
	for _, file := range files {
		if strings.Contains(file, "/port-id") {
			ports++
		}
	}
	if ports != f.devices*f.ports {
		in.t.Errorf("there are %d files of ports, want %d", ports, f.devices*f.ports)
	}
}
