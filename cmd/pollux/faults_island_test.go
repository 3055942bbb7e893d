//go:build faults

package main_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
)

const (
	// refusesWithin is how long a master that is cut off may take writes: min-replicas-max-lag, and two looks of a second.
	refusesWithin = 13 * time.Second
	// idleWithin is how long a consumer may work with it.
	idleWithin = 20 * time.Second
)

// partitioned is a cluster whose master, one Sentinel and the consumer c1 stand on an island.
type partitioned struct {
	*redisFault
	island  *island
	watched *polluxtest.Failover
	c1      *process
	own     []string // environment of a process on the island
}

func beforeThePartition(t *testing.T) *partitioned {
	t.Helper()
	x := &partitioned{island: newIsland(t)}
	x.watched = polluxtest.Sentinels(t, polluxtest.SentinelOptions{Place: x.island.first})
	x.redisFault = &redisFault{deployment: deployAt(t, polluxtest.MariaDB(t), x.watched.Config()), parted: true, servers: x.watched.Nodes}
	// The database listens on the loopback interface, which is another one on the island.
	database := polluxtest.NewProxyAt(t, mainlandSide, net.JoinHostPort(x.where.Host, strconv.Itoa(int(x.where.Port))), polluxtest.Relay{})
	host, port, _ := net.SplitHostPort(database.Address)
	x.own = append(append(x.own, x.env...), "NODE_ID=c1", "DB_HOST="+host, "DB_PORT="+port, "POLLUX_OPS_LISTEN="+net.JoinHostPort(islandSide, "0"))
	x.fleet = startCanaries(t, sideDevices, x.dir, "sim", redisDevices, 4, redisInterval, 120*time.Millisecond)
	x.producers = []*process{x.run("producer", "p1"), x.run("producer", "p2")}
	x.c1 = startCommand(t, x.dir, "c1", x.island.move(command(t, x.dir, x.own, "consumer"))).ready()
	x.consumers = newTotal(x.c1, x.run("consumer", "c2"), x.run("consumer", "c3"))
	x.load()
	return x
}

// TestFaultSentinelPartition cuts off the master together with one Sentinel and
// one consumer for two minutes. The others get another master and go on; the old one refuses
// writes, so that the consumer beside it does nothing that counts; afterwards all
// work without a restart.
func TestFaultSentinelPartition(t *testing.T) {
	t.Parallel()
	if !inOwnNetwork(t) {
		return
	}
	x := beforeThePartition(t)
	old := x.watched.Master()
	if old != x.watched.Nodes[0] {
		t.Fatal("the master is not on the island")
	}
	var flying, before float64
	until(t, time.Minute, "polls are under way on c1", func() bool {
		m := x.c1.scrape()
		flying, before = m.sum("pollux_polls_in_flight"), m.sum("pollux_polls_total")
		return flying >= 3
	})
	faulted := x.island.cut()
	x.failover(x.watched, old, faulted)
	x.refuses(old, faulted)
	pass(t, "c1 has noticed", faulted.Add(idleWithin))
	done := x.c1.scrape().sum("pollux_polls_total")
	x.polledByTheOthers(2)
	x.checkDoctor()
	pass(t, "the island was cut off for long enough", faulted.Add(partition))
	x.refuses(old, time.Now())
	if now := x.c1.scrape().sum("pollux_polls_total"); now != done {
		t.Errorf("c1 finished %.0f polls more than %v after the cut", now-done, idleWithin)
	}
	t.Logf("c1 had %.0f polls under way at the cut and finished %.0f after it", flying, done-before)

	// What c1 finished then stands in the old master only, so the others poll such a slot again if it lasts.
	x.twice, x.atOnce = []span{{faulted.Add(-time.Second), faulted.Add(refusesWithin)}}, flying+done-before
	healed := x.island.heal()
	until(t, time.Minute, "c1 polls again", func() bool { return x.c1.scrape().sum("pollux_polls_total") > done })
	took := time.Since(healed)
	t.Logf("c1 polled again %v after the island was connected", took.Round(10*time.Millisecond))
	if took > returns {
		t.Errorf("c1 polled again only %v after the island was connected", took)
	}
	until(t, time.Minute, "the old master is a replica", func() bool { return old.InfoField("role") == "slave" })
	x.watched.Complete(2 * time.Minute)
	x.polledAgain(3)
	for _, p := range x.all() {
		if !p.alive() || !p.isReady() {
			t.Errorf("%s is alive: %t, ready: %t", p.name, p.alive(), p.isReady())
		}
	}
	x.after(faulted, resumed, 1)
}

// refuses waits until the master that is cut off refuses writes, and fails the test when that takes too long.
func (x *partitioned) refuses(old *polluxtest.Server, since time.Time) {
	x.t.Helper()
	until(x.t, time.Minute, "the old master refuses writes", func() bool {
		_, err := old.Ask("SET", "pollux:probe", "x")
		return err != nil && strings.HasPrefix(err.Error(), "NOREPLICAS")
	})
	took := time.Since(since)
	x.t.Logf("the old master refused writes %v later", took.Round(10*time.Millisecond))
	if took > refusesWithin {
		x.t.Errorf("the old master took writes for %v", took)
	}
}

// polledByTheOthers waits until the consumers beside c1 have polled each device some times.
func (x *partitioned) polledByTheOthers(times int) {
	x.t.Helper()
	others := newTotal(x.consumers.nodes[1:]...)
	from := others.sum("pollux_polls_total")
	untilEvery(x.t, time.Second, time.Minute, "the others poll all devices", func() bool {
		return others.sum("pollux_polls_total") >= from+float64(times*x.fleet.devices)
	})
}

// checkDoctor fails the test unless an operator on the island learns what is wrong.
func (x *partitioned) checkDoctor() {
	x.t.Helper()
	doctor := x.island.move(command(x.t, x.dir, x.own, "doctor"))
	out, err := doctor.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "1 of 3 Sentinels answered, 2 must agree on the master of mymaster") {
		x.t.Errorf("the doctor on the island ends with %v and says:\n%s", err, out)
	}
}
