//go:build gosnmp_nodebug

package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"pollux/config"
	"pollux/device"
	"pollux/poller"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

const (
	devicesVariable = "BENCH_DEVICES" // devices of the node, default 400
	profileVariable = "BENCH_PROFILE" // file that gets a CPU profile of the consumer; the first window then lasts a minute

	interval = 10                       // seconds between two polls of a device
	archives = "AVERAGE:1x120 MAX:6x20" // 23 KB a port
	warmUp   = 40 * time.Second         // files are made, and rrdcached writes out as fast as lines come in
	window   = interval * time.Second   // of one measurement: one poll of every device
)

// rrdcachedFlags hold a value for 45 s on average, which is 4 to 5 values a
// write, as with the defaults (-w 900 -z 300) at an interval of 300 s.
func rrdcachedFlags() []string { return []string{"-w", "30", "-z", "30", "-f", "600", "-t", "1"} }

// BenchmarkNode is a whole node at work: producer, consumer, redis-server,
// rrdcached and MariaDB as processes of their own, polling simulated devices of
// 48 ports every 10 s. Each run is one window of 10 s of the same node, so ask
// for -benchtime 1x and as many windows as -count says.
//
// The CPU times are milliseconds a poll, by process.
func BenchmarkNode(b *testing.B) {
	n := newNode(b)
	b.Run("window", n.measure)
}

// node is what is measured.
type node struct {
	devices  int
	pids     map[string]int // by process
	consumer string         // address of its operators' listener
	producer string
	profiled bool
}

func newNode(b *testing.B) *node {
	b.Helper()
	n := &node{devices: 400, pids: map[string]int{}}
	if given := os.Getenv(devicesVariable); given != "" {
		if n.devices = number(given); n.devices < 1 || n.devices > 10_000 {
			b.Fatalf("%s is a number from 1 to 10000, not %q", devicesVariable, given)
		}
	}
	path, port := binary(b), polluxtest.FreePort(b)
	redis, rrd, database := polluxtest.Redis(b), polluxtest.RRDCached(b, rrdcachedFlags()...), polluxtest.MariaDB(b)
	n.pids["redis"], n.pids["rrdcached"] = redis.PID(), rrd.PID()
	n.pids["db"] = processWith(b, "mariadbd", "--port="+strconv.Itoa(int(database.Port)))
	n.pids["simulator"] = simulate(b, path, fmt.Sprintf("127.102.0.0/16:%d", port), "--devices", strconv.Itoa(n.devices), "--ports", strconv.Itoa(ports)).pid

	key, err := secret.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	environ := []string{
		"APP_KEY=" + key.Reveal(), "NODE_ID=bench", "REDIS_SOCKET=" + redis.Socket, "RRDCACHED=" + rrd.Address, "DB_CONNECTION=mysql",
		"DB_HOST=" + database.Host, "DB_PORT=" + strconv.Itoa(int(database.Port)), "DB_DATABASE=" + database.Name,
		"DB_USERNAME=" + database.Username, "DB_PASSWORD=" + database.Password.Reveal(), "DB_SSLMODE=DISABLED", "POLLUX_OPS_LISTEN=127.0.0.1:0",
	}
	fill(b, database, key, netip.AddrPortFrom(netip.MustParseAddr("127.102.0.1"), uint16(port)), n.devices)
	for role, address := range map[string]*string{"producer": &n.producer, "consumer": &n.consumer} {
		p := start(b, path, environ, role)
		n.pids[role], *address = p.pid, ready(b, p)
	}
	n.warm(b)
	return n
}

// fill makes the inventory: the devices, each polled once so that its ports are known.
func fill(b *testing.B, database config.Database, key secret.String, first netip.AddrPort, devices int) {
	b.Helper()
	ctx, log := b.Context(), slog.New(slog.DiscardHandler)
	parsed, err := secret.ParseKey(key)
	must(b, err)
	migrator, err := store.OpenMigrator(ctx, database, parsed, log)
	must(b, err)
	_, err = migrator.Up(ctx)
	must(b, err)
	must(b, migrator.Close())
	s, err := store.Open(ctx, database, parsed, log)
	must(b, err)
	defer s.Close()
	must(b, s.SetSetting(ctx, settings.KeyRRDArchives, archives, "bench"))
	at := first.Addr()
	for i := range devices {
		d, err := s.AddDevice(ctx, device.Device{
			Hostname: fmt.Sprintf("bench-%05d", i+1), Address: at.String(), Port: first.Port(), Transport: "udp",
			Credentials: v2c, Interval: interval, Retries: -1, Status: device.StatusNew,
		})
		must(b, err)
		at = at.Next()
		must(b, s.SavePoll(ctx, firstPoll(ctx, b, d)))
	}
}

func firstPoll(ctx context.Context, b *testing.B, d device.Device) device.Poll {
	b.Helper()
	session, err := snmp.Dial(ctx, snmp.Target{Host: d.Host(), Port: d.Port, Credentials: d.Credentials, Timeout: time.Second, Retries: 3}, nil)
	must(b, err)
	defer session.Close()
	poll := poller.Poll(ctx, session, poller.Target{Device: d, Timeout: time.Second, Retries: 3}).Poll
	poll.DeviceID, poll.At = d.ID, time.Now().Add(-time.Minute) // older than the first slot, whatever the clocks say
	return poll
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

var listening = regexp.MustCompile(`operators' listener is open","address":"([0-9.:]+)"`)

// ready waits until a role says that it is, and returns the address of its operators' listener.
func ready(b *testing.B, p *process) string {
	b.Helper()
	deadline := time.Now().Add(answerLimit)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if time.Now().After(deadline) {
			p.fail(b, "a role is not ready")
		}
		log, err := os.ReadFile(p.log)
		must(b, err)
		found := listening.FindSubmatch(log)
		if found == nil {
			continue
		}
		address := string(found[1])
		if response, err := http.Get("http://" + address + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return address
			}
		}
	}
}

// warm waits until the node has settled: all files exist, nothing is behind.
func (n *node) warm(b *testing.B) {
	b.Helper()
	began := time.Now()
	polluxtest.Eventually(b, 3*time.Minute, "every device was polled three times and its files are there", func() bool {
		if time.Since(began) < warmUp {
			return false
		}
		now := n.scrape(b, n.consumer)
		return now.sum("pollux_polls_total", `result="up"`) >= float64(3*n.devices) && now.sum("pollux_journal_lag_seconds", "") < interval
	})
}

func (n *node) scrape(b *testing.B, address string) samples {
	b.Helper()
	all, err := scrape(address)
	must(b, err)
	return all
}

// reading is the state of the node at one moment.
type reading struct {
	consumer, producer samples
	cpu                map[string]time.Duration
}

func (n *node) read(b *testing.B) reading {
	b.Helper()
	r := reading{consumer: n.scrape(b, n.consumer), producer: n.scrape(b, n.producer), cpu: map[string]time.Duration{}}
	for name, pid := range n.pids {
		r.cpu[name] = cpuOf(b, pid)
	}
	return r
}

// measure is one window.
func (n *node) measure(b *testing.B) {
	before := n.read(b)
	b.ResetTimer()
	if file := os.Getenv(profileVariable); file != "" && !n.profiled {
		n.profiled = true
		n.profile(b, file)
	} else {
		select {
		case <-time.After(window):
		case <-b.Context().Done():
		}
	}
	after := n.read(b)
	delta := func(metric, label string) float64 {
		return after.consumer.sum(metric, label) - before.consumer.sum(metric, label)
	}
	polls, all := delta("pollux_polls_total", `result="up"`), delta("pollux_polls_total", "")
	if polls < 0.95*float64(n.devices) { // at the ends of the window some may lie just outside
		b.Fatalf("only %v of %v slots were polls of a device that is up, %d devices", polls, all, n.devices)
	}
	for name := range n.pids {
		b.ReportMetric(milliseconds(after.cpu[name]-before.cpu[name])/polls, name+"-ms/poll")
	}
	b.ReportMetric(polls/b.Elapsed().Seconds(), "polls/s")
	b.ReportMetric(all-polls, "not-up")
	b.ReportMetric(after.producer.sum("pollux_slots_missed_total", "")-before.producer.sum("pollux_slots_missed_total", ""), "missed")
	b.ReportMetric(1000*after.consumer.quantile(before.consumer, "pollux_poll_lateness_seconds", 0.50), "late-p50-ms")
	b.ReportMetric(1000*after.consumer.quantile(before.consumer, "pollux_poll_lateness_seconds", 0.99), "late-p99-ms")
	b.ReportMetric(delta("pollux_snmp_requests_total", "")/polls, "pdus/poll")
	b.ReportMetric(delta("pollux_rrd_updates_total", "")/polls, "lines/poll")
	b.ReportMetric(delta("go_memstats_alloc_bytes_total", "")/polls, "B/poll")
	b.ReportMetric(delta("go_gc_duration_seconds_count", ""), "gc/window")
	b.ReportMetric(after.consumer.sum("process_resident_memory_bytes", "")/(1<<20), "consumer-MiB")
	b.ReportMetric(0, "ns/op") // a window is as long as it is
}

// profile writes a CPU profile of the consumer: at 100 samples a second of CPU time, a window alone says little.
func (n *node) profile(b *testing.B, path string) {
	b.Helper()
	response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=60", n.consumer))
	must(b, err)
	defer response.Body.Close()
	file, err := os.Create(path)
	must(b, err)
	_, err = io.Copy(file, response.Body)
	must(b, err)
	must(b, file.Close())
}
