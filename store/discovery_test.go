package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

var discoveryBehaviours = []behaviour{
	{"components come back as they were found", componentRoundTrip},
	{"a component vanishes after two complete discoveries of two slots", componentVanishes},
	{"a discovery says what changed", discoveryEvents},
	{"an older discovery changes nothing", olderDiscovery},
	{"files of components get names of their own", componentNames},
	{"a device that does not answer is not to be discovered", discoverable},
	{"a limit that is crossed is told once", componentStatuses},
	{"a limit that was crossed before is told, too", componentsBeyondLimits},
	{"an incomplete discovery blanks nothing of a component", incompleteComponents},
	{"what a device lacks is kept until a discovery finds out anew", keptLacks},
}

func number(n float64) *float64 { return &n }

func sensorOf(index string, value float64) device.Component {
	c := device.Component{
		Kind: device.KindSensor, Class: "temperature", Type: "testbox", Index: index, Descr: "Inlet " + index, Label: "Board", Value: value,
		Reading: device.Reading{Value: "1.3.6.1.4.1.99999.1." + index, Formula: device.Formula{Divisor: 10, Multiplier: 1, Pattern: `(\d+) C`}},
		Limits:  device.Limits{Low: number(-5), High: number(70)},
	}
	c.Status = c.StatusOf(value)
	return c
}

// discoveryOf is a complete discovery of the device's n-th slot.
func discoveryOf(d device.Device, n int, found ...device.Component) device.Discovery {
	complete := map[device.ComponentKind]bool{}
	for _, kind := range device.ComponentKinds() {
		complete[kind] = true
	}
	return device.Discovery{
		DeviceID: d.ID, Slot: start.Unix() + int64(n)*21600, At: start.Add(time.Duration(n) * 6 * time.Hour), Duration: 1500 * time.Millisecond,
		Outcome: device.OutcomeUp, Node: "node-a", Components: found, Complete: complete,
		Facts: &device.Facts{OS: "testbox", Hardware: "M9", Version: "7.1", Serial: "S1", Features: "full"},
	}
}

func discovered(t testing.TB, e engine, d device.Discovery) []device.Component {
	t.Helper()
	if err := e.SaveDiscovery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	list, err := e.Components(t.Context(), d.DeviceID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func componentRoundTrip(t *testing.T, e engine) {
	d := added(t, e)
	pool := device.Component{
		Kind: device.KindMempool, Class: "system", Type: "ucd", Index: "0", Descr: "Main", Value: 25, Used: number(1 << 40), Total: number(4 << 40),
		Reading: device.Reading{Used: "1.3.6.1.4.1.2021.4.6.0", Constant: 4 << 40, Unit: 1024}, Limits: device.Limits{HighWarn: number(90)}, Status: device.ComponentOK,
	}
	state := device.Component{
		Kind: device.KindSensor, Class: "state", Type: "testbox", Index: "fan", Descr: "Fan", Value: 2, Status: device.ComponentCritical,
		Reading: device.Reading{Value: "1.3.6.1.4.1.99999.7.1.0", Formula: device.Formula{Map: map[string]float64{"broken": 2}}},
		States:  []device.SensorState{{Value: 1, Name: "good", Severity: device.ComponentOK}, {Value: 2, Name: "broken", Severity: device.ComponentCritical}},
	}
	discovery := discoveryOf(d, 1, pool, state, sensorOf("4", 38.5), sensorOf("4", 99))
	list := discovered(t, e, discovery)
	if len(list) != 3 {
		t.Fatalf("%d components: %+v", len(list), list)
	}
	want := []device.Component{pool, state, sensorOf("4", 38.5)}
	for i := range list {
		got := list[i]
		want[i].ID, want[i].DeviceID, want[i].SeenAt, want[i].RRDName = got.ID, d.ID, discovery.At, got.RRDName
		if len(got.States) == 0 {
			got.States = nil
		}
		if got.ID == 0 || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
	after, err := e.Device(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if f := after.Facts; f.OS != "testbox" || f.Hardware != "M9" || f.Version != "7.1" || f.Serial != "S1" || f.Features != "full" {
		t.Errorf("facts %+v", f)
	}
	if !after.DiscoveredAt.Equal(discovery.At) || after.DiscoveryDuration != discovery.Duration || after.DiscoveryOutcome != device.OutcomeUp {
		t.Errorf("discovered at %v in %v: %s", after.DiscoveredAt, after.DiscoveryDuration, after.DiscoveryOutcome)
	}
	// A poll knows less, and leaves what a discovery found.
	p := pollOf(d, 1)
	p.Facts = &device.Facts{SysName: "sw"}
	save(t, e, p)
	if after, _ := e.Device(t.Context(), d.ID); after.Facts.OS != "testbox" || after.Facts.SysName != "sw" {
		t.Errorf("after a poll: %+v", after.Facts)
	}
}

func componentVanishes(t *testing.T, e engine) {
	d := added(t, e)
	a, b := sensorOf("1", 20), sensorOf("2", 20)
	gone := func(list []device.Component) string {
		for _, c := range list {
			if c.Index == "2" {
				return fmt.Sprintf("missed %d, vanished %v", c.Missed, c.Vanished)
			}
		}
		return "not there"
	}
	discovered(t, e, discoveryOf(d, 1, a, b))
	once := discoveryOf(d, 2, a)
	again := once
	again.At = again.At.Add(time.Minute) // the same slot, by hand
	incomplete := discoveryOf(d, 3, a)
	incomplete.Complete[device.KindSensor] = false
	for i, step := range []struct {
		discovery device.Discovery
		want      string
	}{
		{once, "missed 1, vanished false"},
		{again, "missed 1, vanished false"},
		{incomplete, "missed 1, vanished false"},
		{discoveryOf(d, 4, a), "missed 2, vanished true"},
		{discoveryOf(d, 5, a), "missed 2, vanished true"},
		{discoveryOf(d, 6, a, b), "missed 0, vanished false"},
	} {
		if got := gone(discovered(t, e, step.discovery)); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func messagesOf(t testing.TB, e engine, d device.Device) string {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{DeviceID: d.ID})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, event := range slices.Backward(events) {
		told = append(told, fmt.Sprintf("%s %s %s", event.Type, event.Severity, event.Message))
	}
	return strings.Join(told, "\n")
}

func discoveryEvents(t *testing.T, e engine) {
	d := added(t, e)
	discovered(t, e, discoveryOf(d, 1, sensorOf("1", 20)))
	hot := discoveryOf(d, 2, sensorOf("1", 71.5), sensorOf("2", 20))
	hot.Facts.Version = "7.2"
	discovered(t, e, hot)
	discovered(t, e, discoveryOf(d, 3, sensorOf("1", 60)))
	discovered(t, e, discoveryOf(d, 4, sensorOf("1", 60)))
	const want = `system info 1 processors, memory pools, storages and sensors found
system notice version: 7.1 -> 7.2
sensor error temperature Inlet 1: ok -> critical at 71.5
sensor notice temperature Inlet 2: added
system notice version: 7.2 -> 7.1
sensor ok temperature Inlet 1: critical -> ok at 60
sensor warning temperature Inlet 2: vanished`
	if got := messagesOf(t, e, d); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func olderDiscovery(t *testing.T, e engine) {
	d := added(t, e)
	discovered(t, e, discoveryOf(d, 2, sensorOf("1", 20)))
	old := discoveryOf(d, 1, sensorOf("1", 10), sensorOf("2", 10))
	old.Facts.OS = "former"
	if list := discovered(t, e, old); len(list) != 1 || list[0].Value != 20 {
		t.Errorf("components %+v", list)
	}
	if after, _ := e.Device(t.Context(), d.ID); after.Facts.OS != "testbox" {
		t.Errorf("OS %s", after.Facts.OS)
	}
	missing := discoveryOf(d, 3)
	missing.DeviceID = 1 << 40
	if err := e.SaveDiscovery(t.Context(), missing); !errors.Is(err, ErrNotFound) {
		t.Errorf("a device that is gone: %v", err)
	}
	if err := e.SaveDiscovery(t.Context(), device.Discovery{DeviceID: d.ID}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a discovery without slot: %v", err)
	}
}

func componentNames(t *testing.T, e engine) {
	d := added(t, e)
	disk := func(descr string) device.Component {
		return device.Component{Kind: device.KindStorage, Type: "hr", Index: descr, Descr: descr, Value: 1, Status: device.ComponentOK}
	}
	list := discovered(t, e, discoveryOf(d, 1, disk("/var"), disk("?var"), disk("x-g2"), sensorOf("1.7", 3)))
	var names []string
	for _, c := range list {
		names = append(names, c.RRDName)
	}
	slices.Sort(names)
	want := []string{"sensor-temperature-testbox-1.7", "storage-hr-_var", "storage-hr-_var~2", "storage-hr-x-g2_"}
	if !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	renamed := disk("/var")
	renamed.Descr = "another text"
	for _, c := range discovered(t, e, discoveryOf(d, 2, renamed, disk("?var"), disk("x-g2"), sensorOf("1.7", 3))) {
		if c.Index == "/var" && (c.RRDName == "" || !strings.HasPrefix(c.RRDName, "storage-hr-_var") || c.Descr != "another text") {
			t.Errorf("after its text changed: %+v", c)
		}
	}
}

func discoverable(t *testing.T, e engine) {
	d, down := added(t, e), added(t, e)
	p := pollOf(down, 1)
	p.Outcome, p.Facts = device.OutcomeDown, nil
	save(t, e, p)
	discovered(t, e, discoveryOf(d, 3))
	list, err := e.Discoverable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(id int64) int {
		return slices.IndexFunc(list, func(x device.Discoverable) bool { return x.ID == id })
	}
	if i := at(d.ID); i < 0 || list[i].Slot != discoveryOf(d, 3).Slot {
		t.Errorf("the device that is up is not listed with its slot: %d", i)
	}
	if at(down.ID) >= 0 {
		t.Error("the device that is down is listed")
	}
}

func componentsBeyondLimits(t *testing.T, e engine) {
	d := added(t, e)
	discovered(t, e, discoveryOf(d, 1, sensorOf("1", 71)))
	discovered(t, e, discoveryOf(d, 2, sensorOf("1", 20), sensorOf("2", -6)))
	const want = `sensor error temperature Inlet 1: new -> critical at 71
system info 1 processors, memory pools, storages and sensors found
sensor ok temperature Inlet 1: critical -> ok at 20
sensor notice temperature Inlet 2: added
sensor error temperature Inlet 2: new -> critical at -6`
	if got := messagesOf(t, e, d); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// incompleteComponents: the table of limits was not answered, nor one object of a file of the host.
func incompleteComponents(t *testing.T, e engine) {
	d := added(t, e)
	host := device.Component{Kind: device.KindHost, Type: "host", Index: "ucd_cpu", Descr: "ucd_cpu", Reading: device.Reading{File: 7, Sources: []string{"1.3.1", "1.3.2"}}, Status: device.ComponentOK}
	pool := device.Component{
		Kind: device.KindMempool, Class: "system", Type: "x", Index: "1", Descr: "Main", Value: 25, Used: number(1), Total: number(4),
		Reading: device.Reading{Used: "1.3.3", Total: "1.3.4"}, Status: device.ComponentOK,
	}
	before := discovered(t, e, discoveryOf(d, 1, sensorOf("1", 71), host, pool))
	events := messagesOf(t, e, d)
	bare := sensorOf("1", 72)
	bare.Limits, bare.Label, bare.Descr, bare.Status = device.Limits{}, "", bare.Index, device.ComponentOK
	lacking, share := host, pool
	lacking.Reading.Sources = []string{"1.3.1", ""}
	share.Reading, share.Used, share.Total, share.Value = device.Reading{Value: "1.3.5"}, nil, nil, 50
	incomplete := discoveryOf(d, 2, bare, lacking, share)
	incomplete.Complete = map[device.ComponentKind]bool{}
	after := discovered(t, e, incomplete)
	if got := messagesOf(t, e, d); got != events {
		t.Errorf("events\n%s", got)
	}
	for i := range before {
		want := before[i]
		want.Value, want.SeenAt = after[i].Value, incomplete.At
		if !reflect.DeepEqual(after[i], want) {
			t.Errorf("got  %+v\nwant %+v", after[i], want)
		}
	}
	if after[1].Value != 50 || after[2].Value != 72 {
		t.Errorf("values %v and %v", after[1].Value, after[2].Value)
	}
	after = discovered(t, e, discoveryOf(d, 3, bare, lacking, share))
	if after[0].Reading.Sources[1] != "" || after[1].Reading.Value != "1.3.5" || after[1].Used != nil || after[2].Limits != (device.Limits{}) || after[2].Descr != "1" || after[2].Status != device.ComponentOK {
		t.Errorf("after a complete one %+v", after)
	}
}

// componentStatuses: a poll that finds a limit crossed writes it once, and the event with it.
func componentStatuses(t *testing.T, e engine) {
	d := added(t, e)
	list := discovered(t, e, discoveryOf(d, 0, sensorOf("1", 20), sensorOf("2", 20)))
	poll := func(n int, value float64) {
		p := pollOf(d, n)
		for i := range list {
			at := value
			if list[i].Index == "2" {
				at = 20
			}
			p.Components = append(p.Components, device.ComponentReading{ID: list[i].ID, Value: at, Status: list[i].StatusOf(at)})
		}
		save(t, e, p)
	}
	first := messagesOf(t, e, d)
	for n, value := range []float64{21, 71, 72, 70, 69.9, 71, 69.5, 69, 22} { // close to the limit it is still beyond it
		poll(n+1, value)
	}
	got := strings.TrimPrefix(messagesOf(t, e, d), first+"\n")
	got = strings.Join(slices.DeleteFunc(strings.Split(got, "\n"), func(line string) bool { return !strings.HasPrefix(line, "sensor") }), "\n")
	const want = `sensor error temperature Inlet 1: ok -> critical at 71
sensor ok temperature Inlet 1: critical -> ok at 69`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	after, err := e.Components(t.Context(), d.ID)
	if err != nil || after[0].Status != device.ComponentOK || after[0].Value != 69 || after[1].Value != 20 {
		t.Errorf("%+v, %v", after, err)
	}
	// A value that a discovery finds close to the limit is judged alike, and one that stays there is found good at last.
	poll(10, 71)
	list = discovered(t, e, discoveryOf(d, 1, sensorOf("1", 69.9), sensorOf("2", 20)))
	if list[0].Status != device.ComponentCritical {
		t.Errorf("a discovery: %s at %v", list[0].Status, list[0].Value)
	}
	list = discovered(t, e, discoveryOf(d, 2, sensorOf("1", 60), sensorOf("2", 20)))
	if list[0].Status != device.ComponentOK {
		t.Errorf("another discovery: %s at %v", list[0].Status, list[0].Value)
	}
}

// Thousands of components may want one name, of those that vanished too; each gets its own, without counting from the begin.
func TestNamesOfManyComponents(t *testing.T) {
	t.Parallel()
	disk := func(i int) device.Component {
		return device.Component{Kind: device.KindStorage, Type: "hr", Index: fmt.Sprint(i), Descr: "disk"}
	}
	var rows []componentRow
	for begin := 0; begin < maxComponentRows; begin += 5000 {
		var found []device.Component
		for i := range 5000 {
			found = append(found, disk(begin+i))
		}
		rows = append(rows, mergeComponents(rows, device.Discovery{DeviceID: 1, Slot: int64(begin + 1), Components: found}).added...)
	}
	names := map[string]bool{}
	for i := range rows {
		names[rows[i].RRDName] = true
	}
	if len(names) != maxComponentRows || !names["storage-hr-disk"] || !names["storage-hr-disk~2"] || !names[fmt.Sprintf("storage-hr-disk~%d", maxComponentRows)] {
		t.Errorf("%d names of %d components", len(names), len(rows))
	}
}

func keptLacks(t *testing.T, e engine) {
	d := added(t, e)
	for n, c := range []struct{ found, want []string }{
		{nil, nil},
		{[]string{"ifHCInOctets", "snmpEngineTime"}, []string{"ifHCInOctets", "snmpEngineTime"}},
		{nil, []string{"ifHCInOctets", "snmpEngineTime"}}, // it was not found out
		{[]string{}, nil},
	} {
		read := discoveryOf(d, n+1)
		read.Lacks = c.found
		discovered(t, e, read)
		target, _, err := e.PollTarget(t.Context(), d.ID)
		if err != nil || !slices.Equal(target.Lacks, c.want) {
			t.Errorf("after discovery %d polls know that it lacks %q, %v; want %q", n+1, target.Lacks, err, c.want)
		}
	}
}
