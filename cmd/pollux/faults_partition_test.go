//go:build faults

package main_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"pollux/config"
	"pollux/polluxtest"
)

const (
	partition = 2 * time.Minute
	returns   = 30 * time.Second // until a node that can reach everything again polls
)

// parted is a node, p1 and c1, that stands behind a proxy of one server.
type parted struct {
	*world
	proxy *polluxtest.Proxy
	hung  time.Time
}

// behind starts a world whose first node reaches one server through a proxy.
func behind(t *testing.T, database func(testing.TB) config.Database, proxied func(d *deployment) (target string), environ func(host, port, address string) []string) *parted {
	t.Helper()
	p := &parted{}
	p.world = newWorld(t, database, setup{
		producers: 2, consumers: 3,
		prepare: func(d *deployment) { p.proxy = polluxtest.NewProxy(t, proxied(d), polluxtest.Relay{}) },
		environ: func(name string) []string {
			if name != "p1" && name != "c1" {
				return nil
			}
			host, port, _ := net.SplitHostPort(p.proxy.Address)
			return environ(host, port, p.proxy.Address)
		},
	})
	return p
}

// part hangs the connection for half of the time, cuts it for the other half,
// and calls meanwhile in the middle of each.
func (p *parted) part(meanwhile func(how string)) (healed time.Time) {
	p.t.Helper()
	p.hung = time.Now()
	p.proxy.Hang()
	pass(p.t, "the connection hung for long enough", p.hung.Add(partition/4))
	meanwhile("hangs")
	pass(p.t, "the connection hung for long enough", p.hung.Add(partition/2))
	p.proxy.Cut()
	pass(p.t, "the connection was cut for long enough", p.hung.Add(partition*3/4))
	meanwhile("is cut")
	pass(p.t, "the connection was cut for long enough", p.hung.Add(partition))
	p.proxy.Pass()
	healed = time.Now()
	p.disturbed(p.hung, healed)
	return healed
}

// polls are what a node has done well.
func polls(p *process) float64 { return p.scrape().sum("pollux_polls_total", `result="up"`) }

// back waits until a node polls again, and returns after how long.
func (p *parted) back(node *process, healed time.Time) time.Duration {
	p.t.Helper()
	before := polls(node)
	until(p.t, 3*time.Minute, node.name+" polls again", func() bool { return polls(node) > before })
	took := time.Since(healed)
	if took > returns {
		p.t.Errorf("%s polled again %v after its connection came back", node.name, took)
	}
	return took
}

// TestFaultPartedFromRedis parts a producer and a consumer from Redis for two
// minutes. Others lead and poll; the node comes back by itself.
func TestFaultPartedFromRedis(t *testing.T) {
	t.Parallel()
	p := behind(t, polluxtest.MariaDB, func(d *deployment) string { return d.redis.Address },
		func(host, port, _ string) []string { return []string{"REDIS_HOST=" + host, "REDIS_PORT=" + port} })
	c1, led := p.nodes["c1"], leads(p.nodes["p1"])
	flying := p.underWay(c1, 1)
	healed := p.part(func(how string) {
		if leads(p.nodes["p1"]) || !leads(p.nodes["p2"]) {
			t.Errorf("while the connection %s: p1 leads %t, p2 leads %t", how, leads(p.nodes["p1"]), leads(p.nodes["p2"]))
		}
		before := polls(c1)
		p.healed("the other nodes poll all devices", time.Now().Add(-5*time.Second), 1)
		if now := polls(c1); now > before {
			t.Errorf("while the connection %s: c1 polled %.0f devices", how, now-before)
		}
	})
	took := p.back(c1, healed)
	p.healed("all devices are polled in a whole slot", healed, 1)
	o := p.finish("parted from Redis for %v with %.0f polls under way (p1 led: %t); back after %v", partition, flying, led, took.Round(time.Millisecond))
	if o.inRow > 1 {
		t.Errorf("a device missed %d slots in a row", o.inRow)
	}
	p.checkRecorded(o)
}

// TestFaultPartedFromRRDCached parts the node whose recorder works from RRDCached. Another one records.
func TestFaultPartedFromRRDCached(t *testing.T) {
	t.Parallel()
	proxies := map[string]*polluxtest.Proxy{"c1": nil, "c2": nil, "c3": nil}
	p := &parted{world: newWorld(t, polluxtest.PostgreSQL, setup{
		producers: 2, consumers: len(proxies),
		prepare: func(d *deployment) {
			for name := range proxies {
				proxies[name] = polluxtest.NewProxy(t, d.rrd.Address, polluxtest.Relay{})
			}
		},
		environ: func(name string) []string {
			if proxies[name] == nil {
				return nil
			}
			return []string{"RRDCACHED=" + proxies[name].Address}
		},
	})}
	node := p.recording()
	p.proxy = proxies[node.name]
	var worst time.Duration
	healed := p.part(func(how string) {
		began := time.Now()
		untilEvery(t, time.Second, time.Minute, "another node records while the connection "+how, func() bool {
			behind, _ := lag(t, p.client)
			return behind < 5*time.Second
		})
		worst = max(worst, time.Since(began))
		if heir := p.recording(); heir == node {
			t.Errorf("while its connection %s %s records", how, node.name)
		}
	})
	took := p.back(node, healed)
	p.healed("all devices are polled in a whole slot", healed, 1)
	o := p.finish("%s, which recorded, parted from RRDCached for %v; 30 s later the log was at most 5 s behind after %v more; back after %v",
		node.name, partition, worst.Round(time.Second), took.Round(time.Millisecond))
	if o.missed > 0 || len(o.again) > 0 {
		t.Errorf("%d slots were missed, %d tasks came again", o.missed, len(o.again))
	}
	p.checkRecorded(o)
}

// recording is the consumer whose recorder sends lines.
func (p *parted) recording() (node *process) {
	p.t.Helper()
	accepted := func(node *process) float64 { return node.scrape().sum("pollux_rrd_updates_total", `result="accepted"`) }
	before := map[*process]float64{}
	for _, c := range p.running("c") {
		before[c] = accepted(c)
	}
	until(p.t, time.Minute, "a node records", func() bool {
		for c, lines := range before {
			if accepted(c) > lines {
				node = c
			}
		}
		return node != nil
	})
	return node
}

// TestFaultPartedFromDatabase parts a producer that leads and a consumer from
// the database: they go on with what they know.
func TestFaultPartedFromDatabase(t *testing.T) {
	t.Parallel()
	p := behind(t, polluxtest.PostgreSQL, func(d *deployment) string {
		return net.JoinHostPort(p127, strconv.Itoa(d.databasePort()))
	}, func(host, port, _ string) []string { return []string{"DB_HOST=" + host, "DB_PORT=" + port} })
	c1 := p.nodes["c1"]
	healed := p.part(func(how string) {
		before := polls(c1)
		until(t, time.Minute, "c1 polls while its connection "+how, func() bool { return polls(c1) > before+10 })
		if p.leader() != p.nodes["p1"] {
			t.Log("p1 does not lead")
		}
	})
	took := p.back(c1, healed)
	p.healed("all devices are polled in a whole slot", healed, 1)
	copies := c1.scrape().sum("pollux_poll_targets_total", `source="copy"`)
	o := p.finish("parted from the database for %v; %.0f polls by copies; saved again after %v", partition, copies, took.Round(time.Millisecond))
	if copies == 0 {
		t.Error("no target was a copy: the fault did not bite")
	}
	if o.missed > 0 || len(o.again) > 0 {
		t.Errorf("%d slots were missed, %d tasks came again", o.missed, len(o.again))
	}
	p.checkRecorded(o)
}

const p127 = "127.0.0.1"

// databasePort is the port of the cluster's database.
func (d *deployment) databasePort() (port int) {
	for _, pair := range d.env {
		if n, _ := fmt.Sscanf(pair, "DB_PORT=%d", &port); n == 1 {
			return port
		}
	}
	d.t.Fatal("the cluster has no DB_PORT")
	return 0
}
