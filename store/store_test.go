package store

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pollux/config"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/snmp"
)

// behaviour is one thing that the store does, tested on every engine.
type behaviour struct {
	name string
	run  func(t *testing.T, e engine)
}

// engine is an open store on a real database that the behaviours share: each
// makes devices of its own.
type engine struct {
	*Store
	config config.Database
}

func TestStore(t *testing.T) {
	t.Parallel()
	all := slices.Concat(deviceBehaviours, changeBehaviours, pollBehaviours, portBehaviours, recordBehaviours, nodeBehaviours, groupBehaviours, discoveryBehaviours, inventoryBehaviours, schemaBehaviours, setBehaviours, twinBehaviours, billBehaviours, vanishedBehaviours)
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			for _, b := range all {
				t.Run(b.name, func(t *testing.T) {
					t.Parallel()
					b.run(t, e)
				})
			}
		})
	}
}

// databases makes a fresh database on each engine.
func databases() map[string]func(testing.TB) config.Database {
	return map[string]func(testing.TB) config.Database{
		"sqlite": func(t testing.TB) config.Database {
			return config.Database{Connection: config.SQLite, Name: filepath.Join(t.TempDir(), "p?ll#x 100%.db")}
		},
		"mysql": polluxtest.MariaDB,
		"pgsql": polluxtest.PostgreSQL,
	}
}

func openEngine(t testing.TB, c config.Database) engine {
	t.Helper()
	key := newKey(t)
	migrate(t, c, key)
	s, err := Open(t.Context(), c, key, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine{Store: s, config: c}
}

func migrate(t testing.TB, c config.Database, key secret.Key) {
	t.Helper()
	m, err := OpenMigrator(t.Context(), c, key, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) secret.Key {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var hosts atomic.Int64

// described is a device that AddDevice takes, with a hostname of its own.
func described() device.Device {
	return device.Device{
		Hostname: fmt.Sprintf("sw%d.example.net", hosts.Add(1)), Address: "127.0.0.1", Port: 161, Transport: "udp", Interval: 300, Retries: -1,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("canary-community")},
	}
}

func added(t testing.TB, e engine) device.Device {
	t.Helper()
	d, err := e.AddDevice(t.Context(), described())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start is a time on a whole slot of the tests' polls.
var start = time.UnixMilli(1_795_340_000_123).UTC()

// pollOf is an up poll of the device's n-th slot.
func pollOf(d device.Device, n int) device.Poll {
	return device.Poll{
		DeviceID: d.ID, Slot: start.Unix() + int64(n*d.Interval), At: start.Add(time.Duration(n*d.Interval) * time.Second),
		Outcome: device.OutcomeUp, Duration: 1234 * time.Millisecond, Node: "node-a",
		Facts: &device.Facts{SysName: "sw", SysDescr: "a switch\r\nof two lines", SysObjectID: "1.3.6.1.4.1.9.1.1", Uptime: time.Hour},
	}
}

func save(t testing.TB, e engine, p device.Poll) {
	t.Helper()
	if err := e.SavePoll(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func reread(t testing.TB, e engine, id int64) device.Device {
	t.Helper()
	d, err := e.Device(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// messages are the events of a device as "type severity message", oldest first.
func messages(t testing.TB, e engine, id int64) []string {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{DeviceID: id})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, event := range slices.Backward(events) {
		list = append(list, fmt.Sprintf("%s %s %s", event.Type, event.Severity, event.Message))
	}
	return list
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got: %s\nwant: %s", what, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

// outage is a row of device_outages, its times as those of polls.
type outage struct{ GoingDown, UpAgain time.Time }

// outages are those of a device, oldest first.
func outages(t testing.TB, e engine, id int64) []outage {
	t.Helper()
	var rows []outageRow
	if err := e.db.NewSelect().Model(&rows).Where("device_id = ?", id).Order("going_down").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := make([]outage, len(rows))
	for i := range rows {
		list[i] = outage{fromMillis(rows[i].GoingDown), fromMillis(rows[i].UpAgain.Int64)}
	}
	return list
}
