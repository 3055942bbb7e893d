package poller

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/poller/definitions"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

// recordings answers for the devices of testdata/recordings, written from the
// MIBs of their vendors, each by its name as community.
func recordings(t *testing.T) (dial func(t *testing.T, name string) *snmp.Session) {
	t.Helper()
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Recordings: "testdata/recordings"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-agent.Ready()
	return func(t *testing.T, name string) *snmp.Session {
		s, err := snmp.Dial(t.Context(), snmp.Target{
			Host: "127.0.0.1", Port: agent.Addr(0).Port(), Timeout: 5 * time.Second, Retries: 1,
			Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New(name)},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// Each vendor's definition finds what its MIB says that the device has.
func TestDefinitionsReadTheirVendorsMIBs(t *testing.T) {
	set, problems, err := definitions.Load("")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	files, err := filepath.Glob("testdata/recordings/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	dial := recordings(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want Inspection
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got, report := Inspect(t.Context(), dial(t, name), Target{Retries: 1}, set)
			if report.Poll.Outcome != "up" {
				t.Fatal(report.Poll.Outcome, report.Poll.Reason)
			}
			if got.OS != want.OS {
				t.Errorf("OS %q, want %q", got.OS, want.OS)
			}
			sameRows(t, "processor", rowsOf(got.Processors, processorRow), rowsOf(want.Processors, processorRow))
			sameRows(t, "mempool", rowsOf(shared(got.Mempools, want.Mempools), amountRow), rowsOf(want.Mempools, amountRow))
			sameRows(t, "storage", rowsOf(shared(got.Storage, want.Storage), amountRow), rowsOf(want.Storage, amountRow))
			sameRows(t, "sensor", rowsOf(got.Sensors, sensorRow), rowsOf(want.Sensors, sensorRow))
		})
	}
}

func rowsOf[R any](list []R, row func(*R) (string, []float64)) map[string][]float64 {
	rows := make(map[string][]float64, len(list))
	for i := range list {
		key, values := row(&list[i])
		rows[key] = values
	}
	return rows
}

func processorRow(p *InspectedProcessor) (string, []float64) { return p.OID, []float64{p.Usage} }

func amountRow(a *InspectedAmount) (string, []float64) {
	key := "none"
	if len(a.OIDs) > 0 {
		key = strings.TrimPrefix(a.OIDs[0], ".")
	}
	values := []float64{a.Percent}
	for _, n := range []*float64{a.Used, a.Total, a.Size} {
		if n != nil {
			values = append(values, *n)
		}
	}
	return key, values
}

// shared gives amounts that are read from the objects of one that is wanted the key of
// that one: two objects make an amount, and which comes first does not matter.
func shared(got, want []InspectedAmount) []InspectedAmount {
	for i := range got {
		for _, w := range want {
			other := func(oid string) bool { return !slices.Contains(got[i].OIDs, strings.TrimPrefix(oid, ".")) }
			if len(w.OIDs) > 0 && !slices.ContainsFunc(w.OIDs, other) {
				got[i].OIDs = w.OIDs
			}
		}
	}
	return got
}

func sensorRow(s *InspectedSensor) (string, []float64) {
	return s.Class + " " + strings.TrimPrefix(s.OID, "."), []float64{s.Current}
}

// sameRows compares rows by key; values may differ by one percent or by rounding.
func sameRows(t *testing.T, kind string, got, want map[string][]float64) {
	t.Helper()
	for key, values := range want {
		found, ok := got[key]
		if !ok {
			t.Errorf("%s %s is not found", kind, key)
			continue
		}
		for i := range min(len(values), len(found)) {
			if difference := math.Abs(found[i] - values[i]); difference > max(0.011, math.Abs(values[i])/100) && (i > 0 || difference > 1 || kind == "sensor") {
				t.Errorf("%s %s is %v, want %v", kind, key, found, values)
				break
			}
		}
	}
	for key, values := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s %s %v is found, and not known to be there", kind, key, values)
		}
	}
}
