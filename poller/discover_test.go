package poller

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// defined are the embedded definitions and one for the system group of the tests' devices.
func defined(t testing.TB, text string) *definitions.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "os"), 0o700); err != nil {
		t.Fatal(err)
	}
	text = "os: testbox\ntext: Test\ndetect:\n  - sysDescr: [Test switch]\n    sysObjectID: [1.3.6.1.4.1.9.1.1208]\n" + text
	if err := os.WriteFile(filepath.Join(dir, "os", "testbox.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems, err := definitions.Load(dir)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return set
}

const testBox = `
facts:
  version: [{oid: 1.3.6.1.4.1.99999.1.1.0, regex: 'v(\S+)'}]
  serial: [{entity: serial}]
  hardware: [{sysObjectID: {"1.3.6.1.4.1.9.1.1": no}}, {template: "{a}-{b}", oids: {a: 1.3.6.1.4.1.99999.1.2.0, b: 1.3.6.1.4.1.99999.1.3.0}}]
processors:
  - table: 1.3.6.1.4.1.99999.2.1
    columns: {idle: 2, name: 3, slot: {oid: 1.3.6.1.4.1.99999.3.1.1, index: "{index[0]}"}}
    value: idle
    inverted: true
    descr: "{slot} {name}"
  - scalars: 1.3.6.1.4.1.99999.9
    columns: {usage: 1}
    value: usage
    fallback: true
mempools:
  - table: 1.3.6.1.4.1.99999.4.1
    columns: {used: 1, size: 2}
    used: used
    total: size
    unit: 1024
storage:
  - table: 1.3.6.1.4.1.99999.5.1
    columns: {p: 1, t: 2}
    percent: p
    total: t
    kind: disk
sensors:
  - table: 1.3.6.1.4.1.99999.6.1
    columns: {kind: 1, raw: 2, places: 3, max: 4, name: 5}
    class: {of: kind, map: {"1": temperature, "2": voltage}}
    value: raw
    decimals: places
    limits: {high: max, low: -5}
    descr: "{name}"
    skip: [{of: raw, is: [-999]}]
  - scalars: 1.3.6.1.4.1.99999.7
    columns: {fan: 1}
    class: state
    value: fan
    states: [{is: 1, name: good, severity: ok}, {is: 2, name: broken, severity: critical}]
`

func testBoxObjects() mib {
	return mib{
		"1.3.6.1.4.1.99999.1.1.0": "4|Release v7.1 build 3", "1.3.6.1.4.1.99999.1.2.0": "4|M", "1.3.6.1.4.1.99999.1.3.0": "4|9",
		"1.3.6.1.2.1.47.1.1.1.1.5.1": "2|9", "1.3.6.1.2.1.47.1.1.1.1.11.1": "4|MODULE",
		"1.3.6.1.2.1.47.1.1.1.1.5.2": "2|3", "1.3.6.1.2.1.47.1.1.1.1.11.2": "4|CHASSIS",
		"1.3.6.1.4.1.99999.2.1.2.1.10": "66|30", "1.3.6.1.4.1.99999.2.1.3.1.10": "4|core  x",
		"1.3.6.1.4.1.99999.2.1.2.1.2": "66|99", "1.3.6.1.4.1.99999.3.1.1.1": "4|Slot 1",
		"1.3.6.1.4.1.99999.9.1.0":   "2|5",
		"1.3.6.1.4.1.99999.4.1.1.1": "66|30", "1.3.6.1.4.1.99999.4.1.2.1": "66|40",
		"1.3.6.1.4.1.99999.5.1.1.1": "2|25", "1.3.6.1.4.1.99999.5.1.2.1": "70|8000000000000",
		"1.3.6.1.4.1.99999.6.1.1.1": "2|1", "1.3.6.1.4.1.99999.6.1.2.1": "2|385", "1.3.6.1.4.1.99999.6.1.3.1": "2|1",
		"1.3.6.1.4.1.99999.6.1.4.1": "2|700", "1.3.6.1.4.1.99999.6.1.5.1": "4x|496E6C6574FF07",
		"1.3.6.1.4.1.99999.6.1.1.2": "2|7", "1.3.6.1.4.1.99999.6.1.2.2": "2|385", // of no class that is known
		"1.3.6.1.4.1.99999.6.1.1.3": "2|1", "1.3.6.1.4.1.99999.6.1.2.3": "2|-999", // not there
		"1.3.6.1.4.1.99999.7.1.0": "2|2",
	}.system(1000)
}

func TestDefinitionsFindWhatTheyName(t *testing.T) {
	t.Parallel()
	found, report := Inspect(t.Context(), serveOne(t, testBoxObjects()), Target{}, defined(t, testBox))
	if report.Poll.Outcome != "up" {
		t.Fatal(report.Poll.Reason)
	}
	if found.OS != "testbox" || found.Version != "7.1" || found.Serial != "CHASSIS" || found.Hardware != "M-9" {
		t.Errorf("facts: %q %q %q %q", found.OS, found.Version, found.Serial, found.Hardware)
	}
	if p := found.Processors; len(p) != 2 || p[0].Usage != 1 || p[0].Index != "1.2" || p[1].Usage != 70 ||
		p[1].Descr != "Slot 1 core x" || p[1].OID != "1.3.6.1.4.1.99999.2.1.2.1.10" {
		t.Errorf("processors: %+v", p)
	}
	if m := found.Mempools; len(m) != 1 || *m[0].Used != 30*1024 || *m[0].Total != 40*1024 || m[0].Percent != 75 || m[0].Class != "system" {
		t.Errorf("mempools: %+v", m)
	}
	if s := found.Storage; len(s) != 1 || *s[0].Size != 8e12 || *s[0].Used != 2e12 || s[0].Type != "disk" {
		t.Errorf("storage: %+v", s)
	}
	s := found.Sensors
	if len(s) != 2 {
		t.Fatalf("sensors: %+v", s)
	}
	if s[0].Class != "temperature" || s[0].Current != 38.5 || *s[0].High != 70 || *s[0].Low != -5 || s[0].LowWarn != nil || !strings.HasPrefix(s[0].Descr, "Inlet") {
		t.Errorf("temperature: %+v", s[0])
	}
	if s[1].Class != "state" || s[1].Current != 2 || s[1].State != "broken" {
		t.Errorf("state: %+v", s[1])
	}
}

func TestAFallbackIsReadOnlyWhenNothingElseIsThere(t *testing.T) {
	t.Parallel()
	objects := testBoxObjects()
	delete(objects, "1.3.6.1.4.1.99999.2.1.2.1.10")
	delete(objects, "1.3.6.1.4.1.99999.2.1.2.1.2")
	found, _ := Inspect(t.Context(), serveOne(t, objects), Target{}, defined(t, testBox))
	if p := found.Processors; len(p) != 1 || p[0].Usage != 5 || p[0].OID != "1.3.6.1.4.1.99999.9.1.0" {
		t.Errorf("processors: %+v", p)
	}
}

func TestValuesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	objects := testBoxObjects()
	objects["1.3.6.1.4.1.99999.2.1.2.1.10"] = "2|-1"      // 101 percent
	objects["1.3.6.1.4.1.99999.2.1.2.1.2"] = "4|not here" // no number
	objects["1.3.6.1.4.1.99999.4.1.1.1"] = "2|-5"         // a negative size
	objects["1.3.6.1.4.1.99999.5.1.1.1"] = "2|180"        // percent
	objects["1.3.6.1.4.1.99999.6.1.2.1"] = "4|NaN"
	objects["1.3.6.1.4.1.99999.7.1.0"] = "6|1.3.6.1" // of another type
	delete(objects, "1.3.6.1.4.1.99999.9.1.0")
	s := serveOne(t, objects)
	f := newFinder(s, defined(t, testBox))
	report, _ := poll(t.Context(), s, Target{}, f, append([]Module{coreModule{}, osModule{}}, discoveryModules()...))
	if report.Poll.Outcome != "up" {
		t.Error(report.Poll.Reason)
	}
	if d := f.found; len(d.Components) != 0 || d.Refused != 6 {
		t.Errorf("%d refused, found %+v", d.Refused, d.Components)
	}
}

// An agent that fails at one column loses that one only, and the poll is partial.
func TestOneBrokenColumnCostsItsOwnTableOnly(t *testing.T) {
	t.Parallel()
	const broken = snmp.OID("1.3.6.1.4.1.99999.4.1.1")
	inner := serveOne(t, testBoxObjects())
	s := &scripted{Session: inner}
	s.table = failing(inner, broken)
	found, report := Inspect(t.Context(), s, Target{}, defined(t, testBox))
	if report.Poll.Outcome != "partial" || !strings.Contains(report.Poll.Reason, "mempools") {
		t.Errorf("outcome %s: %s", report.Poll.Outcome, report.Poll.Reason)
	}
	if len(found.Mempools) != 0 || len(found.Processors) != 2 || len(found.Sensors) != 2 {
		t.Errorf("found %+v", found.Components)
	}
}

// failing makes table reads fail that ask for a column.
func failing(inner Session, broken snmp.OID) func(context.Context, snmp.TableRequest, func(snmp.Cell)) error {
	return func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		if slices.Contains(r.Columns, broken) {
			return &snmp.StatusError{Status: "genErr"}
		}
		return inner.Table(ctx, r, each)
	}
}

// A device whose tables have no end costs a bounded number of components, and is partial.
func TestAnEndlessTableIsBounded(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, testBoxObjects())}
	s.table = func(_ context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		value := valueOf(t, s.Session)
		for column := range r.Columns {
			for row := range maxTableRows {
				each(snmp.Cell{Column: column, Index: strconv.Itoa(row + 1), Value: value})
			}
		}
		return nil
	}
	found, modules := Discover(t.Context(), s, Target{}, defined(t, testBox))
	counts := map[device.ComponentKind]int{}
	for i := range found.Components {
		counts[found.Components[i].Kind]++
	}
	if found.Outcome != device.OutcomePartial || counts[device.KindProcessor] != maxComponents {
		t.Errorf("%s %s, found %v, modules %v", found.Outcome, found.Reason, counts, modules)
	}
	for kind, n := range counts {
		if n > maxComponents {
			t.Errorf("%d of %s", n, kind)
		}
		if n == maxComponents && found.Complete[kind] {
			t.Errorf("%s counts as complete", kind)
		}
	}
}

// valueOf is the number 30, which a session has to bring.
func valueOf(t *testing.T, s Session) snmp.Value {
	t.Helper()
	vars, err := s.Get(t.Context(), "1.3.6.1.4.1.99999.2.1.2.1.10")
	if err != nil || !vars[0].Value.Exists() {
		t.Fatal(vars, err)
	}
	return vars[0].Value
}
