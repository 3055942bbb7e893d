package journal_test

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrdcached"
)

const (
	clusterID = "0123456789abcdef01"
	step      = 10 // seconds between the samples of a simulated device
)

// world is a Redis, an RRDCached, a journal between them, and what the simulated devices counted.
type world struct {
	t       *testing.T
	redis   *polluxtest.Server
	rrd     *polluxtest.Server
	client  *redis.Client
	journal *journal.Journal
	window  time.Duration
	wrap    func(journal.Lease) journal.Lease
	through string       // address of a proxy to rrdcached, "" for none
	log     *slog.Logger // nil for none
	limit   atomic.Int64 // cap in bytes
	random  *rand.Rand
	begin   int64 // Unix seconds, hours ago: simulated time is faster than ours
	slots   int   // that were polled
	counted map[string][]counted
	torn    map[string]bool // files that a kill left half written, see lookForTears
}

// counted is one sample of the first counter of a file; source i counts i+1 times as fast.
type counted struct {
	ms    int64
	count uint64
}

// newWorld starts the servers; flags are those of rrdcached, whose sum is window.
func newWorld(t *testing.T, window time.Duration, flags ...string) *world {
	t.Helper()
	w := &world{
		// Always: with everysec Redis holds back what it has acknowledged for up to 2 s while a busy disk syncs.
		t: t, redis: polluxtest.Redis(t, "--appendfsync", "always"), rrd: polluxtest.RRDCached(t, flags...), window: window,
		random: rand.New(rand.NewPCG(11, 13)), begin: (time.Now().Unix() - 7200) / 300 * 300, counted: map[string][]counted{}, torn: map[string]bool{},
	}
	w.client = dialRedis(t, w.redis)
	w.journal = journal.New(w.client, 0)
	return w
}

func dialRedis(t testing.TB, server *polluxtest.Server) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Network: "unix", Addr: server.Socket, ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// poll appends one poll of every device, of ports ports each. Rates at least double or halve from slot to slot.
func (w *world) poll(devices, ports int) {
	w.t.Helper()
	for d := 1; d <= devices; d++ {
		if result, err := w.journal.Append(w.t.Context(), w.entry(int64(d), ports)); err != nil || result != journal.Accepted {
			w.t.Errorf("append of device %d, slot %d: %v, %v", d, w.slots, result, err)
		}
	}
	w.slots++
}

func (w *world) entry(id int64, ports int) journal.Entry {
	slot := w.begin + int64(w.slots)*step
	at := slot*1000 + 200 + w.random.Int64N(1800)
	e := journal.Entry{
		DeviceID: id, Slot: slot, Outcome: device.OutcomeUp, Dir: "sw" + strconv.FormatInt(id, 10),
		Step: step, Heartbeat: measurement.Heartbeat(step),
	}
	for p := range ports {
		m := measurement.Measurement{
			Kind: measurement.KindPort, Instance: id*1000 + int64(p), Max: measurement.DefaultPortMax, Time: time.UnixMilli(at + int64(p)),
		}
		file := measurement.Path(e.Dir, m.Kind, m.Instance, 0)
		m.Values = portValues(w.count(file, at+int64(p)))
		e.Measurements = append(e.Measurements, m)
	}
	return e
}

// count lets the first counter of a file go on until ms.
func (w *world) count(file string, ms int64) uint64 {
	samples := w.counted[file]
	next := counted{ms: ms, count: 1_000_000}
	if n := len(samples); n > 0 {
		rate := 100 + w.random.Int64N(100)
		if w.slots%2 == 0 {
			rate = 400 + w.random.Int64N(500)
		}
		next.count = samples[n-1].count + uint64(rate*(ms-samples[n-1].ms)/1000)
	}
	w.counted[file] = append(samples, next)
	return next.count
}

func portValues(count uint64) []measurement.Value {
	values := make([]measurement.Value, len(measurement.KindPort.Sources()))
	for i := range values {
		values[i] = measurement.Counter(count * uint64(i+1))
	}
	return values
}

// running is a recorder at work.
type running struct {
	*world
	registry *prometheus.Registry
	health   func() error
	stop     func()
}

// record starts a recorder; set changes it before it runs.
func (w *world) record(set ...func(*journal.Recorder)) *running {
	w.t.Helper()
	registry := prometheus.NewRegistry()
	recorder, err := journal.NewRecorder(w.journal, w.config(), w.newLease, registry, cmp.Or(w.log, quiet(w.t)))
	if err != nil {
		w.t.Fatal(err)
	}
	recorder.Hurry(time.Second, 300*time.Millisecond)
	for _, change := range set {
		change(recorder)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := recorder.Run(ctx); err != nil {
			w.t.Errorf("recorder: %v", err)
		}
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return &running{world: w, registry: registry, health: recorder.Health, stop: stop}
}

func (w *world) config() journal.RecorderConfig {
	return journal.RecorderConfig{
		Target: cmp.Or(w.through, w.rrd.Address), ClusterID: clusterID, Cap: w.limit.Load,
		FlushWindow: func() time.Duration { return w.window },
		Archives:    archives("AVERAGE:1x400"),
	}
}

func archives(text string) func() []rrdcached.Archive {
	parsed, err := rrdcached.ParseArchives(text)
	if err != nil {
		panic(err)
	}
	return func() []rrdcached.Archive { return parsed }
}

func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("test", t.Name())
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// counter reads a series of the recorder's metrics.
func (r *running) counter(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, pair := range metric.GetLabel() {
				if pair.GetName() != "target" && pair.GetName() != "shard" {
					values = append(values, pair.GetValue())
				}
			}
			if family.GetName() == name && strings.Join(values, ",") == strings.Join(labels, ",") {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("there is no series %s%v", name, labels)
	return 0
}

// cursor is what Redis keeps of the only target.
func (w *world) cursor() map[string]string {
	w.t.Helper()
	ids, err := w.client.SMembers(w.t.Context(), w.journal.Key("targets")).Result()
	if err != nil {
		w.t.Fatal(err)
	}
	if len(ids) == 0 {
		return nil
	}
	fields, err := w.client.HGetAll(w.t.Context(), w.journal.Key("cursor", ids[0])).Result()
	if err != nil {
		w.t.Fatal(err)
	}
	return fields
}

// drained waits until all that was appended is acknowledged.
func (w *world) drained() {
	w.t.Helper()
	polluxtest.Eventually(w.t, 30*time.Second, "the whole log is acknowledged", func() bool {
		info, err := w.client.XInfoStream(w.t.Context(), w.journal.Stream()).Result()
		return err == nil && w.cursor()["acked"] == info.LastGeneratedID
	})
}

func (w *world) dial() *rrdcached.Client {
	w.t.Helper()
	return dialRRD(w.t, w.rrd.Address)
}

// verdict compares every slot of every file and source with what was counted:
// the average of the rates between samples, by time. It returns how many are right and how many are not.
// Files that a kill tore beyond mending are left out.
func (w *world) verdict() (right, wrong int) {
	w.t.Helper()
	client := w.dial()
	for file, samples := range w.counted {
		if w.torn[file] {
			continue
		}
		first, last := samples[0].ms, samples[len(samples)-1].ms
		series, err := client.Fetch(w.t.Context(), file, "AVERAGE", time.UnixMilli(first), time.UnixMilli(last))
		if err != nil {
			w.t.Fatalf("%s: %v", file, err)
		}
		for _, row := range series.Rows {
			end := row.Time.UnixMilli()
			begin := end - int64(series.Step)*1000
			if begin < first || end > last {
				continue
			}
			want := average(samples, begin, end)
			for i, got := range row.Values {
				if expected := want * float64(i+1); !off(got, expected) {
					right++
				} else {
					wrong++
				}
			}
		}
	}
	return right, wrong
}

// average is the closed form of one slot in units per second.
func average(samples []counted, begin, end int64) float64 {
	sum := 0.0
	for i := 1; i < len(samples); i++ {
		from, to := max(begin, samples[i-1].ms), min(end, samples[i].ms)
		if from < to {
			rate := float64(samples[i].count-samples[i-1].count) / float64(samples[i].ms-samples[i-1].ms)
			sum += rate * float64(to-from)
		}
	}
	return sum / float64(end-begin) * 1000
}

// every calls do n times, once per interval.
func every(interval time.Duration, n int, do func(i int)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		do(i)
	}
}

// probe sends n probes to the daemon, as others than the recorder might.
func (w *world) probe(n int) {
	w.t.Helper()
	files := make([]string, n)
	for i := range files {
		files[i] = "sw1/port-id1000.rrd"
	}
	if _, err := w.dial().Probe(w.t.Context(), files); err != nil {
		w.t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
