//go:build e2e && faults

package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/device"
	"pollux/store"
	"pollux/tasks"
)

// make e2e: docker-compose.yml as it is, with images made on this machine. Its
// devices write down what they answered, as those of the other fault tests do,
// and every slot and every rate is judged by that.

const (
	e2eDevices  = 200 // polled every 20 s, in two poller groups
	e2eInterval = 20
	e2eSlow     = 20 // polled every e2eLong, in group 0
	e2eLong     = 300
	e2ePorts    = 4
	// settling is how long after a fault the next one comes: an asynq lease, a lease of the leader and a slot are over.
	settling = 35 * time.Second
)

// TestComposeCluster starts the stack, scales it, takes away one part after the
// other, fires each alert, and judges what was polled and filed meanwhile.
func TestComposeCluster(t *testing.T) {
	s := newStack(t)
	s.compose("up", "-d")
	s.healthy(5 * time.Minute)
	s.compose("up", "-d", "--scale", "consumer=5")
	scaled := time.Now()
	slow := s.addSlow()
	s.share(scaled.Add(time.Minute))
	s.healthy(2 * time.Minute)
	s.watched(time.Minute)
	s.monitored()
	fleets := []*fleet{s.fleet("demo", 0), s.fleet("slow", e2eDevices)}
	logs := s.followLogs()
	calm := time.Now()
	s.t.Logf("%s: all is calm", clock(calm))

	ends := []time.Time{calm}
	for _, fault := range []func(){s.killConsumer, s.killLeader, s.killRRDCached, s.killMaster} {
		fault()
		pass(t, "the cluster has settled", time.Now().Add(settling))
		ends = append(ends, time.Now())
	}
	s.silent(3 * time.Minute) // of what the kills may have fired
	s.causes(slow)
	ends = append(ends, time.Now())

	// From here on slots are missed: both need that many are.
	s.latecomers()
	s.leaderless()
	s.silent(4 * time.Minute)
	s.panels()
	s.healthy(2 * time.Minute)
	s.watched(time.Minute)
	s.restarts()
	s.judge(fleets, logs, ends)
}

// addSlow adds the devices with a long interval, and returns their ids.
func (s *stack) addSlow() (ids []int64) {
	s.t.Helper()
	lines := "hostname,address,port,version,community,group,interval\n"
	for i := range e2eSlow {
		lines += fmt.Sprintf("slow-%02d,simulator,%d,v2c,public,0,%d\n", i, 20000+e2eDevices+i, e2eLong)
	}
	s.polluxWith(lines, "device", "add", "--csv", "-")
	for i := range e2eSlow {
		d, err := s.inventory().DeviceByHostname(s.t.Context(), fmt.Sprintf("slow-%02d", i))
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// share waits until all devices are up and every one of the five consumers has polled some.
func (s *stack) share(until time.Time) {
	s.t.Helper()
	s.holds(time.Until(until), `count(sum by (instance) (pollux_polls_total{result="up"}) > 0)`, "5")
	untilEvery(s.t, time.Second, time.Until(until), "all devices are up", func() bool {
		up, err := s.inventory().Devices(s.t.Context(), store.Filter{Status: device.StatusUp, Limit: 1000})
		return err == nil && len(up) == e2eDevices+e2eSlow
	})
	s.t.Logf("%s: five consumers share %d devices", clock(time.Now()), e2eDevices+e2eSlow)
}

// fleet is what judges the devices of a name: their ids, and where their
// answers are written down. first is the number of the first one in the simulation.
func (s *stack) fleet(name string, first int) *fleet {
	s.t.Helper()
	f := &fleet{t: s.t, name: name, first: first, devices: e2eDevices, ports: e2ePorts, interval: e2eInterval, answers: filepath.Join(s.env["E2E_ANSWERS"], "log")}
	number := func(i int) string { return fmt.Sprintf("demo-%04d", i+1) }
	if name == "slow" {
		f.devices, f.interval = e2eSlow, e2eLong
		number = func(i int) string { return fmt.Sprintf("slow-%02d", i) }
	}
	now := time.Now()
	for i := range f.devices {
		d, err := s.inventory().DeviceByHostname(s.t.Context(), number(i))
		if err != nil {
			s.t.Fatal(err)
		}
		if d.Interval != f.interval {
			s.t.Fatalf("%s is polled every %d s, want %d", d.Hostname, d.Interval, f.interval)
		}
		f.ids, f.added = append(f.ids, d.ID), append(f.added, now)
	}
	return f
}

// followLogs reads the journal of each Redis: what a master took and lost is expected too.
func (s *stack) followLogs() (logs []*logTail) {
	s.t.Helper()
	for n := 1; n <= 3; n++ {
		logs = append(logs, followLog(s.t, openRedis(s.t, s.redis(n)), journalStream))
	}
	return logs
}

func (s *stack) killConsumer() { s.kill(s.running("consumer")[0], func() {}) }

func (s *stack) killLeader() {
	s.t.Helper()
	leading := ""
	for _, n := range s.nodes("producer") {
		if n.Leader {
			leading = n.Host
		}
	}
	for _, c := range s.running("producer") {
		if c.host() == leading {
			s.kill(c, func() {})
			s.holds(time.Minute, "sum(pollux_leader)", "1")
			return
		}
	}
	s.t.Fatalf("the leader %q is no container", leading)
}

// killRRDCached kills one, and looks at what that left in its files.
func (s *stack) killRRDCached() {
	s.t.Helper()
	base := s.tree("rrd-1")
	s.kill(s.running("rrdcached-1")[0], func() { s.kills = append(s.kills, kill{base, leftIn(s.t, base)}) })
}

func (s *stack) killMaster() {
	s.t.Helper()
	s.kill(s.running("redis-" + strconv.Itoa(s.master()))[0], func() {})
}

// causes brings about six alerts at once: a consumer is cut off from the network
// for two minutes, an RRDCached hangs as long, a queue of slow devices is paused,
// a task fails, and a poller group has nobody.
func (s *stack) causes(slow []int64) {
	s.t.Helper()
	cut, hung := s.running("consumer")[4], s.running("rrdcached-2")[0]
	s.polluxWith("hostname,address,port,version,community,group,interval\nlonely,simulator,20290,v2c,public,0,300\n", "device", "add", "--csv", "-")
	s.pollux("group", "create", "nobody")
	s.malformed()

	// A slot of a slow device begins soon, so that a task waits in the paused queue at once.
	soonest := time.Now().Add(time.Hour)
	for _, id := range slow {
		next := device.SlotAt(id, e2eLong, time.Now().Unix()+5) + e2eLong
		soonest = time.Unix(min(soonest.Unix(), next), 0)
	}
	pass(s.t, "a slot of a slow device begins", soonest.Add(-2*time.Second))
	since := time.Now()
	s.t.Logf("%s: a consumer is cut off, an RRDCached hangs, a queue is paused, a task fails, a group has nobody", clock(since))
	s.pollux("queue", "pause", "poller:0")
	s.network(cut, false)
	s.docker("pause", hung.ID)
	s.pollux("device", "set", "lonely", "--group", "nobody")
	s.fires(since, "NodeDown", "GroupUncovered", "QueueBacklog", "ArchivedTasks", "JournalGrowing", "RRDCachedDown")
	pass(s.t, "two minutes are over", since.Add(2*time.Minute))
	s.docker("unpause", hung.ID)
	s.network(cut, true)
	s.pollux("queue", "resume", "poller:0")
	s.pollux("node", "set", s.nodes("consumer")[0].NodeID, "--groups", "0,1,2,3")
	if out := s.pollux("queue", "clear", "poller:1"); !strings.Contains(out, "poller:1: 1 failed task deleted\n") || !strings.Contains(out, "malformed") {
		s.t.Errorf("queue clear says %q", out)
	}
	s.silent(4 * time.Minute)
	s.t.Logf("%s: all six are over", clock(time.Now()))
	s.healthy(2 * time.Minute)
}

// malformed puts a task into a queue that no consumer can read.
func (s *stack) malformed() {
	s.t.Helper()
	at := s.redis(s.master())
	login := asynq.RedisClientOpt{Addr: fmt.Sprintf("%s:%d", at.Host, at.Port), Username: at.Username, Password: at.Password.Reveal()}
	client := asynq.NewClient(login)
	defer client.Close()
	if _, err := client.EnqueueContext(s.t.Context(), asynq.NewTask(tasks.TypePoll, []byte("not JSON")), asynq.Queue("poller:1")); err != nil {
		s.t.Fatal(err)
	}
}

// leaderless freezes both producers until the alert fires.
func (s *stack) leaderless() {
	s.t.Helper()
	producers := s.running("producer")
	since := time.Now()
	s.t.Logf("%s: nobody leads", clock(since))
	for _, c := range producers {
		s.docker("pause", c.ID)
	}
	s.fires(since, "NoLeader")
	for _, c := range producers {
		s.docker("unpause", c.ID)
	}
	s.holds(time.Minute, "sum(pollux_leader)", "1")
}

// latecomers has polls begin late: their queues are paused most of the time, until the alert fires.
func (s *stack) latecomers() {
	s.t.Helper()
	since := time.Now()
	s.t.Logf("%s: polls begin late", clock(since))
	queues := []string{"poller:1", "poller:2"}
	for !slices.Contains(s.firing(), "LatenessHigh") {
		if time.Since(since) > alertLimit {
			s.t.Fatalf("after %v LatenessHigh does not fire", alertLimit)
		}
		for _, queue := range queues {
			s.pollux("queue", "pause", queue)
		}
		pass(s.t, "tasks have waited", time.Now().Add(15*time.Second))
		for _, queue := range queues {
			s.pollux("queue", "resume", queue)
		}
		pass(s.t, "the tasks are taken", time.Now().Add(3*time.Second))
	}
	s.t.Logf("%s: LatenessHigh fires %v after its cause", clock(time.Now()), time.Since(since).Round(time.Second))
}

// restarts fails the test when a container was started again that was not killed.
func (s *stack) restarts() {
	s.t.Helper()
	byService := map[string]int{}
	for _, c := range s.containers("") {
		byService[c.Service] += c.Restarts
	}
	redis := byService["redis-1"] + byService["redis-2"] + byService["redis-3"]
	for service, n := range byService {
		want := 0
		switch service {
		case "consumer", "producer", "rrdcached-1":
			want = 1
		case "redis-1", "redis-2", "redis-3":
			n, want = redis, 1
		}
		if n != want {
			s.t.Errorf("%s was started again %d times, want %d", service, n, want)
		}
	}
}

// judge holds what the devices answered against the slots and against both trees.
func (s *stack) judge(fleets []*fleet, logs []*logTail, ends []time.Time) {
	s.t.Helper()
	s.holds(time.Minute, "max(pollux_journal_lag_seconds) < bool 5", "1")
	logged := map[slot]tailed{}
	for _, log := range logs {
		log.stop()
		for _, e := range log.entries() {
			if _, there := logged[e.slot]; !there {
				logged[e.slot] = e
			}
		}
	}
	// Slots of the long interval outlast even what was done at the end.
	parts := map[*fleet][]time.Time{fleets[0]: ends, fleets[1]: append(slices.Clone(ends), time.Now())}
	s.docker("stop", "-t", "30", s.running("simulator")[0].ID) // completes its log
	for f, ends := range parts {
		s.judgeSlots(f, logged, ends)
	}
	for _, n := range []string{"1", "2"} {
		s.docker("stop", "-t", "120", s.running("rrdcached-" + n)[0].ID) // writes everything out
		for f, ends := range parts {
			// What was measured in the slots after the end is not compared.
			kept, to := maps.Clone(logged), ends[len(ends)-1]
			maps.DeleteFunc(kept, func(sl slot, _ tailed) bool { return sl.begin+2*e2eInterval > to.Unix() })
			base := s.tree("rrd-" + n)
			r := f.compareFiles(s.ports(f, base), kept, to, s.kills.of(base))
			s.t.Logf("%s in rrdcached-%s: %v", f.name, n, r)
			report(s.t, r.judge())
		}
	}
}

// judgeSlots fails the test when a fault costs a device more than one slot, or a slot was polled twice.
func (s *stack) judgeSlots(f *fleet, logged map[slot]tailed, ends []time.Time) {
	s.t.Helper()
	from, to := ends[0], ends[len(ends)-1]
	polled := map[slot]int{}
	for sl := range logged {
		polled[sl] = 1
	}
	missed := slotHistory{all: f.slots(from, to), polled: polled}.missed()
	for i := range ends[1:] {
		part := slices.DeleteFunc(slices.Clone(missed), func(m slot) bool { return m.begin < ends[i].Unix() || m.begin >= ends[i+1].Unix() })
		inRow, worst := worstRun(part, int64(f.interval))
		s.t.Logf("%s, fault %d: %d slots missed, at most %d of a device", f.name, i+1, len(part), worst)
		if worst > 1 || inRow > 1 {
			s.t.Errorf("%s, fault %d: a device missed %d slots: %v", f.name, i+1, worst, some(part))
		}
	}
	visits := slices.DeleteFunc(f.visits(), func(v visit) bool { return v.from.Before(from) || v.from.After(to) })
	if twice := repeated(visits); len(twice) > 0 {
		s.t.Errorf("%s: %d slots were polled twice: %v", f.name, len(twice), some(twice))
	}
	report(s.t, judgeVisits(visits))
	s.t.Logf("%s: %d of %d slots missed, %d polls seen by the devices", f.name, len(missed), len(f.slots(from, to)), len(visits))
}

// ports are all ports of the fleet, with their files in a tree.
func (s *stack) ports(f *fleet, base string) []sampledPort {
	s.t.Helper()
	return (&dataWorld{world: &world{deployment: &deployment{store: cmp.Or(s.store, s.inventory())}, t: s.t}}).allPorts(f, base)
}
