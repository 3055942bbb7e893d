package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/polluxtest"
	"pollux/producer"
	"pollux/rrdcached"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

// TestWhatIsDiscoveredReachesItsFiles: a new device is discovered by itself, and
// each of its processors, pools, storages and sensors is filed under LibreNMS's
// name, with the value that the device has, as "rrdtool fetch" reads it.
func TestWhatIsDiscoveredReachesItsFiles(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	parts := running{t, log}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Recordings: filepath.Join("..", "poller", "testdata", "recordings")}, log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("simulator", agent.Run)
	<-agent.Ready()
	redisServer, rrd, inventory := polluxtest.Redis(t), polluxtest.RRDCached(t), openStore(t, log)
	client := redis.NewClient(&redis.Options{Addr: redisServer.Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	added, err := inventory.AddDevice(t.Context(), recorded("acos", agent.Addr(0)))
	if err != nil {
		t.Fatal(err)
	}
	runAll(t, parts, client, inventory, rrd.Address)
	var found []device.Component
	polluxtest.Eventually(t, patience, "the device is discovered", func() bool {
		found, err = inventory.Components(t.Context(), added.ID)
		return err == nil && len(found) > 10
	})
	daemon, err := rrdcached.Dial(t.Context(), rrd.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Close() })
	for i := range found {
		if found[i].Kind == device.KindHost {
			continue // counters, which have no value of their own
		}
		checkFile(t, daemon, rrd.Base, added.RRDDir, &found[i])
	}
	after, err := inventory.Device(t.Context(), added.ID)
	if err != nil || after.Facts.OS != "acos" || after.Facts.Serial == "" {
		t.Errorf("facts %+v, %v", after.Facts, err)
	}
}

// checkFile waits for a row of a component's file and compares it with what the device has.
func checkFile(t *testing.T, daemon *rrdcached.Client, base, dir string, c *device.Component) {
	t.Helper()
	file := measurement.NamedPath(dir, c.RRDName, 0)
	want := filedValues(c)
	var got []float64
	polluxtest.Eventually(t, patience, file+" holds a row", func() bool {
		if _, err := os.Stat(filepath.Join(base, file)); err != nil {
			return false
		}
		if err := daemon.Flush(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		got = fetched(t, filepath.Join(base, file))
		return got != nil
	})
	if len(got) != len(want) {
		t.Fatalf("%s holds %v, want %v", file, got, want)
	}
	for k := range want {
		if math.Abs(got[k]-want[k]) > math.Abs(want[k])*1e-9 {
			t.Errorf("%s holds %v, want %v", file, got, want)
		}
	}
}

// runAll runs a recorder, a consumer that discovers, and a producer until the test ends.
func runAll(t *testing.T, parts running, client redis.UniversalClient, inventory *store.Store, rrd string) {
	t.Helper()
	set, _, err := definitions.Load("")
	if err != nil {
		t.Fatal(err)
	}
	runAllWith(t, parts, client, inventory, rrd, set)
}

// runAllWith is runAll with definitions of the test's own.
func runAllWith(t *testing.T, parts running, client redis.UniversalClient, inventory *store.Store, rrd string, set *definitions.Set) {
	t.Helper()
	log := parts.log
	values := func() settings.Values {
		return settings.NewValues(map[string]string{settings.KeyRRDArchives: "AVERAGE:1x120", settings.KeySNMPTimeout: "5", settings.KeyFpingTimeout: "5000"})
	}
	log1 := journal.New(client, 0)
	recorder(t, parts, client, log1, rrd, values)
	clock := syncedClock(t, parts, client)
	c, err := consumer.New(consumer.Config{NodeID: "node", Groups: func() []int64 { return []int64{0} }}, consumer.Deps{
		Store: inventory, Journal: log1, Leases: cluster.NewDeviceLeases(client, "node", log), Clock: clock, Redis: client,
		Settings: values, Registerer: prometheus.NewRegistry(), Log: log,
		Discovering: &consumer.Discovering{Store: inventory}, Definitions: set,
	})
	if err != nil {
		t.Fatal(err)
	}
	parts.start("consumer", c.Run)
	p, err := producer.New(producer.Config{}, producer.Deps{
		Store: inventory, Purger: inventory, Events: inventory, Journal: log1, Clock: clock, Redis: client, Settings: values, Log: log,
		Discoverables: inventory,
		Lease:         cluster.NewLease(client, cluster.LeaderKey, "producer", producer.LeaderTTL),
		Janitor:       cluster.NewJanitor(client, log, prometheus.NewRegistry()), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	parts.start("producer", p.Run)
}

// recorded is a device that a recording answers for.
func recorded(name string, at netip.AddrPort) device.Device {
	return device.Device{
		Hostname: name, Address: at.Addr().String(), Port: at.Port(), Transport: "udp", Interval: interval, Retries: -1,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New(name)},
	}
}

// filedValues are the values of a component's file, when they are as they were discovered.
func filedValues(c *device.Component) []float64 {
	if c.Kind != device.KindMempool && c.Kind != device.KindStorage {
		return []float64{c.Value}
	}
	if c.Total == nil {
		return []float64{c.Value, 100 - c.Value}
	}
	return []float64{*c.Used, *c.Total - *c.Used}
}

// fetched is the last known row of a file as rrdtool prints it, nil when none is known.
func fetched(t *testing.T, file string) []float64 {
	t.Helper()
	rows := fetchedRows(t, file)
	if len(rows) == 0 {
		return nil
	}
	return rows[len(rows)-1]
}

// fetchedRows are the known rows of a file as rrdtool prints them.
func fetchedRows(t *testing.T, file string) (rows [][]float64) {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "rrdtool", "fetch", file, "AVERAGE", "--start", "-120s").CombinedOutput()
	if err != nil {
		t.Fatalf("rrdtool fetch %s: %v: %s", file, err, out)
	}
	for line := range strings.Lines(string(out)) {
		_, values, isRow := strings.Cut(line, ": ")
		if !isRow || strings.Contains(values, "nan") {
			continue
		}
		var row []float64
		for _, text := range strings.Fields(values) {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(fmt.Errorf("rrdtool fetch: %w", err))
			}
			row = append(row, value)
		}
		rows = append(rows, row)
	}
	return rows
}
