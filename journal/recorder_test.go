package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrdcached"
)

func TestIdentify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	var asking sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		client := w.dial()
		asking.Go(func() {
			id, err := journal.Identify(t.Context(), client, clusterID)
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	asking.Wait()
	if len(ids[0]) != 18 || ids[1] != ids[0] || ids[2] != ids[0] || ids[3] != ids[0] {
		t.Errorf("four nodes gave the tree the ids %v", ids)
	}
	w.rrd.Kill()
	w.rrd.Start()
	client := w.dial()
	if id, err := journal.Identify(t.Context(), client, clusterID); err != nil || id != ids[0] {
		t.Errorf("after a restart: %q, %v", id, err)
	}
	other := "ffffffffffffffffff"
	_, err := journal.Identify(t.Context(), client, other)
	if !errors.Is(err, journal.ErrOtherCluster) || !strings.Contains(err.Error(), other) || !strings.Contains(err.Error(), clusterID) {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := journal.Identify(t.Context(), client, "short"); err == nil {
		t.Error("a cluster id of 5 letters is taken")
	}
	if stats, err := client.Stats(t.Context()); err != nil || stats.UpdatesReceived != 0 {
		t.Errorf("identifying sent updates: %+v, %v", stats, err)
	}
}

func TestARecorderLeavesTheTreeOfAnotherClusterAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	if _, err := journal.Identify(t.Context(), w.dial(), "ffffffffffffffffff"); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	w.poll(1, 2)
	polluxtest.Eventually(t, 10*time.Second, "the keeper has looked", func() bool { return r.counter("pollux_journal_entries") == 1 })
	r.stop()
	if stats, err := w.dial().Stats(t.Context()); err != nil || stats.UpdatesReceived != 0 {
		t.Errorf("the other cluster's daemon got updates: %+v, %v", stats, err)
	}
	if up := r.counter("pollux_rrdcached_up"); up != 0 {
		t.Error("it counts as up")
	}
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	j := journal.New(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}), 0)
	config := journal.RecorderConfig{ClusterID: clusterID, FlushWindow: func() time.Duration { return time.Hour }, Archives: archives("AVERAGE:1x1")}
	for _, target := range []string{"unix:/a", "unix:/b"} { // several targets share the series' names
		config.Target = target
		if _, err := journal.NewRecorder(j, config, nil, registry, quiet(t)); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"pollux_journal_entries": 1, "pollux_journal_bytes": 1, "pollux_journal_room_ratio": 1, "pollux_journal_lag_seconds": 2, "pollux_journal_cut_total": 3,
		"pollux_rrd_updates_total": 8, "pollux_rrdcached_up": 2, "pollux_rrdcached_queue_length": 2,
		"pollux_rrdcached_files": 2, "pollux_rrdcached_waiting_seconds": 2, "pollux_rrdcached_idle_ratio": 2, "pollux_rrdcached_capacity_files": 2,
		"pollux_rrdcached_updates_received_total": 2, "pollux_rrdcached_files_written_total": 2, "pollux_rrdcached_updates_written_total": 2,
	}
	for _, family := range families {
		if want[family.GetName()] != len(family.GetMetric()) {
			t.Errorf("%s has %d series", family.GetName(), len(family.GetMetric()))
		}
		delete(want, family.GetName())
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
	for name, spoil := range map[string]func(*journal.RecorderConfig){
		"target":  func(c *journal.RecorderConfig) { c.Target = "nowhere" },
		"cluster": func(c *journal.RecorderConfig) { c.ClusterID = "" },
		"window":  func(c *journal.RecorderConfig) { c.FlushWindow = nil },
	} {
		c := config
		spoil(&c)
		if _, err := journal.NewRecorder(j, c, nil, prometheus.NewRegistry(), quiet(t)); err == nil {
			t.Errorf("a recorder with a bad %s is made", name)
		}
	}
}

// Bad files, lines that do not fit their file and entries that nobody can read do not hold up the rest.
func TestBadFilesAndEntriesStopNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	ctx, client := t.Context(), w.dial()
	bad := measurement.Path("sw1", measurement.KindPort, 1001, 0)
	foreign := measurement.Path("sw1", measurement.KindPort, 1002, 0)
	if err := os.MkdirAll(filepath.Join(w.rrd.Base, "sw1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.rrd.Base, bad), []byte("this is not an RRD file"), 0o644); err != nil {
		t.Fatal(err)
	}
	schema, err := measurement.Schema(measurement.KindUptime, step, 600, 0, archives("AVERAGE:1x10")())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Create(ctx, foreign, schema, time.Unix(w.begin, 0), ""); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	for range 5 {
		w.poll(2, 4)
		for _, garbage := range []string{"", "\x01", "\x99abc", strings.Repeat("x", 5000)} {
			if err := w.client.XAdd(ctx, &redis.XAddArgs{Stream: w.journal.Stream(), Values: []string{"e", garbage}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.client.XAdd(ctx, &redis.XAddArgs{Stream: w.journal.Stream(), Values: []string{"other", "field"}}).Err(); err != nil {
		t.Fatal(err)
	}
	fraction := w.entry(2, 4)
	fraction.Measurements[0].Values[3] = measurement.Gauge(1.5) // would make the daemon drop the whole queue of the file
	delete(w.counted, measurement.Path("sw2", measurement.KindPort, 2000, 0))
	if result, err := w.journal.Append(ctx, fraction); err != nil || result != journal.Accepted {
		t.Fatalf("append: %v, %v", result, err)
	}
	w.drained()
	delete(w.counted, bad)
	delete(w.counted, foreign)
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if n := r.counter("pollux_rrd_updates_total", "refused"); n != 11 {
		t.Errorf("%.0f lines are refused, want 5 of each bad file and the fraction", n)
	}
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 21 {
		t.Errorf("%.0f entries are undecodable, want 21", n)
	}
}

// A removed device's entries are dropped, in a replay too, and no file of it appears.
func TestATombstoneLeavesNoGhost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	ctx := t.Context()
	w.poll(3, 2)
	if err := w.journal.Tombstone(ctx, 2, time.Hour); err != nil {
		t.Fatal(err)
	}
	r := w.record()
	w.poll(3, 2)
	w.drained()
	w.rrd.Kill()
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "the restart is seen", func() bool { return w.cursor()["instance"] == "1" })
	w.poll(3, 2)
	w.drained()
	for name, there := range map[string]bool{"sw1": true, "sw2": false, "sw3": true} {
		if _, err := os.Stat(filepath.Join(w.rrd.Base, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.counter("pollux_rrd_updates_total", "removed"); n < 3*2 {
		t.Errorf("%.0f lines of a removed device", n)
	}
	if ttl := w.client.ZScore(ctx, w.journal.Key("tombstones"), "2").Val(); time.UnixMilli(int64(ttl)).Before(time.Now().Add(119 * time.Minute)) {
		t.Errorf("the tombstone ends %v", time.UnixMilli(int64(ttl)))
	}
	if err := w.journal.Tombstone(ctx, 1, -time.Hour); err != nil { // over at once, and removed by the next
		t.Fatal(err)
	}
	if err := w.journal.Tombstone(ctx, 3, time.Hour); err != nil {
		t.Fatal(err)
	}
	if ids := w.client.ZRange(ctx, w.journal.Key("tombstones"), 0, -1).Val(); len(ids) != 2 {
		t.Errorf("tombstones of %v", ids)
	}
}

// A cursor that is beyond the log, or not the one that was stored, means that Redis has gone back in time.
func TestRedisGoesBackInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	ctx := t.Context()
	r := w.record()
	w.poll(2, 2)
	w.drained()
	r.stop()
	id := w.client.SMembers(ctx, w.journal.Key("targets")).Val()[0]
	key := w.journal.Key("cursor", id)
	if err := w.client.HSet(ctx, key, "acked", "9795340000000-0").Err(); err != nil {
		t.Fatal(err)
	}
	r = w.record()
	w.poll(2, 2)
	w.drained()
	first, present := w.cursor()["acked"], r.counter("pollux_rrd_updates_total", "present")
	if err := w.client.HSet(ctx, key, "acked", "0-0").Err(); err != nil { // while it runs
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 10*time.Second, "the recorder goes on from what Redis has", func() bool {
		return w.cursor()["acked"] == first
	})
	if n := r.counter("pollux_rrd_updates_total", "present") - present; n < 4*2 {
		t.Errorf("%.0f lines were sent again: the recorder went on from memory", n)
	}
	w.poll(2, 2)
	w.drained()
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
		t.Errorf("%.0f lines were refused", refused)
	}
}

// Every kind of file that this program knows can be created and filled.
func TestUptimeFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	w.record()
	for i := range 4 {
		at := time.Unix(w.begin+int64(i)*step, 0)
		e := journal.Entry{DeviceID: 1, Slot: at.Unix(), Outcome: "up", Dir: "sw1", Step: step, Heartbeat: 600, Measurements: []measurement.Measurement{
			{Kind: measurement.KindUptime, Time: at, Values: []measurement.Value{measurement.Gauge(float64(i) + 0.5)}},
		}}
		if result, err := w.journal.Append(t.Context(), e); err != nil || result != journal.Accepted {
			t.Fatalf("append: %v, %v", result, err)
		}
	}
	w.drained()
	series, err := w.dial().Fetch(t.Context(), "sw1/uptime.rrd", "AVERAGE", time.Unix(w.begin, 0), time.Unix(w.begin+30, 0))
	if err != nil || len(series.Rows) < 3 || series.Rows[2].Values[0] != 3.5 {
		t.Errorf("%+v, %v", series, err)
	}
}

func dialRRD(t *testing.T, address string) *rrdcached.Client {
	t.Helper()
	client, err := rrdcached.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestARecorderNamesWhatItMayNotDo meets a daemon whose option -P forbids what only some files need.
func TestARecorderNamesWhatItMayNotDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	w.through = polluxtest.RRDCached(t, "-P", "UPDATE,BATCH,FLUSH,FETCH,LAST,INFO,STATS,PING").Address
	r := w.record()
	polluxtest.Eventually(t, 10*time.Second, "it names the commands", func() bool {
		err := r.health()
		return errors.Is(err, rrdcached.ErrPermission) && strings.Contains(err.Error(), "CREATE, FORGET")
	})
	if up := r.counter("pollux_rrdcached_up"); up != 0 {
		t.Error("it counts as up")
	}
}

// A tombstone that is over and was not removed yet drops nothing: the id may be that of another device, after a restored database.
func TestATombstoneThatIsOverDropsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	if err := w.journal.Tombstone(t.Context(), 2, -time.Hour); err != nil {
		t.Fatal(err)
	}
	w.poll(2, 2)
	r := w.record()
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "removed"); n != 0 || !w.there("sw2") {
		t.Errorf("%.0f lines are dropped, there are files: %v", n, w.there("sw2"))
	}
}
