package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/polluxtest"
)

// orderLimit is twice the time within which an order to a node is in force, since tests share few cores.
const orderLimit = 20 * time.Second

// listed is what node list says of a node.
type listed struct {
	NodeID string   `json:"node_id"`
	Roles  []string `json:"roles"`
	State  string   `json:"state"`
	Groups []int64  `json:"groups"`
	PID    int      `json:"pid"`
	Kinds  []struct {
		Done int64 `json:"done"`
	} `json:"kinds"`
}

// listNodes reads node list, by NODE_ID.
func (d *deployment) listNodes() map[string]listed {
	d.t.Helper()
	var found struct {
		Items []listed `json:"items"`
	}
	if err := json.Unmarshal([]byte(cli(d.t, d.dir, d.env, "node", "list", "--json")), &found); err != nil {
		d.t.Fatal(err)
	}
	nodes := map[string]listed{}
	for _, n := range found.Items {
		nodes[n.NodeID] = n
	}
	return nodes
}

// order gives a node an order and waits until it is in force, which must not take longer than orderLimit.
func (d *deployment) order(what string, inForce func() bool, args ...string) {
	d.t.Helper()
	cli(d.t, d.dir, d.env, append([]string{"node"}, args...)...)
	given := time.Now()
	until(d.t, time.Minute, what, inForce)
	took := time.Since(given)
	d.t.Logf("%s: %v after the order", what, took.Round(10*time.Millisecond))
	if took > orderLimit {
		d.t.Errorf("%s took %v", what, took)
	}
}

// polledIn is how many slots of a poller group a consumer has ended.
func polledIn(p *process, group int64) float64 {
	return p.scrape().sum("pollux_polls_total", fmt.Sprintf(`group="%d"`, group))
}

// more says, when it is asked later, whether a consumer has polled more devices of a group.
func more(p *process, group int64) func() bool {
	before := polledIn(p, group)
	return func() bool { return polledIn(p, group) > before }
}

// Two consumers swap their groups under load, one is left with nothing, and one is drained: no slot is lost or polled twice.
func TestReassignedNodesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	const devices, interval = 60, 20
	d := deploy(t, polluxtest.PostgreSQL(t))
	cli(t, d.dir, d.env, "config", "set", "distributed_poller", "true")
	north, err := d.store.AddGroup(t.Context(), device.Group{Name: "north"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	f := startFleet(t, d.dir, devices, 4, interval, 120*time.Millisecond)
	f.add(d.store)
	for _, id := range f.ids[:devices/2] {
		if _, err := d.store.UpdateDevice(t.Context(), id, func(changed *device.Device) error { changed.Group = north.ID; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	env := d.env
	d.env = append(slices.Clone(env), fmt.Sprintf("DISTRIBUTED_POLLER_GROUP=%d", north.ID))
	c2 := d.run("consumer", "c2")
	d.env = env
	c1, p1 := d.run("consumer", "c1"), d.run("producer", "p1")
	steady := leading(t, p1).Add(interval * time.Second)
	until(t, 2*time.Minute, "each polls its own group", func() bool { return polledIn(c1, 0) > devices/2 && polledIn(c2, north.ID) > devices/2 })
	if polledIn(c1, north.ID) > 0 || polledIn(c2, 0) > 0 {
		t.Error("a consumer polled a group of the other")
	}

	d.order("c1 polls the other group", more(c1, north.ID), "set", "c1", "--groups", "north")
	d.order("c2 polls the other group", more(c2, 0), "set", "c2", "--groups", "0")
	d.order("c2 polls both groups", more(c2, north.ID), "set", "c2", "--groups", "0,north")
	d.order("c1 takes nothing", func() bool { return len(d.listNodes()["c1"].Groups) == 0 }, "set", "c1", "--groups", "")
	idle := c1.scrape().sum("pollux_polls_total")
	d.order("c1 polls its own group again", more(c1, 0), "set", "c1", "--groups-from-env")
	d.order("c1 polls both groups", more(c1, north.ID), "set", "c1", "--groups", "0,north")
	if took := c1.scrape().sum("pollux_polls_total"); took <= idle {
		t.Errorf("c1 has polled %v, %v before", took, idle)
	}

	until(t, time.Minute, "polls under way on c2", func() bool { return c2.scrape().sum("pollux_polls_in_flight") >= 1 })
	d.order("c2 is drained", func() bool { return d.listNodes()["c2"].State == "drained" }, "drain", "c2")
	ended := c2.scrape()
	if flying := ended.sum("pollux_polls_in_flight"); flying != 0 {
		t.Errorf("a drained node has %v polls under way", flying)
	}
	until(t, 2*time.Minute, "two more slots of each device", func() bool {
		return c1.scrape().sum("pollux_polls_total") >= 2*devices+idle && p1.scrape().sum("pollux_nodes", `role="consumer"`, `state="drained"`) == 1
	})
	if now := c2.scrape(); now.sum("pollux_polls_total") != ended.sum("pollux_polls_total") {
		t.Errorf("a drained node polled %v devices", now.sum("pollux_polls_total")-ended.sum("pollux_polls_total"))
	}
	if response, err := http.Get("http://" + c2.address + "/readyz"); err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK {
		t.Errorf("/readyz of a drained node: %v, %v", response, err)
	}
	if served := p1.scrape().sum("pollux_group_nodes", `group="0"`); served != 1 {
		t.Errorf("%v nodes serve group 0", served)
	}
	d.order("c2 works again", more(c2, 0), "undrain", "c2")

	end := time.Now()
	client := d.client()
	logged := f.checkJournal(journalEntries(t, client), span{began, steady})
	t.Logf("%d slots ended in the log", f.finishedOnce(logged.up, steady, end))
	checkQueues(t, client)
	for _, state := range []string{"archived", "retry"} {
		if n := client.ZCard(t.Context(), fmt.Sprintf("asynq:{poller:%d}:%s", north.ID, state)).Val(); n != 0 {
			t.Errorf("%d tasks of the new group are in state %s", n, state)
		}
	}
	d.drain(p1, c1, c2)
	f.stop()
	f.polledTwice(f.reads(), logged)
}

// file writes the deployment's configuration as a .env file under a NODE_ID.
func (d *deployment) file(nodeID string) string {
	d.t.Helper()
	file := filepath.Join(d.dir, nodeID+".env")
	if err := os.WriteFile(file, []byte(strings.Join(d.env, "\n")+"\nNODE_ID="+nodeID+"\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return file
}

// A machine with the binary and a copied .env polls within 15 s. Replicas may start from one file.
func TestCopiedEnvMakesANode(t *testing.T) {
	t.Parallel()
	const joinLimit = 15 * time.Second
	d := deploy(t, polluxtest.MariaDB(t))
	f := startFleet(t, d.dir, 60, 2, 10, 20*time.Millisecond)
	f.add(d.store)
	main := d.file("main")
	start(t, d.dir, "producer", nil, "producer", "--env-file", main).ready()
	polled(t, start(t, d.dir, "consumer", nil, "consumer", "--env-file", main).ready(), 60)

	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(d.dir, "copied.env")
	if err := os.WriteFile(copied, []byte(strings.Replace(string(text), "NODE_ID=main", "NODE_ID=site-b", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	site := start(t, d.dir, "site-b", nil, "consumer", "--env-file", copied).ready()
	until(t, time.Minute, "site-b polls", func() bool { return site.scrape().sum("pollux_polls_total", `result="up"`) > 0 })
	took := time.Since(began)
	t.Logf("it polled %v after its start", took.Round(10*time.Millisecond))
	if took > joinLimit {
		t.Errorf("it polled %v after its start", took)
	}
	if n := d.listNodes()["site-b"]; n.State != "active" || n.PID != site.command.Process.Pid || !slices.Equal(n.Roles, []string{"consumer"}) {
		t.Errorf("it is listed as %+v", n)
	}
	until(t, time.Minute, "its work is listed", func() bool {
		n := d.listNodes()["site-b"]
		return slices.Equal(n.Groups, []int64{0}) && len(n.Kinds) == 2 && n.Kinds[0].Done > 0
	})

	replicas := d.file("auto")
	var started []*process
	for i := range 5 {
		started = append(started, start(t, d.dir, fmt.Sprintf("replica-%d", i), nil, "consumer", "--env-file", replicas))
	}
	until(t, startLimit, "five replicas have five names", func() bool {
		nodes := d.listNodes()
		return !slices.ContainsFunc([]string{"consumer-1", "consumer-2", "consumer-3", "consumer-4", "consumer-5"}, func(name string) bool { return nodes[name].State != "active" })
	})
	for _, p := range started {
		if !p.alive() {
			t.Errorf("%s has ended", p.name)
		}
	}
}
