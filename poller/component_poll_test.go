package poller

import (
	"fmt"
	"strings"
	"testing"

	"pollux/device"
	"pollux/measurement"
)

// known are the components that a discovery of the test box finds, as the inventory returns them.
func known(t *testing.T, objects mib) []device.Component {
	t.Helper()
	found, modules := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, testBox))
	if found.Outcome != device.OutcomeUp {
		t.Fatal(found.Reason, modules)
	}
	for i := range found.Components {
		c := &found.Components[i]
		c.ID, c.Generation = int64(i+1), 3
		c.RRDName = measurement.ComponentName(string(c.Kind), c.Class, c.Type, c.Index, c.Descr)
	}
	return found.Components
}

// filedComponents shows the measurements of components.
func filedComponents(r Report) string {
	var lines []string
	for _, m := range fromSNMP(r) {
		if !m.Kind.Named() {
			continue
		}
		line := m.File("sw", m.Generation)
		for _, v := range m.Values {
			x, _ := v.AsGauge()
			line += fmt.Sprintf(" %g", x)
		}
		if len(m.Values) != len(m.Kind.Sources()) || m.Time.IsZero() {
			line += " WRONG"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestComponentsAreMeasured(t *testing.T) {
	t.Parallel()
	objects := testBoxObjects()
	components := known(t, objects)
	objects["1.3.6.1.4.1.99999.2.1.2.1.10"] = "66|45"
	objects["1.3.6.1.4.1.99999.4.1.1.1"] = "66|10"
	objects["1.3.6.1.4.1.99999.5.1.1.1"] = "2|50"
	objects["1.3.6.1.4.1.99999.6.1.2.1"] = "2|705"
	objects["1.3.6.1.4.1.99999.7.1.0"] = "2|1"
	report := Poll(t.Context(), serveOne(t, objects), Target{Components: components})
	const want = `sw/processor-testbox-1.2-g3.rrd 1
sw/processor-testbox-1.10-g3.rrd 55
sw/mempool-testbox-system-1-g3.rrd 10240 30720
sw/storage-testbox-1-g3.rrd 4e+12 4e+12
sw/sensor-temperature-testbox-1-g3.rrd 70.5
sw/sensor-state-testbox-0-g3.rrd 1`
	if got := filedComponents(report); got != want || report.Poll.Outcome != device.OutcomeUp {
		t.Errorf("%s, got\n%s\nwant\n%s", report.Poll.Outcome, got, want)
	}
	statuses := ""
	for _, r := range report.Poll.Components {
		statuses += fmt.Sprintf("%d %s ", r.ID, r.Status)
	}
	if want := "1 ok 2 ok 3 ok 4 ok 5 critical 6 ok "; statuses != want {
		t.Errorf("statuses %q, want %q", statuses, want)
	}
}

func TestWhatIsNotAnsweredIsNotFiled(t *testing.T) {
	t.Parallel()
	objects := testBoxObjects()
	components := known(t, objects)
	components[1].Disabled, components[2].Vanished = true, true
	delete(objects, "1.3.6.1.4.1.99999.2.1.2.1.2")    // the first processor
	objects["1.3.6.1.4.1.99999.5.1.1.1"] = "2|101"    // more than there is
	objects["1.3.6.1.4.1.99999.6.1.2.1"] = "4|broken" // no number
	objects["1.3.6.1.4.1.99999.7.1.0"] = "2|7"        // a state without a name
	report := Poll(t.Context(), serveOne(t, objects), Target{Components: components})
	if got := filedComponents(report); got != "sw/sensor-state-testbox-0-g3.rrd 7" || report.Poll.Outcome != device.OutcomeUp {
		t.Errorf("%s %s, filed\n%s", report.Poll.Outcome, report.Poll.Reason, got)
	}
	if report.Poll.Refused != 2 || len(report.Poll.Components) != 1 || report.Poll.Components[0].Status != device.ComponentUnknown {
		t.Errorf("%d refused, %+v", report.Poll.Refused, report.Poll.Components)
	}
}

// What a device gives as the size of a pool of which it gives the used share is
// judged by each poll, as discoveries judge it.
func TestASizeThatCannotBeIsRefusedByPolls(t *testing.T) {
	t.Parallel()
	objects := testBoxObjects()
	components := known(t, objects)
	for _, size := range []string{"2|-5", "2|0", "4|1e300", "4|NaN"} {
		objects["1.3.6.1.4.1.99999.5.1.2.1"] = size
		report := Poll(t.Context(), serveOne(t, objects), Target{Components: components})
		if got := filedComponents(report); strings.Contains(got, "storage") || report.Poll.Refused != 1 {
			t.Errorf("size %s: %d refused, filed\n%s", size, report.Poll.Refused, got)
		}
		for _, read := range report.Poll.Components {
			if read.ID == 4 {
				t.Errorf("size %s is kept: %+v", size, read)
			}
		}
	}
	// One that is not there any more is no fault. A file of bytes gets no percent.
	delete(objects, "1.3.6.1.4.1.99999.5.1.2.1")
	report := Poll(t.Context(), serveOne(t, objects), Target{Components: components})
	if got := filedComponents(report); strings.Contains(got, "storage") || report.Poll.Refused != 0 {
		t.Errorf("%d refused, filed\n%s", report.Poll.Refused, got)
	}
	// A size that was never there leaves the percent.
	found := known(t, objects)
	report = Poll(t.Context(), serveOne(t, objects), Target{Components: found})
	if got := filedComponents(report); !strings.Contains(got, "sw/storage-testbox-1-g3.rrd 25 75") || report.Poll.Refused != 0 {
		t.Errorf("%d refused, filed\n%s", report.Poll.Refused, got)
	}
	// An amount that is no number is counted, too.
	objects["1.3.6.1.4.1.99999.4.1.1.1"] = "4|plenty"
	report = Poll(t.Context(), serveOne(t, objects), Target{Components: found})
	if got := filedComponents(report); strings.Contains(got, "mempool") || report.Poll.Refused != 1 {
		t.Errorf("%d refused, filed\n%s", report.Poll.Refused, got)
	}
}

// A poll leaves out what the definition skips, however the device writes it.
func TestPollsSkipWhatDiscoveriesSkip(t *testing.T) {
	t.Parallel()
	const box = `
sensors:
  - table: 1.3.6.1.4.1.99999.6.1
    columns: {raw: 2}
    class: temperature
    value: raw
    skip: [{of: value, is: [-999]}, {of: raw, more: 500}, {of: raw, less: -100}]
`
	const raw = "1.3.6.1.4.1.99999.6.1.2.1"
	objects := mib{raw: "4|21.5 C"}.system(1000)
	found, _ := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, box))
	if len(found.Components) != 1 {
		t.Fatal(found.Components)
	}
	for value, want := range map[string]string{
		"4|22 C": " 22", "4| -999": "", "4|-999.0 ": "", "4|501 C": "", "4|> 9999": "", "4|-200C": "", "2|-999": "", "2|600": "", "2|500": " 500",
	} {
		objects[raw] = value
		report := Poll(t.Context(), serveOne(t, objects), Target{Components: found.Components})
		_, got, _ := strings.Cut(filedComponents(report), ".rrd")
		if got != want || report.Poll.Refused != 0 {
			t.Errorf("%q: filed %q, want %q; %d refused", value, got, want, report.Poll.Refused)
		}
		again, _ := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, box))
		if there := len(again.Components) == 1; there != (want != "") {
			t.Errorf("%q: a discovery finds %v", value, again.Components)
		}
	}
}

// A share of a whole is 0 to 100 percent, and a factor of 0 says nothing; a load may be more.
func TestSharesBeyondTheWholeAreRefused(t *testing.T) {
	t.Parallel()
	const box = `
sensors:
  - table: 1.3.6.1.4.1.99999.6.1
    columns: {kind: 1, raw: 2, factor: 3}
    class: {of: kind, map: {"1": humidity, "2": charge, "3": load}}
    value: raw
    multiplier: factor
`
	objects := mib{}.system(1000)
	set := func(raw, factor string) {
		for _, row := range []string{"1", "2", "3"} {
			objects["1.3.6.1.4.1.99999.6.1.1."+row] = "2|" + row
			objects["1.3.6.1.4.1.99999.6.1.2."+row], objects["1.3.6.1.4.1.99999.6.1.3."+row] = raw, factor
		}
	}
	set("2|100", "2|1")
	found, _ := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, box))
	if len(found.Components) != 3 || found.Refused != 0 {
		t.Fatal(found.Components, found.Refused)
	}
	for raw, want := range map[string]int{"2|0": 3, "2|101": 1, "2|-1": 1, "2|655": 1} {
		set(raw, "2|1")
		report := Poll(t.Context(), serveOne(t, objects), Target{Components: found.Components})
		again, _ := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, box))
		if len(report.Poll.Components) != want || report.Poll.Refused != 3-want || len(again.Components) != want || again.Refused != 3-want {
			t.Errorf("%s: a poll keeps %d and refuses %d, a discovery %d and %d", raw, len(report.Poll.Components), report.Poll.Refused, len(again.Components), again.Refused)
		}
	}
	set("2|50", "2|0")
	if again, _ := Discover(t.Context(), serveOne(t, objects), Target{}, defined(t, box)); len(again.Components) != 0 || again.Refused != 3 {
		t.Errorf("a factor of 0: %+v", again.Components)
	}
}
