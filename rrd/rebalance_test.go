package rrd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	shardCluster = "0123456789abcdef01"
	shardStep    = 10 // seconds; simulated time is faster than ours
	shardPorts   = 3
	shardRate    = 1000 // octets per second, of the first counter of every port
)

// shardWorld is two shards of two RRDCached each, and devices whose polls flow into them.
type shardWorld struct {
	t      *testing.T
	client *redis.Client
	shards *journal.Shards
	rrds   map[int][]*polluxtest.Server

	mu      sync.Mutex
	devices map[int64]device.Device // as the inventory has them
	slot    int64
	begin   int64
}

func newShardWorld(t *testing.T) *shardWorld {
	t.Helper()
	server := polluxtest.Redis(t)
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Second})
	t.Cleanup(func() { _ = client.Close() })
	w := &shardWorld{t: t, client: client, shards: journal.NewShards(client), rrds: map[int][]*polluxtest.Server{}, devices: map[int64]device.Device{}}
	w.begin = (time.Now().Unix() - 7200) / 300 * 300
	w.slot = w.begin
	var posts []journal.Post
	for shard := range 2 {
		for range 2 {
			daemon := polluxtest.RRDCached(t, "-w", "900", "-z", "300", "-f", "1800", "-t", "1")
			w.rrds[shard] = append(w.rrds[shard], daemon)
			posts = append(posts, journal.Post{Shard: shard, Target: daemon.Address})
		}
	}
	archives, err := rrdcached.ParseArchives("AVERAGE:1x400")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	crew := journal.NewCrew(func() []journal.Post { return posts }, func(p journal.Post) (*journal.Recorder, error) {
		return journal.NewRecorder(w.shards.Shard(p.Shard), journal.RecorderConfig{
			Target: p.Target, ClusterID: shardCluster,
			FlushWindow: func() time.Duration { return 50 * time.Minute },
			Archives:    func() []rrdcached.Archive { return archives },
		}, func(key string) journal.Lease { return cluster.NewLease(client, key, "test", 12*time.Second) }, prometheus.NewRegistry(), log)
	}, log)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = crew.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// add puts devices into shard 0, all of which were there before the other one came.
func (w *shardWorld) add(n int) {
	for id := range int64(n) {
		id++
		w.devices[id] = device.Device{ID: id, Hostname: fmt.Sprintf("sw%d", id), RRDDir: fmt.Sprintf("sw%d", id), Interval: 60}
	}
}

// poll appends the next slot of all devices, as nodes do: into the shard that
// they have read, and again while a device is held.
func (w *shardWorld) poll() {
	w.t.Helper()
	w.mu.Lock()
	w.slot += shardStep
	slot, devices := w.slot, slices.Collect(maps.Values(w.devices))
	w.mu.Unlock()
	for _, d := range devices {
		e := w.entry(d, slot, 0)
		polluxtest.Eventually(w.t, 30*time.Second, "a poll is accepted", func() bool {
			result, err := w.shards.AppendOn(w.t.Context(), "", e)
			if err != nil && !errors.Is(err, journal.ErrMoving) {
				w.t.Errorf("append: %v", err)
			}
			return err == nil && result == journal.Accepted
		})
	}
}

// entry is a poll of a device some seconds after the begin of a slot.
func (w *shardWorld) entry(d device.Device, slot, after int64) journal.Entry {
	e := journal.Entry{DeviceID: d.ID, Shard: d.Shard, Slot: slot, Outcome: device.OutcomeUp, Dir: d.RRDDir, Step: shardStep, Heartbeat: 600}
	for port := range int64(shardPorts) {
		m := measurement.Measurement{
			Kind: measurement.KindPort, Instance: d.ID*100 + port, Max: measurement.DefaultPortMax, Time: time.UnixMilli((slot+after)*1000 + 500),
		}
		for i := range m.Kind.Sources() {
			m.Values = append(m.Values, measurement.Counter(uint64(slot+after-w.begin)*shardRate*uint64(i+1)))
		}
		e.Measurements = append(e.Measurements, m)
	}
	return e
}

// note is the inventory's part of a move.
func (w *shardWorld) note(_ context.Context, id int64, from, to int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.devices[id]; d.Shard == from {
		d.Shard = to
		w.devices[id] = d
	}
	return nil
}

func (w *shardWorld) recorded() {
	w.t.Helper()
	polluxtest.Eventually(w.t, 60*time.Second, "all is recorded", func() bool {
		for shard := range w.rrds {
			status, err := w.shards.Shard(shard).Status(w.t.Context())
			if err != nil || len(status.Targets) != len(w.rrds[shard]) {
				return false
			}
			for _, target := range status.Targets {
				if target.Lag > 0 {
					return false
				}
			}
		}
		return true
	})
}

func (w *shardWorld) mover() (*rrd.Mover, error) {
	return rrd.NewMover(w.t.Context(), w.moverConfig(), rrd.MoverDeps{Shards: w.shards, Note: w.note})
}

func (w *shardWorld) moverConfig() rrd.MoverConfig {
	places := map[int][]rrd.Place{}
	for shard, daemons := range w.rrds {
		for _, daemon := range daemons {
			places[shard] = append(places[shard], rrd.Place{Address: daemon.Address, Dir: daemon.Base})
		}
	}
	return rrd.MoverConfig{ClusterID: shardCluster, Places: places, Window: time.Hour}
}

// check fails the test unless the files of every device are in the trees of its
// shard and nowhere else, and have the device's rate in every slot from the first on.
func (w *shardWorld) check() {
	w.t.Helper()
	w.recorded()
	for shard, daemons := range w.rrds {
		for n, daemon := range daemons {
			client, err := rrdcached.Dial(w.t.Context(), daemon.Address)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, d := range w.devices {
				for port := range int64(shardPorts) {
					file := measurement.Path(d.RRDDir, measurement.KindPort, d.ID*100+port, 0)
					_, err := os.Stat(filepath.Join(daemon.Base, file))
					switch {
					case d.Shard == shard && err != nil:
						w.t.Errorf("shard %d, RRDCached %d lacks %s: %v", shard, n, file, err)
					case d.Shard == shard:
						w.checkRates(client, file)
					case err == nil:
						w.t.Errorf("shard %d, RRDCached %d has %s of shard %d", shard, n, file, d.Shard)
					}
				}
			}
			_ = client.Close()
		}
	}
}

func (w *shardWorld) checkRates(client *rrdcached.Client, file string) {
	w.t.Helper()
	series, err := client.Fetch(w.t.Context(), file, "AVERAGE", time.Unix(w.begin+shardStep, 0), time.Unix(w.slot, 0))
	if err != nil {
		w.t.Fatalf("%s: %v", file, err)
	}
	compared := 0
	for _, row := range series.Rows {
		end := row.Time.Unix()
		if end <= w.begin+2*shardStep || end > w.slot {
			continue
		}
		compared++
		if got := row.Values[0]; math.IsNaN(got) || math.Abs(got-shardRate) > 1 {
			w.t.Errorf("%s: %v at slot %d of %d", file, got, (end-w.begin)/shardStep, (w.slot-w.begin)/shardStep)
			return
		}
	}
	if want := int(w.slot-w.begin)/shardStep - 2; compared < want {
		w.t.Errorf("%s: %d slots, want %d", file, compared, want)
	}
}

// TestDevicesMoveWhileTheyArePolled adds a shard to one that has devices, moves
// what belongs there, has the daemons killed, and empties the first shard then.
func TestDevicesMoveWhileTheyArePolled(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(12)
	for range 5 {
		w.poll()
	}
	w.recorded()
	w.moveUnderLoad([]int{0, 1})
	w.check()
	// What the daemons had in memory only is sent again, into the shard that has the device now.
	for _, daemons := range w.rrds {
		for _, daemon := range daemons {
			daemon.Kill()
			daemon.Start()
		}
	}
	w.poll()
	w.check()
	w.moveUnderLoad([]int{1})
	w.check()
	for _, d := range w.devices {
		if d.Shard != 1 {
			t.Errorf("%s is in shard %d", d.Hostname, d.Shard)
		}
	}
}

// moveUnderLoad moves what is in the wrong shard while all devices are polled.
func (w *shardWorld) moveUnderLoad(shards []int) {
	w.t.Helper()
	mover, err := w.mover()
	if err != nil {
		w.t.Fatal(err)
	}
	defer mover.Close()
	ctx, cancel := context.WithCancel(w.t.Context())
	var polling sync.WaitGroup
	polling.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond) // simulated time must not reach the present
		defer tick.Stop()
		for ctx.Err() == nil {
			w.poll()
			<-tick.C
		}
	})
	defer polling.Wait()
	defer cancel()
	w.mu.Lock()
	moves := rrd.Plan(slices.SortedFunc(maps.Values(w.devices), func(a, b device.Device) int { return int(a.ID - b.ID) }), shards)
	w.mu.Unlock()
	if len(moves) == 0 || len(moves) == len(w.devices) && len(shards) > 1 {
		w.t.Fatalf("%d of %d devices are to move", len(moves), len(w.devices))
	}
	for _, move := range moves {
		moved, err := mover.Move(w.t.Context(), move)
		if err != nil {
			w.t.Fatal(err)
		}
		if moved.Files != shardPorts {
			w.t.Errorf("%s: %+v", move.Device.Hostname, moved)
		}
		w.t.Logf("%s was held for %v", move.Device.Hostname, moved.Held.Round(time.Millisecond))
	}
	if left := mover.Settle(w.t.Context()); len(left) > 0 {
		w.t.Errorf("files that are left: %v", left)
	}
}

// TestAMoveThatWasNotWrittenDown has the database fail at the worst moment: the next run mends it.
func TestAMoveThatWasNotWrittenDown(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(1)
	for range 3 {
		w.poll()
	}
	w.recorded()
	mover, err := w.mover()
	if err != nil {
		t.Fatal(err)
	}
	defer mover.Close()
	failing := rrd.MoverDeps{Shards: w.shards, Note: func(context.Context, int64, int, int) error { return errors.New("the database is away") }}
	forgetful, err := rrd.NewMover(t.Context(), w.moverConfig(), failing)
	if err != nil {
		t.Fatal(err)
	}
	defer forgetful.Close()
	move := rrd.Move{Device: w.devices[1], From: 0, To: 1}
	if _, err := forgetful.Move(t.Context(), move); err == nil {
		t.Error("a move that was not written down succeeds")
	}
	w.poll() // by a node that reads shard 0 in the inventory
	if left := forgetful.Settle(t.Context()); len(left) > 0 {
		t.Errorf("files that are left: %v", left)
	}
	if moved, err := mover.Move(t.Context(), move); err != nil || moved.Files != 0 {
		t.Fatalf("the next run: %+v, %v", moved, err)
	}
	if w.devices[1].Shard != 1 {
		t.Errorf("the inventory says shard %d", w.devices[1].Shard)
	}
	w.poll()
	w.check()
}

// TestMoversKnowTheirTrees: a wrong directory would be filled with files that nobody reads.
func TestMoversKnowTheirTrees(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(2)
	w.poll()
	w.recorded()
	good := w.moverConfig().Places
	for name, change := range map[string]func(c *rrd.MoverConfig){
		"another directory": func(c *rrd.MoverConfig) { c.Places[1] = []rrd.Place{{good[1][0].Address, good[1][1].Dir}} },
		"no tree":           func(c *rrd.MoverConfig) { c.Places[1] = []rrd.Place{{good[1][0].Address, t.TempDir()}} },
		"no directory": func(c *rrd.MoverConfig) {
			c.Places[1] = []rrd.Place{{good[1][0].Address, "/nowhere/" + strconv.Itoa(os.Getpid())}}
		},
		"one of two trees": func(c *rrd.MoverConfig) { c.Places[0] = good[0][:1] },
		"twice":            func(c *rrd.MoverConfig) { c.Places[1] = good[0] },
		"another cluster":  func(c *rrd.MoverConfig) { c.ClusterID = "ffffffffffffffffff" },
	} {
		c := w.moverConfig()
		change(&c)
		if m, err := rrd.NewMover(t.Context(), c, rrd.MoverDeps{Shards: w.shards, Note: w.note}); err == nil {
			m.Close()
			t.Errorf("%s: no error", name)
		}
	}
	mover, err := w.mover()
	if err != nil {
		t.Fatal(err)
	}
	defer mover.Close()
	if _, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[1], From: 0, To: 9}); err == nil {
		t.Error("a move to a shard whose trees are not known")
	}
	w.poll()
	w.check()
}

// TestOnlyCopiesAreRemoved has two trees of a shard differ: the history that only one has must not be lost.
func TestOnlyCopiesAreRemoved(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t)
	w.add(2)
	for range 3 {
		w.poll()
	}
	w.recorded()
	mover, err := w.mover()
	if err != nil {
		t.Fatal(err)
	}
	defer mover.Close()
	file := func(n int, device, port int64) string {
		return filepath.Join(w.rrds[0][n].Base, measurement.Path(w.devices[device].RRDDir, measurement.KindPort, device*100+port, 0))
	}
	only := filepath.Join(filepath.Dir(file(1, 1, 0)), "port-id999.rrd") // in the second tree only
	w.flush(w.rrds[0][1])
	if data, err := os.ReadFile(file(1, 1, 0)); err != nil || os.WriteFile(only, data, 0o600) != nil {
		t.Fatal(err)
	}
	if _, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[1], From: 0, To: 1}); !errors.Is(err, rrd.ErrLacking) {
		t.Errorf("a move from the tree that lacks a file: %v", err)
	}
	w.poll() // it is polled on where it was
	if w.devices[1].Shard != 0 {
		t.Error("the device moved")
	}
	// A file of the second tree that lacks the last samples stays.
	other := file(1, 2, 1)
	early, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.poll()
	}
	w.recorded()
	w.flush(w.rrds[0][1])
	if err := os.WriteFile(other, early, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mover.Move(t.Context(), rrd.Move{Device: w.devices[2], From: 0, To: 1}); err != nil {
		t.Fatal(err)
	}
	left := mover.Settle(t.Context())
	if len(left) != 1 || !strings.Contains(left[0].Error(), "port-id201.rrd") {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the other history is gone: %v", err)
	}
	if _, err := os.Stat(file(0, 2, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copied one is still there: %v", err)
	}
}

func (w *shardWorld) flush(s *polluxtest.Server) {
	w.t.Helper()
	client, err := rrdcached.Dial(w.t.Context(), s.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	for _, d := range w.devices {
		for port := range int64(shardPorts) {
			if err := client.Flush(w.t.Context(), measurement.Path(d.RRDDir, measurement.KindPort, d.ID*100+port, 0)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
