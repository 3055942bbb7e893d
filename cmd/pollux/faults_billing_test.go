//go:build faults

package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/billing"
	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
	"pollux/simulator"
)

const (
	billedDevices = 60
	billedPorts   = 4
	collectSlot   = 60 * time.Second
	// settingWithin is until a changed setting is in force everywhere.
	settingWithin = 10 * time.Second
	// midSlot is when in a collect slot its readings are under way: they are spread over its first half.
	midSlot = 12 * time.Second
)

// billedFleet is a cluster of three consumers that reads billed ports, and nothing else.
type billedFleet struct {
	*deployment
	*fleet
	t      *testing.T
	bill   billing.Bill
	groups map[string][]int64 // of the consumers
	all    []*process         // every consumer that ever ran
}

func newBilledFleet(t *testing.T, database config.Database) *billedFleet {
	t.Helper()
	b := &billedFleet{t: t, deployment: deploy(t, database), groups: map[string][]int64{"c1": {1}, "c2": {2}, "c3": {1, 2}}}
	b.env = append(b.env, "POLLUX_LOG_LEVEL=debug")
	for _, words := range [][]string{
		{"config", "set", "distributed_poller", "true"}, {"config", "set", "service_billing_frequency", "60"}, {"config", "set", "service_billing_calculate_frequency", "60"},
		{"group", "create", "north"}, {"group", "create", "south"},
		// Whatever asks a device from here on asks for billing.
		{"queue", "pause", "poller:0"}, {"queue", "pause", "poller:1"}, {"queue", "pause", "poller:2"},
	} {
		cli(t, b.dir, b.env, words...)
	}
	b.fleet = startFleet(t, b.dir, billedDevices, billedPorts, 3600, 50*time.Millisecond)
	b.fleet.group = func(number int) int64 { return int64(number%2) + 1 }
	b.run("producer", "p1")
	for _, name := range []string{"c1", "c2", "c3"} {
		b.consumer(name)
	}
	b.add(b.store)
	var ports []int64
	for _, id := range b.ids {
		found, err := b.store.Ports(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found {
			ports = append(ports, p.ID)
		}
	}
	var err error
	b.bill, err = b.store.AddBill(t.Context(), billing.Bill{
		Name: "transit", Type: billing.Quota, Allowed: 1_000_000_000_000, Direction: billing.Aggregate, Day: 1, Zone: "UTC",
	}, ports, time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// consumer starts a consumer, or starts it again under its name.
func (b *billedFleet) consumer(name string) *process {
	b.t.Helper()
	label := name
	if n := len(slices.DeleteFunc(slices.Clone(b.all), func(p *process) bool { return !strings.HasPrefix(p.name, name) })); n > 0 {
		label = fmt.Sprintf("%s-%d", name, n+1)
	}
	environ := append(slices.Clone(b.env), "NODE_ID="+name, "DISTRIBUTED_POLLER_GROUP="+listOf(b.groups[name]))
	p := start(b.t, b.dir, label, environ, "consumer").ready()
	b.nodes[name] = p
	b.all = append(b.all, p)
	return p
}

// samples are those of each port, in the order of their slots.
func (b *billedFleet) samples() map[int64][]billing.Sample {
	b.t.Helper()
	found := map[int64][]billing.Sample{}
	err := b.store.BillSamples(b.t.Context(), b.bill.ID, billing.Period{From: 0, To: 1 << 40}, func(s billing.Sample) error {
		found[s.Port] = append(found[s.Port], s)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// read waits until each port has a sample of a slot that began at or after a moment.
func (b *billedFleet) read(what string, after time.Time) {
	b.t.Helper()
	untilEvery(b.t, time.Second, 4*time.Minute, what, func() bool {
		read := 0
		for _, samples := range b.samples() {
			if samples[len(samples)-1].Slot >= after.Unix() {
				read++
			}
		}
		return read == billedDevices*billedPorts
	})
}

// nextSlot waits until the readings of the next collect slot are under way.
func (b *billedFleet) nextSlot(what string) time.Time {
	b.t.Helper()
	at := time.Now().Truncate(collectSlot).Add(collectSlot + midSlot)
	pass(b.t, what, at)
	return at.Add(-midSlot)
}

func (b *billedFleet) distribute(on bool) (at time.Time) {
	b.t.Helper()
	cli(b.t, b.dir, b.env, "config", "set", "distributed_billing", fmt.Sprint(on))
	return time.Now()
}

// holder is the node that serves the queue billing.
func (b *billedFleet) holder() (name string) {
	b.t.Helper()
	client := b.client()
	until(b.t, time.Minute, "a node holds the lease of billing", func() bool {
		token, err := cluster.NewLease(client, cluster.BillingKey, "", time.Minute).Holder(b.t.Context())
		name = cluster.ParseHolder(token).Name
		return err == nil && name != ""
	})
	return name
}

// TestFaultBillingNodes has three consumers of two poller groups read billed
// ports, switches distributed_billing on and off while they do, kills one that has read and not
// written, and the one that serves the queue billing. No port lacks two slots in a
// row, no byte is lost or counted twice, and while billing is distributed only the nodes of a device's group ask it.
func TestFaultBillingNodes(t *testing.T) {
	t.Parallel()
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		readWhileNodesDie(t, polluxtest.MariaDB(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		readWhileNodesDie(t, polluxtest.PostgreSQL(t))
	})
}

func readWhileNodesDie(t *testing.T, database config.Database) {
	t.Helper()
	b := newBilledFleet(t, database)
	b.read("the first readings", time.Now().Truncate(collectSlot))
	calm := span{from: b.nextSlot("a slot begins")}
	calm.to = b.nextSlot("a slot without a fault is over")

	b.nextSlot("readings are under way before the switch")
	on := span{from: b.distribute(true)}
	b.nextSlot("the slot of the switch is over")
	b.nextSlot("readings are under way before the kill")
	b.nodes["c1"].end(syscall.SIGKILL)
	kills := []time.Time{time.Now()}
	b.nextSlot("the slot of the kill is over")
	b.nextSlot("a slot without c1 is over")
	b.consumer("c1")
	b.nextSlot("readings are under way before the switch back")
	on.to = b.distribute(false)
	b.nextSlot("the slot of the switch back is over")

	b.nextSlot("readings are under way before the kill of the holder")
	off := span{on.to, time.Now()}
	holder := b.holder()
	b.nodes[holder].end(syscall.SIGKILL)
	kills = append(kills, time.Now())
	b.nextSlot("the slot of the second kill is over")
	last := b.nextSlot("a slot without the holder is over")
	b.read("all ports are read at last", last)
	b.checkQueues()
	b.drainAll()
	b.fleet.stop()

	answered := b.answered()
	b.checkSamples(answered, calm, kills)
	lines := b.lines()
	b.checkNodes(lines, on)
	b.checkAnswered(lines, answered, on)
	b.checkOne("before the first switch", lines, calm)
	b.checkOne("after the second switch", lines, off)
}

// drainAll stops the nodes that live, as an operator does.
func (b *billedFleet) drainAll() {
	b.t.Helper()
	for _, p := range append(slices.Clone(b.all), b.nodes["p1"]) {
		if p.alive() {
			if code := p.end(syscall.SIGTERM); code != 0 {
				b.t.Errorf("%s ended with %d", p.name, code)
			}
		}
	}
}

// checkQueues wants no task of billing that failed.
func (b *billedFleet) checkQueues() {
	b.t.Helper()
	var list struct {
		Items []struct {
			Queue    string `json:"queue"`
			Archived int    `json:"archived"`
			Pending  int    `json:"pending"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(cli(b.t, b.dir, b.env, "queue", "list", "--json")), &list); err != nil {
		b.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, q := range list.Items {
		if !strings.HasPrefix(q.Queue, "billing") {
			continue
		}
		seen[q.Queue] = true
		if q.Archived > 0 || q.Pending > 2*billedDevices {
			b.t.Errorf("queue %s: %d tasks failed, %d wait", q.Queue, q.Archived, q.Pending)
		}
	}
	if !seen["billing"] || !seen["billing:1"] || !seen["billing:2"] {
		b.t.Errorf("the queues are %v", seen)
	}
}

// billedCounter names one counter of a device.
type billedCounter struct {
	device, port int
	column       simulator.Column
}

// answered are the counters that the devices gave. The fleet must be stopped.
func (b *billedFleet) answered() map[billedCounter][]simulator.Entry {
	b.t.Helper()
	file, err := os.Open(b.answers)
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	found := map[billedCounter][]simulator.Entry{}
	for entry, err := range simulator.ReadLog(file) {
		if err != nil {
			b.t.Fatal(err)
		}
		if entry.Wide {
			key := billedCounter{entry.Device, entry.Port, entry.Column}
			found[key] = append(found[key], entry)
		}
	}
	return found
}

// checkSamples compares the samples with what the devices answered.
func (b *billedFleet) checkSamples(answered map[billedCounter][]simulator.Entry, calm span, kills []time.Time) {
	b.t.Helper()
	total, missing := 0, 0
	places := b.places()
	for port, samples := range b.samples() {
		var sums [2]uint64
		for i, s := range samples {
			total++
			sums[0], sums[1] = sums[0]+s.In, sums[1]+s.Out
			if i == 0 {
				continue
			}
			before := samples[i-1]
			lacks := (s.Slot-before.Slot)/int64(collectSlot/time.Second) - 1
			missing += int(lacks)
			if lacks > 1 {
				b.t.Errorf("port %d lacks %d slots in a row after %d", port, lacks, before.Slot)
			}
			if lacks > 0 && before.Slot >= calm.from.Unix() && s.Slot <= calm.to.Unix() {
				b.t.Errorf("port %d lacks a slot after %d without a fault", port, before.Slot)
			}
			if s.Flags&^billing.Spread != 0 || (s.Flags == billing.Spread) != (lacks > 0) {
				b.t.Errorf("port %d in slot %d is flagged %s", port, s.Slot, s.Flags)
			}
		}
		first, last := samples[0], samples[len(samples)-1]
		for i, column := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			where := places[port]
			where.column = column
			// What was read before the first sample may lie before the bill.
			began, ended := near(answered[where], first.Read.Add(-first.Span)), near(answered[where], last.Read)
			if !slices.ContainsFunc(began, func(b uint64) bool {
				return slices.ContainsFunc(ended, func(e uint64) bool { return e-b == sums[i] })
			}) {
				b.t.Errorf("port %d: the samples add up to %d, the device answered %v at first and %v at last", port, sums[i], began, ended)
			}
		}
	}
	b.t.Logf("figures: %d samples of %d ports, %d missing after %d kills and two switches", total, len(places), missing, len(kills))
	if total < 8*billedDevices*billedPorts {
		b.t.Errorf("there are only %d samples", total)
	}
}

// near are the counters that were answered about when a reading was made.
func near(entries []simulator.Entry, at time.Time) (counters []uint64) {
	for _, e := range entries {
		if time.Unix(0, e.UnixNano).Sub(at).Abs() < 3*time.Second {
			counters = append(counters, e.Counter)
		}
	}
	return counters
}

// places say which simulated port each billed port is.
func (b *billedFleet) places() map[int64]billedCounter {
	b.t.Helper()
	found := map[int64]billedCounter{}
	for number, id := range b.ids {
		ports, err := b.store.Ports(b.t.Context(), id)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, p := range ports {
			found[p.ID] = billedCounter{device: number, port: int(p.State.IfIndex)}
		}
	}
	return found
}

// billedRead is what a consumer says when it begins to ask a device for billing.
type billedRead struct {
	Time   time.Time `json:"time"`
	Msg    string    `json:"msg"`
	Device int64     `json:"device"`
	node   string
}

// lines are all that the consumers said.
func (b *billedFleet) lines() (all []billedRead) {
	b.t.Helper()
	for _, p := range b.all {
		file, err := os.Open(p.log)
		if err != nil {
			b.t.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := billedRead{node: p.name[:2]}
			if strings.Contains(lines.Text(), "billed ports are read") && json.Unmarshal(lines.Bytes(), &line) == nil {
				all = append(all, line)
			}
		}
		if err := lines.Err(); err != nil {
			b.t.Errorf("read what %s said: %v", p.name, err)
		}
		_ = file.Close()
	}
	return all
}

// groupOf is the poller group of a device of the inventory.
func (b *billedFleet) groupOf(id int64) int64 { return b.group(slices.Index(b.ids, id)) }

// checkNodes wants only nodes of a device's group to ask it while billing is distributed.
func (b *billedFleet) checkNodes(lines []billedRead, on span) {
	b.t.Helper()
	reads := map[string]int{}
	for _, l := range lines {
		if l.Time.Before(on.from.Add(settingWithin)) || l.Time.After(on.to) {
			continue
		}
		reads[l.node]++
		if !slices.Contains(b.groups[l.node], b.groupOf(l.Device)) {
			b.t.Errorf("%s asked a device of group %d at %v", l.node, b.groupOf(l.Device), l.Time)
		}
	}
	b.t.Logf("figures: while billing was distributed the nodes asked %v times", reads)
	if len(reads) < 3 {
		b.t.Errorf("only %v asked while billing was distributed", reads)
	}
}

// checkAnswered wants each answer of a device while billing is distributed to have a node of its group that asked.
func (b *billedFleet) checkAnswered(lines []billedRead, answered map[billedCounter][]simulator.Entry, on span) {
	b.t.Helper()
	asked := map[int64][]time.Time{}
	for _, l := range lines {
		if slices.Contains(b.groups[l.node], b.groupOf(l.Device)) {
			asked[l.Device] = append(asked[l.Device], l.Time)
		}
	}
	answers := 0
	for where, entries := range answered {
		if where.port != witness || where.column != simulator.InOctets {
			continue
		}
		for _, e := range entries {
			at := time.Unix(0, e.UnixNano)
			if at.Before(on.from.Add(settingWithin)) || at.After(on.to) {
				continue
			}
			answers++
			if !slices.ContainsFunc(asked[b.ids[where.device]], func(t time.Time) bool { return at.Sub(t) > -time.Second && at.Sub(t) < 15*time.Second }) {
				b.t.Errorf("device %d answered at %v, when no node of its group had asked", where.device, at)
			}
		}
	}
	b.t.Logf("figures: %d answers while billing was distributed", answers)
	if answers < 2*billedDevices {
		b.t.Errorf("only %d answers while billing was distributed", answers)
	}
}

// checkOne wants one node alone to ask while billing is not distributed.
func (b *billedFleet) checkOne(what string, lines []billedRead, during span) {
	b.t.Helper()
	reads := map[string]int{}
	for _, l := range lines {
		if l.Time.After(during.from.Add(settingWithin)) && l.Time.Before(during.to) {
			if reads[l.node]++; reads[l.node] == 1 {
				b.t.Logf("figures: %s %s asked", what, l.node)
			}
		}
	}
	// What lay in the queues of the groups when the setting changed is read by their nodes.
	if len(reads) != 1 && what == "before the first switch" || len(reads) == 0 {
		b.t.Errorf("%s the nodes asked %v times", what, reads)
	}
}
