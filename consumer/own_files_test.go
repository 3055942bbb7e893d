package consumer_test

import (
	"database/sql"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/rrdcached"
	"pollux/simulator"
	"pollux/store"
)

// TestOwnFilesAreFilled: real ICMP on the loopback network, the times of the modules
// and the availability are in LibreNMS's files, as "rrdtool fetch" reads them; of a device that answers nothing too.
func TestOwnFilesAreFilled(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	parts := running{t, log}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.0/24:0", Devices: 1, Ports: 1}, log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("simulator", agent.Run)
	<-agent.Ready()
	database := filepath.Join(t.TempDir(), "pollux.db")
	rrd, inventory := polluxtest.RRDCached(t), openStoreAt(t, log, database)
	client := redis.NewClient(&redis.Options{Addr: polluxtest.Redis(t).Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	answering := recorded("sim0", agent.Addr(0))
	answering.Credentials.Community = recorded("public", agent.Addr(0)).Credentials.Community
	dead := device.Device{Hostname: "dead", Address: "127.255.255.255", Interval: interval, Retries: -1, PingOnly: true} // a broadcast, which nobody answers
	since := time.Now()
	for _, d := range []*device.Device{&answering, &dead} {
		if *d, err = inventory.AddDevice(t.Context(), *d); err != nil {
			t.Fatal(err)
		}
	}
	formerOutage(t, inventory, database, answering.ID)
	runAll(t, parts, client, inventory, rrd.Address)
	daemon, err := rrdcached.Dial(t.Context(), rrd.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Close() })
	// RRDtool counts unknown time in whole seconds, so the row in which a file begins is not exact.
	all := func(d device.Device, name string, least int) (rows [][]float64) {
		file := filepath.Join(d.RRDDir, name+".rrd")
		polluxtest.Eventually(t, patience, file+" holds a row", func() bool {
			if _, err := os.Stat(filepath.Join(rrd.Base, file)); err != nil {
				return false
			}
			if err := daemon.Flush(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			rows = fetchedRows(t, filepath.Join(rrd.Base, file))
			return len(rows) >= least
		})
		return rows
	}
	row := func(d device.Device, name string, least int) []float64 {
		rows := all(d, name, least)
		return rows[len(rows)-1]
	}
	// avg, xmt, rcv, min, max
	if got := row(answering, "icmp-perf", 2); !near(got[1], 3) || !near(got[2], 3) || got[3] <= 0 || got[3] > got[0] || got[0] > got[4] || got[4] > 1000 {
		t.Errorf("icmp-perf holds %v", got)
	}
	for _, module := range []string{"", "-core", "-ports", "-icmp"} {
		if got := row(answering, "poller-perf"+module, 2); len(got) != 1 || got[0] <= 0 || got[0] > 10 {
			t.Errorf("poller-perf%s holds %v", module, got)
		}
	}
	// The requests of ICMP are 100 ms apart at this interval.
	if whole, icmp := row(answering, "poller-perf", 2), row(answering, "poller-perf-icmp", 2); whole[0] < 0.2 || icmp[0] < 0.2 {
		t.Errorf("the poll took %v s, ICMP %v s", whole, icmp)
	}
	checkAvailability(t, func(period string) [][]float64 { return all(answering, "availability-"+period, 5) })
	if got := fetchedXmtRcv(t, daemon, rrd.Base, dead); !near(got[0], 3) || got[1] != 0 {
		t.Errorf("of a dead device %v requests and replies are filed", got)
	}
	polluxtest.Eventually(t, patience, "the outage of the dead device is known", func() bool {
		found, err := inventory.Outages(t.Context(), dead.ID)
		return err == nil && len(found) == 1 && found[0].Up.IsZero() && found[0].Down.After(since)
	})
}

// near says whether a row that RRDtool averaged is a number.
func near(got, want float64) bool { return math.Abs(got-want) < 1e-9 }

// checkAvailability compares with what is right of a device that was down for 6 hours of the last day,
// and is in the inventory for 10 days. A sample is two minutes after the one before it: the rows between them are as exact as all.
func checkAvailability(t *testing.T, read func(period string) [][]float64) {
	t.Helper()
	for period, want := range map[string]float64{"86400": 75, "604800": 100 * (1 - 0.25/7), "2592000": 97.5, "31536000": 97.5} {
		for i, row := range read(period) {
			if math.Abs(row[0]-want) > 0.01 {
				t.Errorf("availability-%s holds %v in row %d, want %v", period, row[0], i, want)
			}
		}
	}
}

// formerOutage has a device be in the inventory for ten days, and be down from 20 to 14 hours ago.
func formerOutage(t *testing.T, s *store.Store, database string, id int64) {
	t.Helper()
	now := time.Now()
	db, err := sql.Open("sqlite", "file:"+database+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "UPDATE devices SET created_at = ? WHERE id = ?", now.Add(-240*time.Hour).UnixMilli(), id); err != nil {
		t.Fatal(err)
	}
	for _, p := range []device.Poll{
		{DeviceID: id, Slot: 1, Outcome: device.OutcomeDown, At: now.Add(-20 * time.Hour)},
		{DeviceID: id, Slot: 2, Outcome: device.OutcomeUp, At: now.Add(-14 * time.Hour)},
	} {
		if err := s.SavePoll(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// fetchedXmtRcv are the requests and replies of a device none of whose requests was answered: the times are unknown.
func fetchedXmtRcv(t *testing.T, daemon *rrdcached.Client, base string, d device.Device) (got [2]float64) {
	t.Helper()
	file := d.RRDDir + "/icmp-perf.rrd"
	polluxtest.Eventually(t, patience, file+" holds a row", func() bool {
		if _, err := os.Stat(filepath.Join(base, file)); err != nil {
			return false
		}
		if err := daemon.Flush(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		series, err := daemon.Fetch(t.Context(), file, "AVERAGE", time.Now().Add(-2*time.Minute), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, row := range series.Rows {
			if math.IsNaN(row.Values[1]) {
				continue
			}
			known++
			if !math.IsNaN(row.Values[0]) || !math.IsNaN(row.Values[3]) || !math.IsNaN(row.Values[4]) {
				t.Errorf("times of a dead device: %v", row)
			}
			got = [2]float64{row.Values[1], row.Values[2]}
		}
		return known >= 2
	})
	return got
}
