package poller

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/measurement"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

// mib is what a test's device answers: "tag|value" of a recording by OID.
type mib map[string]string

// row adds columns of ifTable (ifTable column "2") and ifXTable ("x1") for one ifIndex.
func (m mib) row(index int, cells map[string]string) mib {
	for column, value := range cells {
		table := string(ifEntry)
		if rest, ok := strings.CutPrefix(column, "x"); ok {
			table, column = string(ifXEntry), rest
		}
		m[fmt.Sprintf("%s.%s.%d", table, column, index)] = value
	}
	return m
}

// ethernet is a complete row of a modern switch.
func ethernet(name string) map[string]string {
	return map[string]string{
		"2": "4|Ethernet " + name, "3": "2|6", "4": "2|1500", "5": "66|4294967295", "6": "4x|0200000000FF", "7": "2|1",
		"8": "2|1", "9": "67|100", "13": "65|13", "14": "65|14", "15": "65|15", "19": "65|19", "20": "65|20",
		"x1": "4|" + name, "x6": "70|5000000006", "x7": "70|7", "x8": "70|8", "x9": "70|9", "x10": "70|5000000010",
		"x11": "70|11", "x12": "70|12", "x13": "70|13", "x15": "66|10000", "x18": "4|to " + name,
	}
}

func with(cells map[string]string, pairs ...string) map[string]string {
	cells = maps.Clone(cells)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(cells, pairs[i])
		} else {
			cells[pairs[i]] = pairs[i+1]
		}
	}
	return cells
}

// system adds the system group.
func (m mib) system(uptimeTicks int) mib {
	maps.Copy(m, mib{
		"1.3.6.1.2.1.1.1.0": "4|Test switch", "1.3.6.1.2.1.1.2.0": "6|1.3.6.1.4.1.9.1.1208",
		"1.3.6.1.2.1.1.3.0": fmt.Sprintf("67|%d", uptimeTicks), "1.3.6.1.2.1.1.4.0": "4|noc",
		"1.3.6.1.2.1.1.5.0": "4|sw1", "1.3.6.1.2.1.1.6.0": "4|here",
	})
	return m
}

// serve answers for the devices over SNMP until the test ends, and returns how to open a session to one.
func serve(t testing.TB, devices map[string]mib) func(name string, v snmp.Version) *snmp.Session {
	t.Helper()
	dir := t.TempDir()
	for name, objects := range devices {
		var text strings.Builder
		for _, oid := range slices.Sorted(maps.Keys(objects)) {
			fmt.Fprintf(&text, "%s|%s\n", oid, objects[oid])
		}
		if err := os.WriteFile(filepath.Join(dir, name+".snmprec"), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Recordings: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-agent.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal("the simulator ended:", err)
	}
	return func(name string, v snmp.Version) *snmp.Session {
		s, err := snmp.Dial(t.Context(), snmp.Target{
			Host: "127.0.0.1", Port: agent.Addr(0).Port(), Timeout: 2 * time.Second, Retries: 1,
			Credentials: snmp.Credentials{Version: v, Community: secret.New(name)},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// serveOne opens a v2c session to one device that holds the objects.
func serveOne(t testing.TB, objects mib) *snmp.Session {
	t.Helper()
	return serve(t, map[string]mib{"device": objects})("device", snmp.V2c)
}

// scripted is a session of which a test replaces parts.
type scripted struct {
	Session
	probe func(oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error)
	get   func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error)
	table func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error

	greet func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error)

	greets [][]snmp.OID
	gets   [][]snmp.OID
	tables [][]snmp.OID
}

func (s *scripted) Probe(ctx context.Context, oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
	if s.probe != nil {
		return s.probe(oid, tries, timeout)
	}
	return s.Session.Probe(ctx, oid, tries, timeout)
}

func (s *scripted) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	s.greets = append(s.greets, oids)
	if s.greet != nil {
		return s.greet(ctx, oids)
	}
	return s.Session.Greet(ctx, tries, timeout, oids...)
}

func (s *scripted) Get(ctx context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	s.gets = append(s.gets, oids)
	if s.get != nil {
		return s.get(ctx, oids)
	}
	return s.Session.Get(ctx, oids...)
}

func (s *scripted) Table(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
	s.tables = append(s.tables, r.Columns)
	if s.table != nil {
		return s.table(ctx, r, each)
	}
	return s.Session.Table(ctx, r, each)
}

// fromSNMP are the measurements of what the device answered by SNMP.
func fromSNMP(r Report) []measurement.Measurement {
	return slices.DeleteFunc(slices.Clone(r.Measurements), func(m measurement.Measurement) bool { return m.Kind >= measurement.KindICMP })
}
