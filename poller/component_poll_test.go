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
