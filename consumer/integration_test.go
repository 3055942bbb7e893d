package consumer_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/config"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/producer"
	"pollux/rrdcached"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

const (
	simulated = 20 // devices
	ports     = 2
	interval  = 10 // seconds
	ownFiles  = 9  // of a device: icmp-perf, four of availability, poller-perf of the poll and of icmp, core and ports
)

// ledger is the simulator's own record of what it answered.
type ledger struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *ledger) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// reads are the times in ns at which the first port's octets of each device were read.
func (l *ledger) reads(t *testing.T) map[int][]int64 {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[int][]int64{}
	for entry, err := range simulator.ReadLog(bytes.NewReader(l.Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Port == 1 && entry.Column == simulator.InOctets && entry.Wide {
			found[entry.Device] = append(found[entry.Device], entry.UnixNano)
		}
	}
	return found
}

// running are the parts of the system that run until the test ends.
type running struct {
	t   *testing.T
	log *slog.Logger
}

func (r running) start(name string, run func(context.Context) error) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("%s: %v", name, err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

func openStore(t *testing.T, log *slog.Logger) *store.Store {
	t.Helper()
	return openStoreAt(t, log, filepath.Join(t.TempDir(), "pollux.db"))
}

func openStoreAt(t *testing.T, log *slog.Logger, file string) *store.Store {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Database{Connection: config.SQLite, Name: file}
	m, err := store.OpenMigrator(t.Context(), c, key, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), c, key, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// addDevices puts the simulated devices into the inventory: device i has the id that is returned at i.
func addDevices(t *testing.T, s *store.Store, addr func(int) netip.AddrPort) []int64 {
	t.Helper()
	ids := make([]int64, simulated)
	for i := range ids {
		added, err := s.AddDevice(t.Context(), device.Device{
			Hostname: "sim" + strconv.Itoa(i), Address: addr(i).Addr().String(), Port: addr(i).Port(), Interval: interval, Retries: -1,
			Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = added.ID
	}
	return ids
}

// patience is how long the test waits for what comes soon on an idle machine.
const patience = 2 * time.Minute

// TestEverySlotIsPolledOnce runs two producers and two consumers with all that
// is behind them, and asks the simulated devices how often they were polled.
func TestEverySlotIsPolledOnce(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	parts := running{t, log}
	answered := &ledger{}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.0/24:0", Devices: simulated, Ports: ports, Log: answered}, log)
	if err != nil {
		t.Fatal(err)
	}
	stopAgent := parts.start("simulator", agent.Run)
	<-agent.Ready()
	redisServer, rrd, inventory := polluxtest.Redis(t), polluxtest.RRDCached(t), openStore(t, log)
	client := redis.NewClient(&redis.Options{Addr: redisServer.Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	ids := addDevices(t, inventory, agent.Addr)
	values := func() settings.Values {
		// An answer that comes late on a busy machine must not be asked for again: each is counted.
		return settings.NewValues(map[string]string{settings.KeyRRDArchives: "AVERAGE:1x120 MAX:6x20", settings.KeySNMPTimeout: "5"})
	}
	log1 := journal.New(client, 0)
	recorder(t, parts, client, log1, rrd.Address, values)
	clock := syncedClock(t, parts, client)

	consumers := []*prometheus.Registry{prometheus.NewRegistry(), prometheus.NewRegistry()}
	var stopConsumers, stopProducers []func()
	for i, registry := range consumers {
		c, err := consumer.New(consumer.Config{NodeID: "node" + strconv.Itoa(i), Groups: func() []int64 { return []int64{0} }}, consumer.Deps{
			Store: inventory, Journal: log1, Leases: cluster.NewDeviceLeases(client, "node", log), Clock: clock, Redis: client,
			Settings: values, Registerer: registry, Log: log,
		})
		if err != nil {
			t.Fatal(err)
		}
		stopConsumers = append(stopConsumers, parts.start("consumer", c.Run))
	}
	for i := range 2 {
		p, err := producer.New(producer.Config{}, producer.Deps{
			Store: inventory, Purger: inventory, Events: inventory, Journal: log1, Clock: clock, Redis: client, Settings: values, Log: log,
			Lease:   cluster.NewLease(client, cluster.LeaderKey, "producer"+strconv.Itoa(i), producer.LeaderTTL),
			Janitor: cluster.NewJanitor(client, log, prometheus.NewRegistry()), Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		stopProducers = append(stopProducers, parts.start("producer", p.Run))
	}
	polluxtest.Eventually(t, patience, "every device is polled once", func() bool { return len(answered.reads(t)) == simulated })
	begin := time.Now().Unix()
	polluxtest.Eventually(t, patience, "22 s are over", func() bool { return time.Now().Unix() >= begin+22 })
	end := time.Now().Unix()
	for _, stop := range append(stopProducers, stopConsumers...) {
		stop()
	}
	files := func() int {
		found, err := filepath.Glob(filepath.Join(rrd.Base, "sim*", "*.rrd"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	polluxtest.Eventually(t, patience, "every port, uptime and what is known of a device without its help has its file", func() bool { return files() == simulated*(ports+1+ownFiles) })
	stopAgent() // flushes its record
	checkSlots(t, answered.reads(t), ids, begin, end-2)
	checkLateness(t, consumers)
}

func recorder(t *testing.T, parts running, client redis.UniversalClient, j *journal.Journal, address string, values func() settings.Values) {
	t.Helper()
	r, err := journal.NewRecorder(j, journal.RecorderConfig{
		Target: address, ClusterID: "0123456789abcdef01",
		FlushWindow: func() time.Duration { return time.Minute },
		Archives:    func() []rrdcached.Archive { return values().Archives() },
	}, func(key string) journal.Lease { return cluster.NewLease(client, key, "node", 15*time.Second) }, prometheus.NewRegistry(), parts.log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("recorder", r.Run)
}

func syncedClock(t *testing.T, parts running, client redis.UniversalClient) *cluster.Clock {
	t.Helper()
	clock := cluster.NewClock(client, parts.log, prometheus.NewRegistry())
	if err := clock.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	parts.start("clock", clock.Run)
	return clock
}

// checkSlots compares when devices were read with the slots that lie between two seconds.
func checkSlots(t *testing.T, reads map[int][]int64, ids []int64, begin, end int64) {
	t.Helper()
	checked := 0
	for i, id := range ids {
		polled := map[int64]int{}
		for _, at := range reads[i] {
			polled[device.SlotAt(id, interval, at/1e9)]++
		}
		for slot := device.SlotAt(id, interval, begin) + interval; slot+interval <= end; slot += interval {
			checked++
			if polled[slot] != 1 {
				t.Errorf("slot %d of device %d was polled %d times", slot, id, polled[slot])
			}
		}
	}
	if checked < simulated {
		t.Errorf("only %d slots were checked", checked)
	}
	t.Logf("%d slots of %d devices", checked, len(ids))
}

// checkLateness wants polls to begin soon after their slot, those apart that
// were offered in the middle of their slot when the producers began. On an idle
// machine 99 of 100 begin within a second; on a busy one half of them within 2.5 s will do.
func checkLateness(t *testing.T, consumers []*prometheus.Registry) {
	t.Helper()
	second, soon, total := uint64(0), uint64(0), uint64(0)
	for _, registry := range consumers {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			switch family.GetName() {
			case "pollux_poll_lateness_seconds":
				histogram := family.GetMetric()[0].GetHistogram()
				total += histogram.GetSampleCount()
				for _, bucket := range histogram.GetBucket() {
					switch bucket.GetUpperBound() {
					case 1:
						second += bucket.GetCumulativeCount()
					case 2.5:
						soon += bucket.GetCumulativeCount()
					}
				}
			case "pollux_task_repeats_total", "pollux_polls_skipped_total":
				for _, m := range family.GetMetric() {
					if n := m.GetCounter().GetValue(); n > 0 {
						t.Errorf("%s %v: %v", family.GetName(), m.GetLabel(), n)
					}
				}
			}
		}
	}
	t.Logf("%d of %d polls began within a second of their slot", second, total)
	if total < 2*simulated || soon+simulated < total/2 {
		t.Errorf("%d of %d polls began within 2.5 s of their slot", soon, total)
	}
}
