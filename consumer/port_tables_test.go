package consumer_test

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/polluxtest"
	"pollux/rrdcached"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

// twins has each port of a simulated device stand in another table once more, under another name, and with in and out the other way round.
const twins = `os: mirror
text: Mirror
detect: [{sysObjectID: [1.3.6.1.4.1.8072.3.2.10], sysDescr: [Pollux simulated switch]}]
ports:
  tables:
    - name: twin
      table: 1.3.6.1.2.1.31.1.1.1
      columns:
        ifName: 18
        ifType: {oid: 1.3.6.1.2.1.2.2.1.3}
        ifOperStatus: {oid: 1.3.6.1.2.1.2.2.1.8}
        ifSpeed: {oid: 1.3.6.1.2.1.2.2.1.5}
        ifHCInOctets: 10
        ifHCOutOctets: 6
      maps: {ifType: {6: serviceVprn}}
`

// TestPortsOfOtherTablesAreFilled: ports beside the IF-MIB are discovered and polled into files of their own, which hold
// what their table counts, as the RRD files are fetched from a real rrdcached.
func TestPortsOfOtherTablesAreFilled(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	parts := running{t, log}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.0/24:0", Devices: 1, Ports: 2}, log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("simulator", agent.Run)
	<-agent.Ready()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "os"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "os", "mirror.yaml"), []byte(twins), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems, err := definitions.Load(dir)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	rrd, inventory := polluxtest.RRDCached(t), openStore(t, log)
	client := redis.NewClient(&redis.Options{Addr: polluxtest.Redis(t).Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	d, err := inventory.AddDevice(t.Context(), device.Device{
		Hostname: "mirror", Address: agent.Addr(0).Addr().String(), Port: agent.Addr(0).Port(), Interval: interval, Retries: -1,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	})
	if err != nil {
		t.Fatal(err)
	}
	runAllWith(t, parts, client, inventory, rrd.Address, set)
	var ports []device.Port
	polluxtest.Eventually(t, patience, "every port is known", func() bool {
		if ports, err = inventory.Ports(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		return len(ports) == 4
	})
	daemon, err := rrdcached.Dial(t.Context(), rrd.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Close() })
	files := make(map[int64]bool)
	for i := range ports {
		s := &ports[i].State
		number, in, out := int(s.IfIndex), simulator.InOctets, simulator.OutOctets
		if s.Row != "" {
			if _, err := fmt.Sscanf(s.Row+" "+s.IfName, "twin:%d Port %d", &number, &number); err != nil || s.IfIndex <= math.MaxUint32 ||
				s.IfType != "serviceVprn" || s.IfOperStatus != "up" || s.IfSpeed != 1_000_000_000 || s.Table() != "twin" {
				t.Errorf("%v: port %+v", err, s)
			}
			in, out = out, in
		}
		files[s.IfIndex] = true
		filed(t, daemon, agent.Model(), measurement.Path(d.RRDDir, measurement.KindPort, ports[i].ID, 0), number, in, out)
	}
	if len(files) != len(ports) {
		t.Errorf("%d ports have %d numbers", len(ports), len(files))
	}
}

// filed waits until a port's file holds three slots in a row, and compares them with what the model counted.
func filed(t *testing.T, daemon *rrdcached.Client, model simulator.Model, file string, port int, in, out simulator.Column) {
	t.Helper()
	polluxtest.Eventually(t, patience, file+" is right in three slots", func() bool {
		series, err := daemon.Fetch(t.Context(), file, "AVERAGE", time.Now().Add(-100*time.Second), time.Now())
		if err != nil {
			return false // it is not there yet
		}
		right := 0
		for i, row := range series.Rows {
			for source, column := range map[int]simulator.Column{0: in, 1: out} {
				got := row.Values[source]
				if math.IsNaN(got) || i == 0 || math.IsNaN(series.Rows[i-1].Values[source]) {
					continue // RRDtool counts unknown time in whole seconds: the row in which a file begins is not exact
				}
				least, most := bounds(model, 0, port, column, row.Time.Add(-interval*time.Second), row.Time)
				if got > most*(1+busy)+1 || got < least*(1-busy)-1 {
					t.Errorf("%s: %v of port %d at %v: %.0f/s, want %.0f to %.0f", file, column, port, row.Time, got, least, most)
				}
				right++
			}
		}
		return right >= 6
	})
}
