//go:build gosnmp_nodebug

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/billing"
	"pollux/cluster"
	"pollux/config"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

const (
	billDevicesVariable = "BENCH_BILL_DEVICES" // devices of a round, default 400
	billPortsVariable   = "BENCH_BILL_PORTS"   // billed ports of each, default 50
	billSpreadVariable  = "BENCH_BILL_SECONDS" // over how many seconds a round's tasks are spread, default 0: all are there at once

	billMost     = 10_000 // ports of a bill
	statFirst    = 3      // the number of the first field behind the name in /proc/PID/stat, proc_pid_stat(5)
	userHZ       = 100
	collectRound = 5 * time.Minute // what a round may take beside its spread
)

// BenchmarkBilling is one collect round: a task for each device through Redis to a consumer, which
// reads the device's billed ports by SNMP and writes samples to a MariaDB or a PostgreSQL.
// The simulated devices, Redis and the database are other processes.
//
// own-us/port is CPU of this process, that is of the consumer, server-us/port that of the database with all of its processes,
// to read what is to be read as well as to write. rows/call are the readings in one call of store.Collect, which takes 3 statements for each 1,000 rows;
// statements/1000-ports counts two for each device besides, which read what is billed of it. Ask for -benchtime 1x: each round waits for a slot of its own.
func BenchmarkBilling(b *testing.B) {
	for name, open := range map[string]func(testing.TB) config.Database{"mysql": polluxtest.MariaDB, "pgsql": polluxtest.PostgreSQL} {
		b.Run(name, func(b *testing.B) { newRound(b, open(b)).measure(b) })
	}
}

// round is the world of collect rounds.
type round struct {
	*tallied
	devices []device.Device
	ports   int // of all devices
	client  *asynq.Client
	server  func() time.Duration // CPU of the database's server
	slot    int64                // that is read
	every   int                  // seconds of a slot
	spread  time.Duration        // over which the tasks of a round come
	clock   *moved
}

// moved is the local clock, moved: the first round is read late in its slot, so that the second one need not wait for long.
type moved struct{ offset atomic.Int64 }

func (m *moved) Now() time.Time               { return m.At(time.Now()) }
func (m *moved) At(local time.Time) time.Time { return local.Add(time.Duration(m.offset.Load())) }
func (m *moved) Skewed() bool                 { return false }

// tallied counts what the consumer asks of the store.
type tallied struct {
	*store.Store
	mu              sync.Mutex
	reads           int   // statements that read
	calls           []int // readings in each call of Collect
	written, others int   // samples of counters that were well, and not
	done            chan struct{}
	wanted          int
}

func (c *tallied) Device(ctx context.Context, id int64) (device.Device, error) {
	c.note(1, 0, nil)
	return c.Store.Device(ctx, id)
}

func (c *tallied) BilledPorts(ctx context.Context, id int64) ([]billing.Port, error) {
	c.note(1, 0, nil)
	return c.Store.BilledPorts(ctx, id)
}

func (c *tallied) Collect(ctx context.Context, readings []billing.Reading, now time.Time) ([]billing.Sample, error) {
	written, err := c.Store.Collect(ctx, readings, now)
	c.note(0, len(readings), written)
	return written, err
}

func (c *tallied) note(reads, readings int, written []billing.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads += reads
	if readings > 0 {
		c.calls = append(c.calls, readings)
	}
	for _, s := range written {
		if s.Flags != 0 {
			c.others++
		}
	}
	if c.written += len(written); c.written == c.wanted && len(written) > 0 {
		close(c.done)
	}
}

// begin forgets what was counted and says when so many samples are written.
func (c *tallied) begin(wanted int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads, c.calls, c.written, c.others, c.wanted, c.done = 0, nil, 0, 0, wanted, make(chan struct{})
	return c.done
}

func fromEnvironment(b *testing.B, variable string, usual int) int {
	b.Helper()
	given := os.Getenv(variable)
	if given == "" {
		return usual
	}
	n := number(given)
	if n < 1 || n > 20_000 {
		b.Fatalf("%s is a number from 1 to 20000, not %q", variable, given)
	}
	return n
}

func newRound(b *testing.B, database config.Database) *round {
	b.Helper()
	log, ctx := slog.New(slog.DiscardHandler), b.Context()
	devices, each := fromEnvironment(b, billDevicesVariable, 400), fromEnvironment(b, billPortsVariable, 50)
	port := polluxtest.FreePort(b)
	simulate(b, binary(b), fmt.Sprintf("127.103.0.0/16:%d", port), "--devices", strconv.Itoa(devices), "--ports", strconv.Itoa(each))
	key, err := secret.GenerateKey()
	must(b, err)
	parsed, err := secret.ParseKey(key)
	must(b, err)
	fill(b, database, key, netip.AddrPortFrom(netip.MustParseAddr("127.103.0.1"), uint16(port)), devices)
	s, err := store.Open(ctx, database, parsed, log)
	must(b, err)
	b.Cleanup(func() { _ = s.Close() })
	redisServer := polluxtest.Redis(b)
	client := redis.NewClient(&redis.Options{Addr: redisServer.Address, ContextTimeoutEnabled: true})
	b.Cleanup(func() { _ = client.Close() })
	r := &round{tallied: &tallied{Store: s}, clock: &moved{}, client: asynq.NewClientFromRedisClient(client), server: serverOf(b, database)}
	r.every, r.spread = 60, time.Duration(number(os.Getenv(billSpreadVariable)))*time.Second
	if r.spread > 0 {
		r.every = tasks.MaxCollect
	}
	r.bill(b)
	values := settings.NewValues(map[string]string{settings.KeySNMPTimeout: "5"})
	c, err := consumer.New(consumer.Config{NodeID: "bench", Groups: func() []int64 { return []int64{0} }}, consumer.Deps{
		Store: s, Journal: journal.New(client, 0), Leases: cluster.NewDeviceLeases(client, "bench", log), Agents: cluster.NewAgents(client, "bench", log),
		Clock: r.clock, Redis: client, Settings: func() settings.Values { return values }, Registerer: prometheus.NewRegistry(), Log: log,
		Billing: &consumer.Billing{Store: r.tallied, Calculator: s, Lease: cluster.NewLease(client, cluster.BillingKey, "bench", consumer.BillingTTL)},
	})
	must(b, err)
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	b.Cleanup(func() { stop(); must(b, <-ended) })
	return r
}

// bill has bills for all ports of all devices.
func (r *round) bill(b *testing.B) {
	b.Helper()
	ctx := b.Context()
	var all []int64
	for after := int64(0); ; {
		found, err := r.Devices(ctx, store.Filter{AfterID: after, Limit: 1000})
		must(b, err)
		if len(found) == 0 {
			break
		}
		after = found[len(found)-1].ID
		r.devices = append(r.devices, found...)
	}
	for _, d := range r.devices {
		ports, err := r.Ports(ctx, d.ID)
		must(b, err)
		for _, p := range ports {
			all = append(all, p.ID)
		}
	}
	r.ports = len(all)
	for n := 0; len(all) > 0; n++ {
		some := all[:min(len(all), billMost)]
		_, err := r.AddBill(ctx, billing.Bill{
			Name: "transit" + strconv.Itoa(n), Type: billing.CDR, Allowed: 1_000_000, Direction: billing.Max, Day: 1, Zone: "UTC",
		}, some, time.Now(), "bench")
		must(b, err)
		all = all[len(some):]
	}
}

// aim moves the clock to where a slot has just so much time left as a round takes.
func (r *round) aim() {
	first := r.spread + 15*time.Second + time.Duration(r.ports)*100*time.Microsecond
	r.slot = (time.Now().Unix()/int64(r.every) + 1) * int64(r.every)
	r.clock.offset.Store(int64(time.Until(time.Unix(r.slot+int64(r.every), 0).Add(-first))))
}

// next reads all ports in a slot.
func (r *round) next(b *testing.B) (took time.Duration) {
	b.Helper()
	done, began := r.begin(r.ports), time.Now()
	for i, d := range r.devices {
		task, err := tasks.BillingCollect{DeviceID: d.ID, Slot: r.slot, Interval: r.every}.Task(tasks.BillingQueue)
		must(b, err)
		_, err = r.client.EnqueueContext(b.Context(), task)
		must(b, err)
		<-time.After(time.Until(began.Add(r.spread * time.Duration(i+1) / time.Duration(len(r.devices)))))
	}
	select {
	case <-done:
	case <-time.After(collectRound):
		b.Fatalf("%d of %d ports were read in %v", r.written, r.ports, collectRound)
	}
	return time.Since(began)
}

// wait waits for the next slot.
func (r *round) wait() {
	r.slot += int64(r.every)
	<-time.After(time.Unix(r.slot, 0).Sub(r.clock.Now()))
}

func (r *round) measure(b *testing.B) {
	r.aim()
	r.next(b) // the first sample of each port
	var own, server, took time.Duration
	var statements, rows, calls, small, others, rounds int
	for b.Loop() {
		r.wait()
		beforeOwn, beforeServer := cpuOf(b, os.Getpid()), r.server()
		took += r.next(b)
		own += cpuOf(b, os.Getpid()) - beforeOwn
		server += r.server() - beforeServer
		rounds++
		r.mu.Lock()
		statements, others = statements+r.reads, others+r.others
		for _, n := range r.calls {
			statements += 3 * ((n + 999) / 1000)
			rows, calls = rows+n, calls+1
			if n < 500 {
				small++
			}
		}
		r.mu.Unlock()
	}
	ports := float64(rounds * r.ports)
	b.ReportMetric(float64(own.Microseconds())/ports, "own-us/port")
	b.ReportMetric(float64(server.Microseconds())/ports, "server-us/port")
	b.ReportMetric(1000*float64(statements)/ports, "statements/1000-ports")
	b.ReportMetric(float64(rows)/float64(calls), "rows/call")
	b.ReportMetric(float64(small), "calls-below-500")
	b.ReportMetric(float64(others), "flagged")
	b.ReportMetric(ports, "ports")
	b.ReportMetric(took.Seconds()/float64(rounds), "s/round")
	b.ReportMetric(0, "ns/op") // a round is as long as it is
}

// serverOf returns what says how much CPU time the database's server has used, with the processes that it started.
func serverOf(b *testing.B, database config.Database) func() time.Duration {
	b.Helper()
	port := strconv.Itoa(int(database.Port))
	if database.Connection == config.MySQL {
		pid := processWith(b, "mariadbd", "--port="+port)
		return func() time.Duration { return cpuOf(b, pid) }
	}
	pid := processWith(b, "postgres", port)
	return func() time.Duration {
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		hundredths := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it ended
			}
			_, rest, _ := strings.Cut(string(text), ") ")
			fields := strings.Fields(rest)
			at := func(i int) int { return number(fields[i-statFirst]) }
			switch strconv.Itoa(pid) {
			case filepath.Base(filepath.Dir(file)): // with the children that it has waited for
				hundredths += at(14) + at(15) + at(16) + at(17)
			case strconv.Itoa(at(4)):
				hundredths += at(14) + at(15)
			}
		}
		return time.Duration(hundredths) * time.Second / userHZ
	}
}
