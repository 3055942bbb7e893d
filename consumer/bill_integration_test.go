package consumer_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/billing"
	"pollux/cluster"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
	"pollux/poller"
	"pollux/polluxtest"
	"pollux/producer"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

const (
	billedDevices = 8
	billedPorts   = 3
	collectSlot   = 60 // seconds
)

// ahead is the local clock, moved: the test goes from slot to slot without waiting for their ends.
type ahead struct{ offset atomic.Int64 }

func (c *ahead) Now() time.Time               { return c.At(time.Now()) }
func (c *ahead) At(local time.Time) time.Time { return local.Add(time.Duration(c.offset.Load())) }
func (c *ahead) Skewed() bool                 { return false }

// next goes to the next collect slot, to where the moments of all devices have come.
func (c *ahead) next() (slot int64) {
	now := c.Now()
	slot = (now.Unix()/collectSlot + 1) * collectSlot
	c.offset.Add(int64(time.Unix(slot, 0).Add(35 * time.Second).Sub(now)))
	return slot
}

// unpolled is the inventory without a device to poll: whatever asks a device here asks for billing.
type unpolled struct{ *store.Store }

func (unpolled) Schedule(context.Context) ([]device.Scheduled, error) { return nil, nil }

// dialled is a conversation that a node began.
type dialled struct {
	node int
	host string
	slot int64
}

// billingWorld is a cluster in one process that reads billed ports.
type billingWorld struct {
	t        *testing.T
	clock    *ahead
	agent    *simulator.Agent
	answered *ledger
	store    *store.Store
	values   atomic.Pointer[settings.Values]
	bill     billing.Bill
	devices  []device.Device
	groups   [][]int64 // of the nodes
	stop     []func()  // the nodes
	registry []*prometheus.Registry

	mu    sync.Mutex
	asked []dialled
}

func newBillingWorld(t *testing.T) *billingWorld {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	parts := running{t, log}
	w := &billingWorld{t: t, clock: &ahead{}, answered: &ledger{}, store: openStore(t, log)}
	w.set(nil)
	var err error
	w.agent, err = simulator.New(simulator.Config{Listen: "127.0.0.0/24:0", Devices: billedDevices, Ports: billedPorts, Log: w.answered, Now: w.clock.Now}, log)
	if err != nil {
		t.Fatal(err)
	}
	stopAgent := parts.start("simulator", w.agent.Run)
	<-w.agent.Ready()
	t.Cleanup(stopAgent)
	w.inventory()
	server := polluxtest.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	for i, groups := range w.groups {
		w.registry = append(w.registry, prometheus.NewRegistry())
		c, err := consumer.New(consumer.Config{NodeID: "node" + strconv.Itoa(i), Groups: func() []int64 { return groups }}, consumer.Deps{
			Store: w.store, Journal: journal.New(client, 0), Leases: cluster.NewDeviceLeases(client, "node", log), Clock: w.clock, Redis: client,
			Settings: w.settings, Registerer: w.registry[i], Log: log, Dial: w.dial(i),
			Billing: &consumer.Billing{Store: w.store, Calculator: w.store, Lease: cluster.NewLease(client, cluster.BillingKey, "node"+strconv.Itoa(i), consumer.BillingTTL)},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.stop = append(w.stop, parts.start("consumer", c.Run))
	}
	p, err := producer.New(producer.Config{}, producer.Deps{
		Store: unpolled{w.store}, Purger: w.store, Events: w.store, Journal: journal.New(client, 0), Clock: w.clock, Redis: client, Settings: w.settings, Log: log,
		Lease:   cluster.NewLease(client, cluster.LeaderKey, "producer", producer.LeaderTTL),
		Janitor: cluster.NewJanitor(client, log, prometheus.NewRegistry()), Registerer: prometheus.NewRegistry(), Billed: w.store,
	})
	if err != nil {
		t.Fatal(err)
	}
	parts.start("producer", p.Run)
	return w
}

func (w *billingWorld) settings() settings.Values { return *w.values.Load() }

func (w *billingWorld) set(more map[string]string) {
	stored := map[string]string{settings.KeyBillingFrequency: strconv.Itoa(collectSlot), settings.KeyBillingCalculate: strconv.Itoa(collectSlot), settings.KeySNMPTimeout: "5"}
	for key, value := range more {
		stored[key] = value
	}
	values := settings.NewValues(stored)
	w.values.Store(&values)
}

func (w *billingWorld) distribute(on bool) {
	w.set(map[string]string{settings.KeyDistributedBilling: strconv.FormatBool(on)})
}

// dial is how a node opens sessions.
func (w *billingWorld) dial(node int) func(context.Context, snmp.Target) (consumer.Session, error) {
	return func(ctx context.Context, t snmp.Target) (consumer.Session, error) {
		w.mu.Lock()
		w.asked = append(w.asked, dialled{node, t.Host, w.clock.Now().Unix() / collectSlot * collectSlot})
		w.mu.Unlock()
		return snmp.Dial(ctx, t, nil)
	}
}

// inventory adds two poller groups, the devices with their ports, and a bill that has all ports.
func (w *billingWorld) inventory() {
	w.t.Helper()
	ctx := w.t.Context()
	var groups []int64
	for _, name := range []string{"north", "south"} {
		g, err := w.store.AddGroup(ctx, device.Group{Name: name}, "test")
		if err != nil {
			w.t.Fatal(err)
		}
		groups = append(groups, g.ID)
	}
	w.groups = [][]int64{groups[:1], groups[1:], groups[:1]} // so that no node can read all devices
	var ports []int64
	for i := range billedDevices {
		where := w.agent.Addr(i)
		d, err := w.store.AddDevice(ctx, device.Device{
			Hostname: "sim" + strconv.Itoa(i), Address: where.Addr().String(), Port: where.Port(), Interval: 300, Retries: -1, Group: groups[i%2],
			Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		session, err := snmp.Dial(ctx, snmp.Target{Host: d.Host(), Port: d.Port, Credentials: d.Credentials, Timeout: 5 * time.Second}, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		report := poller.Poll(ctx, session, poller.Target{Device: d, Timeout: 5 * time.Second})
		if err := session.Close(); err != nil {
			w.t.Error(err)
		}
		report.Poll.DeviceID = d.ID
		if err := w.store.SavePoll(ctx, report.Poll); err != nil {
			w.t.Fatal(err)
		}
		found, err := w.store.Ports(ctx, d.ID)
		if err != nil || len(found) != billedPorts {
			w.t.Fatalf("%d ports, %v", len(found), err)
		}
		for _, p := range found {
			ports = append(ports, p.ID)
		}
		w.devices = append(w.devices, d)
	}
	var err error
	w.bill, err = w.store.AddBill(ctx, billing.Bill{
		Name: "transit", Type: billing.CDR, Allowed: 1_000_000, Direction: billing.Max, Day: 1, Zone: "UTC",
	}, ports, w.clock.Now(), "test")
	if err != nil {
		w.t.Fatal(err)
	}
}

// samples are those of each port, in the order of their slots.
func (w *billingWorld) samples() map[int64][]billing.Sample {
	w.t.Helper()
	found := map[int64][]billing.Sample{}
	err := w.store.BillSamples(w.t.Context(), w.bill.ID, billing.Period{From: 0, To: 1 << 40}, func(s billing.Sample) error {
		found[s.Port] = append(found[s.Port], s)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// slot goes to the next slot, does something in it, and waits until it is read.
func (w *billingWorld) slot(meanwhile func()) (slot int64) {
	w.t.Helper()
	slot = w.clock.next()
	if meanwhile != nil {
		meanwhile()
	}
	polluxtest.Eventually(w.t, patience, "all ports are read in the slot", func() bool {
		read := 0
		for _, samples := range w.samples() {
			if samples[len(samples)-1].Slot >= slot {
				read++
			}
		}
		return read == billedDevices*billedPorts
	})
	return slot
}

// TestBilledPortsAreReadByTheRightNodes has three nodes of two poller groups read billed
// ports, switches distributed_billing to and fro while they do, and stops a node.
func TestBilledPortsAreReadByTheRightNodes(t *testing.T) {
	t.Parallel()
	w := newBillingWorld(t)
	type stretch struct {
		from, to    int64 // slots
		distributed bool
	}
	var stretches []stretch
	run := func(slots int, distributed bool) {
		s := stretch{from: w.slot(nil), distributed: distributed}
		for s.to = s.from; slots > 1; slots-- {
			s.to = w.slot(nil)
		}
		stretches = append(stretches, s)
	}
	run(3, false)
	w.slot(func() { w.distribute(true) })
	run(3, true)
	w.slot(w.stop[0]) // of the first group
	run(2, true)
	w.slot(func() { w.distribute(false) })
	run(2, false)
	for _, s := range stretches {
		w.checkAsked(s.from, s.to, s.distributed)
	}
	w.checkCalculated()
	w.checkSamples(stretches[len(stretches)-1].to)
}

// checkAsked compares who asked the devices in a stretch of slots with who may.
func (w *billingWorld) checkAsked(from, to int64, distributed bool) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	times, nodes := map[string]int{}, map[int]bool{}
	for _, a := range w.asked {
		if a.slot < from || a.slot > to {
			continue
		}
		i := slices.IndexFunc(w.devices, func(d device.Device) bool { return d.Host() == a.host })
		if distributed && !slices.Contains(w.groups[a.node], w.devices[i].Group) {
			w.t.Errorf("node %d of groups %v asked device %d of group %d", a.node, w.groups[a.node], i, w.devices[i].Group)
		}
		times[a.host]++
		nodes[a.node] = true
	}
	slots := int((to-from)/collectSlot) + 1
	for host, n := range times {
		if n < slots-1 || n > slots+1 { // one that is asked late in a slot may be counted in the next
			w.t.Errorf("%s was asked %d times in %d slots", host, n, slots)
		}
	}
	if len(times) != billedDevices || !distributed && len(nodes) != 1 || distributed && len(nodes) < 2 {
		w.t.Errorf("distributed %v: nodes %v asked %d devices", distributed, nodes, len(times))
	}
}

// checkSamples compares the sums of the samples up to a slot with the counters that the devices answered.
func (w *billingWorld) checkSamples(until int64) {
	w.t.Helper()
	answers := w.answers()
	total := 0
	for port, samples := range w.samples() {
		samples = slices.DeleteFunc(samples, func(s billing.Sample) bool { return s.Slot > until })
		number, name := w.place(port)
		var in, out uint64
		for i, s := range samples {
			total++
			in, out = in+s.In, out+s.Out
			if i == 0 {
				continue
			}
			if s.Slot-samples[i-1].Slot > 2*collectSlot {
				w.t.Errorf("port %d lacks slots between %d and %d", port, samples[i-1].Slot, s.Slot)
			}
			if s.Flags&^(billing.Spread) != 0 || (s.Flags == billing.Spread) != (s.Slot-samples[i-1].Slot > collectSlot) {
				w.t.Errorf("port %d in slot %d is flagged %s", port, s.Slot, s.Flags)
			}
		}
		first, last := samples[0], samples[len(samples)-1]
		for column, sum := range map[simulator.Column]uint64{simulator.InOctets: in, simulator.OutOctets: out} {
			key := answerKey{number, name, column}
			begin := first.Read.Add(-first.Span) // what was read before the first sample may lie before the bill
			if !slices.ContainsFunc(answers.near(key, begin), func(began uint64) bool {
				return slices.ContainsFunc(answers.near(key, last.Read), func(ended uint64) bool { return ended-began == sum })
			}) {
				w.t.Errorf("port %d: the samples add up to %d, the device answered %v at first and %v at last", port, sum, answers.near(key, begin), answers.near(key, last.Read))
			}
		}
	}
	w.t.Logf("%d samples", total)
}

// place is the number of a port's device and of the port on it.
func (w *billingWorld) place(id int64) (number, port int) {
	w.t.Helper()
	for i, d := range w.devices {
		ports, err := w.store.Ports(w.t.Context(), d.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		if at := slices.IndexFunc(ports, func(p device.Port) bool { return p.ID == id }); at >= 0 {
			return i, int(ports[at].State.IfIndex)
		}
	}
	w.t.Fatalf("there is no port %d", id)
	return 0, 0
}

type answerKey struct {
	device, port int
	column       simulator.Column
}

// answers are the counters that the devices gave.
type answers map[answerKey][]simulator.Entry

func (w *billingWorld) answers() answers {
	w.t.Helper()
	w.answered.mu.Lock()
	defer w.answered.mu.Unlock()
	found := answers{}
	for entry, err := range simulator.ReadLog(bytes.NewReader(w.answered.Bytes())) {
		if err != nil {
			w.t.Fatal(err)
		}
		if entry.Wide {
			key := answerKey{entry.Device, entry.Port, entry.Column}
			found[key] = append(found[key], entry)
		}
	}
	return found
}

// near are the counters that were answered about when a reading was made.
func (a answers) near(key answerKey, at time.Time) (counters []uint64) {
	for _, entry := range a[key] {
		if time.Unix(0, entry.UnixNano).Sub(at).Abs() < 3*time.Second {
			counters = append(counters, entry.Counter)
		}
	}
	return counters
}

// checkCalculated compares the bill's figures with its samples.
func (w *billingWorld) checkCalculated() {
	w.t.Helper()
	end := w.clock.next() // a slot is calculated when it is over
	var want, got uint64
	polluxtest.Eventually(w.t, patience, "the bill is calculated", func() bool {
		periods, err := w.store.OpenPeriods(w.t.Context(), []int64{w.bill.ID})
		if err != nil {
			w.t.Fatal(err)
		}
		want, got = 0, periods[w.bill.ID].In
		for _, samples := range w.samples() {
			for _, s := range samples {
				if s.Slot < end {
					want += s.In
				}
			}
		}
		return periods[w.bill.ID].CalculatedTo >= end && got == want
	})
	if want == 0 {
		w.t.Error("nothing was counted")
	}
}
