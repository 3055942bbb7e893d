//go:build faults

package main_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/polluxtest"
)

// The tests of data take away what stands between a measurement and its file:
// RRDCached, the recorder, Redis, the database. make faults-data runs them side by side. Each has a cluster of its own
// under a light load, and is judged by what the devices answered:
//
//	I3  each rate in each RRD file is that of the device, in every slot that was polled
//	I5  appended = recorded + counted cuts, for each target
//	I7  memory and goroutines of each process return to what they were
//
// and by I2 and I6 of the history checker.

const (
	dataDevices  = 50
	dataInterval = 20
	dataLatency  = 20 * time.Millisecond
	dataArchives = "AVERAGE:1x200 MAX:6x20"
)

// shortWindow are flags of rrdcached that hold an update for at most 20 s.
var shortWindow = []string{"-w", "6", "-z", "3", "-f", "10", "-t", "1"}

const shortWindowSum = 20 * time.Second

// lasting is how long an outage is: that of the promise, or a fifth of it in a short run.
func lasting(d time.Duration) time.Duration {
	if testing.Short() {
		return d / 5
	}
	return d
}

// dataWorld is a cluster whose measurements are judged.
type dataWorld struct {
	*world
	targets []*polluxtest.Server
	tail    *logTail
	kills   kills
	cut     map[string]map[slot]bool // what the journal gave up, and counted, before a target had it; by the target's address
}

// dataSetup is what differs between these worlds.
type dataSetup struct {
	targets []*polluxtest.Server // nil for one with shortWindow
	window  time.Duration        // of the targets; zero is that of shortWindow
	login   config.Redis         // of a Redis of another kind
	second  int                  // devices of a second fleet
}

// startingWorlds lets three worlds start at once: adding devices is more work than polling them.
var startingWorlds = make(chan struct{}, 3)

// newDataWorld starts a producer and two consumers, and waits until all is calm.
func newDataWorld(t *testing.T, database func(testing.TB) config.Database, s dataSetup) *dataWorld {
	t.Helper()
	if s.targets == nil {
		s.targets = []*polluxtest.Server{polluxtest.RRDCached(t, shortWindow...)}
	}
	d := &dataWorld{targets: s.targets, cut: map[string]map[slot]bool{}}
	var addresses []string
	for _, target := range s.targets {
		addresses = append(addresses, target.Address)
	}
	login := s.login
	var server *polluxtest.Server
	if login.Host == "" && len(login.Sentinels) == 0 {
		server = polluxtest.Redis(t)
		login = redisAt(t, server)
	}
	startingWorlds <- struct{}{}
	defer func() { <-startingWorlds }()
	d.world = newWorld(t, database, setup{
		devices: dataDevices, interval: dataInterval, latency: dataLatency, producers: 1, consumers: 2,
		simulate: []string{"--pattern", "steps", "--step-length", (dataInterval * time.Second).String()},
		second:   s.second, group: func(int) int64 { return 0 },
		deploy: func(database config.Database) *deployment {
			made := deployTo(t, database, login, s.targets[0], "RRDCACHED="+strings.Join(addresses, ","))
			made.redis = server
			cli(t, made.dir, made.env, "config", "set", "rrd.rra", dataArchives)
			cli(t, made.dir, made.env, "config", "set", "rrd.flush_window", fmt.Sprintf("%.0f", cmp.Or(s.window, shortWindowSum).Seconds()))
			return made
		},
		prepare: func(made *deployment) { d.tail = followLog(t, made.client(), journalStream) },
	})
	return d
}

// status is how the journal is.
func (w *dataWorld) status() (journal.Status, error) {
	return journal.New(w.client, 0).Status(w.t.Context())
}

// behind is how far the slowest target is behind; known is false while Redis does not tell.
func (w *dataWorld) behind() (lag time.Duration, known bool) {
	s, err := w.status()
	for _, target := range s.Targets {
		lag = max(lag, target.Lag)
	}
	return lag, err == nil && len(s.Targets) == len(w.targets)
}

// drained waits until every target has what the log holds, and returns how long
// that took from a moment on. An entry that is just being recorded does not count.
func (w *dataWorld) drained(from time.Time, limit time.Duration) time.Duration {
	w.t.Helper()
	until(w.t, limit+time.Minute, "every target has what the log holds", func() bool {
		lag, known := w.behind()
		return known && lag < time.Second
	})
	took := time.Since(from)
	if took > limit {
		w.t.Errorf("the log was drained after %v, it may take %v", took, limit)
	}
	return took.Round(100 * time.Millisecond)
}

// recorderOf is the consumer that records to a target; nil for none.
func (w *dataWorld) recorderOf(n int) *process {
	s, err := w.status()
	if err != nil || n >= len(s.Targets) {
		return nil
	}
	p := w.nodes[cluster.ParseHolder(s.Targets[n].Recorder).Name]
	if p == nil || !p.alive() {
		return nil
	}
	return p
}

// verdict is what a run cost.
type verdict struct {
	visits []visit
	missed []slot
	polled map[slot]int
	end    time.Time
	lines  int // that the log held for each target, cut ones included
}

// kept are the entries whose measurements must be in the files of a target.
func (w *dataWorld) kept(target *polluxtest.Server) map[slot]tailed {
	kept := map[slot]tailed{}
	for _, e := range w.tail.entries() {
		if !w.cut[target.Address][e.slot] {
			kept[e.slot] = e
		}
	}
	return kept
}

// judge ends a run, judges it, and logs its figures with what the test adds.
func (w *dataWorld) judge(figures string, wanted ...any) (v verdict) {
	w.t.Helper()
	w.settle()
	v.end = time.Now()
	w.drain(w.running("p")...)
	w.idle()
	w.drained(time.Now(), time.Minute)
	for _, p := range w.running("c") {
		w.watch.look(p)
	}
	status, err := w.status()
	must(w.t, err)
	w.drain(w.running("c")...)
	w.tail.stop()
	for _, f := range w.fleets() {
		if f.process.alive() {
			f.stop()
		}
		v.visits = append(v.visits, f.visits()...)
	}
	v.polled = map[slot]int{}
	for _, e := range w.tail.entries() {
		v.polled[e.slot]++
	}
	v.lines = linesIn(w.tail.entries())
	v.missed, _ = w.missing(v.polled, w.calmAt, v.end.Add(-5*time.Second))
	w.report(judgeVisits(v.visits, w.pardoned...))
	twice := repeated(v.visits, w.pardoned...)
	if len(twice) > 0 {
		w.t.Errorf("I2: %d slots were polled twice: %v", len(twice), some(twice))
	}
	w.t.Logf("figures: %d entries of %d lines appended, the longest gap of a device %v; %d of %d slots missed; %s", len(w.tail.entries()), v.lines, longestGap(v.polled),
		len(v.missed), len(w.slots(w.calmAt, v.end.Add(-5*time.Second))), fmt.Sprintf(figures, wanted...))
	w.judgeLines(v, status)
	for _, target := range w.targets {
		w.judgeTree(target, v.end)
	}
	return v
}

// idle waits until no poll is under way and none waits.
func (w *dataWorld) idle() {
	w.t.Helper()
	until(w.t, time.Minute, "the queue is empty", func() bool {
		for _, list := range []string{"pending", "active"} {
			if n, err := w.client.LLen(w.t.Context(), faultQueue+list).Result(); err != nil || n > 0 {
				return false
			}
		}
		return !slices.ContainsFunc(w.running("c"), func(p *process) bool { return p.scrape().sum("pollux_polls_in_flight") > 0 })
	})
}

// judgeTree is I3 for one target.
func (w *dataWorld) judgeTree(target *polluxtest.Server, end time.Time) {
	w.t.Helper()
	writeOut(w.t, target)
	for _, f := range w.fleets() {
		r := f.compareFiles(w.allPorts(f, target.Base), w.kept(target), end, w.kills.of(target.Base))
		w.t.Logf("figures: %s, %s: %v", target.Address, f.name, r)
		w.report(r.judge())
	}
}

// wholly fails the test when a slot was missed that began after a moment.
func (v verdict) wholly(t testing.TB, since time.Time) {
	t.Helper()
	if missed := slices.DeleteFunc(slices.Clone(v.missed), func(s slot) bool { return s.begin < since.Unix() }); len(missed) > 0 {
		t.Errorf("%d slots were missed: %v", len(missed), some(missed))
	}
}

// outside fails the test when a slot was missed after the first of some stretches of time began that touches none of them.
func (w *dataWorld) outside(v verdict, hit ...span) {
	w.t.Helper()
	for _, s := range v.missed {
		if s.begin+int64(w.interval) < hit[0].from.Unix() {
			continue // before the first fault
		}
		begin, end := time.Unix(s.begin, 0), time.Unix(s.begin+int64(w.interval), 0)
		if !slices.ContainsFunc(hit, func(h span) bool { return end.After(h.from) && begin.Before(h.to) }) {
			w.t.Errorf("slot %v was missed without a cause", s)
		}
	}
}

// lateness is how long after the beginnings of their slots polls began in a stretch of time, at the 95th percentile.
func (w *dataWorld) lateness(v verdict, during span) time.Duration {
	w.t.Helper()
	var all []time.Duration
	for _, visit := range v.visits {
		if begin := time.Unix(visit.begin, 0); begin.After(during.from) && begin.Before(during.to) && slices.Contains(w.ids, visit.device) {
			all = append(all, visit.from.Add(-w.latency/2).Sub(begin))
		}
	}
	if len(all) < w.devices/2 {
		w.t.Fatalf("only %d polls began from %v to %v", len(all), during.from, during.to)
	}
	slices.Sort(all)
	return all[len(all)*95/100].Round(time.Millisecond)
}

// unaffected fails the test when polls began later during an outage than before and after it:
// by half or 500 ms, whichever is more, since other clusters share the cores.
func (w *dataWorld) unaffected(v verdict, what string, during span) {
	w.t.Helper()
	before, then, after := w.lateness(v, span{w.calmAt, during.from}), w.lateness(v, during), w.lateness(v, span{during.to, v.end})
	w.t.Logf("figures: polls began %v late (p95) before, %v while %s, %v after", before, then, what, after)
	if calm := max(before, after); then > calm+max(calm/2, 500*time.Millisecond) {
		w.t.Errorf("polls began %v late (p95) while %s, %v before and %v after", then, what, before, after)
	}
}
