package rrd_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

const (
	clusterID = "0123456789abcdef01"
	step      = 10 // seconds between the samples of a simulated device
	limit     = time.Minute
)

// world is a Redis, two RRDCached, a journal between them, and simulated devices. Only one goroutine polls.
type world struct {
	t       *testing.T
	a, b    *polluxtest.Server
	client  *redis.Client
	journal *journal.Journal
	devices []device.Device
	ports   map[int64][]device.Port
	begin   int64 // Unix seconds, hours ago: simulated time is faster than ours
	slots   int   // that were polled
	rra     string
}

// newWorld has 3 devices of 4 ports.
func newWorld(t *testing.T) *world {
	t.Helper()
	server := polluxtest.Redis(t)
	w := &world{
		t: t, a: polluxtest.RRDCached(t), b: polluxtest.RRDCached(t), ports: map[int64][]device.Port{},
		begin: (time.Now().Unix() - 9000) / 300 * 300, rra: "AVERAGE:1x60 6x40 24x20 MAX:6x40 24x20",
	}
	w.client = redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, ReadTimeout: 5 * time.Second})
	t.Cleanup(func() { _ = w.client.Close() })
	w.journal = journal.New(w.client, 0)
	for id := int64(1); id <= 3; id++ {
		name := "sw" + strconv.FormatInt(id, 10)
		w.devices = append(w.devices, device.Device{ID: id, Hostname: name + ".example.net", RRDDir: name, Interval: step})
		for p := range int64(4) {
			w.ports[id] = append(w.ports[id], device.Port{ID: id*100 + p, DeviceID: id})
		}
	}
	return w
}

// poll appends a poll of every device. Each source counts at a rate of its own that changes from slot to slot.
func (w *world) poll() {
	w.t.Helper()
	slot := w.begin + int64(w.slots)*step
	for _, d := range w.devices {
		at := time.UnixMilli(slot*1000 + 200 + (d.ID*377+int64(w.slots)*91)%1500)
		e := journal.Entry{
			DeviceID: d.ID, Slot: slot, Outcome: device.OutcomeUp, Dir: d.RRDDir, Step: step, Heartbeat: measurement.Heartbeat(step),
			Measurements: []measurement.Measurement{{
				Kind: measurement.KindUptime, Generation: d.Generation, Time: at, Values: []measurement.Value{measurement.Gauge(float64(slot))},
			}},
		}
		for _, port := range w.ports[d.ID] {
			values := make([]measurement.Value, len(measurement.KindPort.Sources()))
			for i := range values {
				n := uint64(w.slots)
				values[i] = measurement.Counter((n*n*7 + n*uint64(port.ID)) * uint64(i+1))
			}
			e.Measurements = append(e.Measurements, measurement.Measurement{
				Kind: measurement.KindPort, Instance: port.ID, Generation: port.Generation, Max: measurement.DefaultPortMax, Time: at, Values: values,
			})
		}
		if result, err := w.journal.Append(context.Background(), e); err != nil || result != journal.Accepted {
			w.t.Errorf("append of device %d, slot %d: %v, %v", d.ID, w.slots, result, err)
		}
	}
	w.slots++
}

// pollWhile polls every 10 ms until the returned function is called, which waits for the end.
func (w *world) pollWhile() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for w.slots < 880 && ctx.Err() == nil { // simulated time must not pass ours
			<-tick.C
			w.poll()
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// record starts a recorder to an RRDCached; the returned function stops it.
func (w *world) record(s *polluxtest.Server) (stop func()) {
	w.t.Helper()
	archives, err := rrdcached.ParseArchives(w.rra)
	if err != nil {
		w.t.Fatal(err)
	}
	recorder, err := journal.NewRecorder(w.journal, journal.RecorderConfig{
		Target: s.Address, ClusterID: clusterID,
		FlushWindow: func() time.Duration { return time.Hour }, Archives: func() []rrdcached.Archive { return archives },
	}, w.lease, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := recorder.Run(ctx); err != nil {
			w.t.Errorf("recorder: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) lease(key string) journal.Lease {
	return cluster.NewLease(w.client, key, "test", 12*time.Second)
}

// drained waits until RRDCached have acknowledged all that was appended.
func (w *world) drained(servers ...*polluxtest.Server) {
	w.t.Helper()
	id, err := w.journal.End(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range servers {
		polluxtest.Eventually(w.t, limit, "the whole log is acknowledged", func() bool {
			target, err := journal.ReadIdentity(w.t.Context(), w.dial(s), clusterID)
			if err != nil {
				return false
			}
			recorded, err := w.journal.Recorded(w.t.Context(), target, id)
			return err == nil && recorded
		})
	}
}

func (w *world) dial(s *polluxtest.Server) *rrdcached.Client {
	w.t.Helper()
	client, err := rrdcached.Dial(w.t.Context(), s.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	return client
}

// identify is the id of an RRDCached, which gets one if it has none.
func (w *world) identify(s *polluxtest.Server) string {
	w.t.Helper()
	id, err := journal.Identify(w.t.Context(), w.dial(s), clusterID)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) portsOf(_ context.Context, id int64) ([]device.Port, error) { return w.ports[id], nil }

func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range list {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// verify compares the two RRDCached and returns what differs, by file.
func (w *world) verify() (rrd.Verified, map[string]rrd.Difference) {
	w.t.Helper()
	found := map[string]rrd.Difference{}
	result, err := rrd.Verify(w.t.Context(), rrd.VerifyConfig{
		Journal: w.journal, ClusterID: clusterID, From: w.a.Address, To: w.b.Address, Ports: w.portsOf, Patience: 5 * time.Second,
		Report: func(d rrd.Difference) {
			if _, twice := found[d.File]; twice {
				w.t.Errorf("%s is reported twice", d.File)
			}
			found[d.File] = d
		},
	}, each(w.devices))
	if err != nil {
		w.t.Fatal(err)
	}
	if result.Different != len(found) {
		w.t.Errorf("%d files differ, %d were reported", result.Different, len(found))
	}
	return result, found
}

// damage changes a file behind the back of an RRDCached that holds nothing of it.
func (w *world) damage(s *polluxtest.Server, name string, change func(data []byte) []byte) {
	w.t.Helper()
	client, file := w.dial(s), filepath.Join(s.Base, name)
	must(w.t, client.Flush(w.t.Context(), name))
	must(w.t, client.Forget(w.t.Context(), name))
	data, err := os.ReadFile(file)
	must(w.t, err)
	must(w.t, os.WriteFile(file, change(data), 0o644))
}

// ownFiles of a device are those of what is known without its help, which nothing is filed into here: icmp-perf, four
// of availability, and poller-perf of the poll and of nine modules.
const ownFiles = 15

// files are the files of all devices that something is filed into.
func (w *world) files() (all []string) {
	for _, d := range w.devices {
		for _, file := range rrd.Files(d, w.ports[d.ID], nil) {
			if kind, _, _, _ := measurement.ParseName(path.Base(file)); kind < measurement.KindICMP {
				all = append(all, file)
			}
		}
	}
	return all
}

// names are all names below a directory, sorted; directories end with a slash.
func names(t *testing.T, base string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(base, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(base, path)
		if entry.IsDir() {
			name += "/"
		}
		if name != "./" {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plant writes a file into a tree.
func plant(t *testing.T, base, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(base, name)), 0o755))
	must(t, os.WriteFile(filepath.Join(base, name), []byte(text), 0o644))
}

func at(second int64) time.Time { return time.Unix(second, 0) }

func text(values ...any) string { return fmt.Sprint(values...) }
