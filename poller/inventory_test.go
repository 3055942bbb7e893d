package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pollux/device"
	"pollux/settings"
	"pollux/snmp"
)

// discover discovers a device that holds the objects, and returns what is no component.
func discover(t *testing.T, objects mib, target Target) device.Discovery {
	t.Helper()
	found, _ := Discover(t.Context(), serveOne(t, objects.system(1000)), target, defined(t, ""))
	return found
}

// whole fails unless the modules, and no others of the inventory, read their tables to the ends.
func whole(t *testing.T, d device.Discovery, want ...string) {
	t.Helper()
	var got []string
	for name, complete := range d.Whole {
		if complete {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("complete: %v, want %v (%s: %s)", got, want, d.Outcome, d.Reason)
	}
}

func everything() []string {
	return []string{device.ModuleAddresses, device.ModuleEntities, device.ModuleNeighbours, device.ModuleVLANs}
}

func lines(t *testing.T, what, got, want string) {
	t.Helper()
	if got != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, strings.TrimSpace(want))
	}
}

// Nothing that a device sends makes more rows or longer texts than a table takes.
func TestHostileRowsAreBounded(t *testing.T) {
	t.Parallel()
	objects := mib{}
	long := strings.Repeat("41", 4000)
	for i := range device.MaxInventory + 10 {
		objects[fmt.Sprintf("1.3.6.1.2.1.4.20.1.2.10.%d.%d.1", i/250, i%250)] = "2|1"
		objects[fmt.Sprintf("1.3.6.1.4.1.9.9.23.1.2.1.1.6.1.%d", i+1)] = fmt.Sprintf("4|n%d", i)
		objects[fmt.Sprintf("1.3.6.1.2.1.47.1.1.1.1.5.%d", i+1)] = "2|9"
	}
	objects["1.3.6.1.2.1.47.1.1.1.1.2.1"] = "4x|" + long
	objects["1.3.6.1.4.1.9.9.23.1.2.1.1.8.1.1"] = "4x|" + long
	objects["1.3.6.1.2.1.17.7.1.4.3.1.1.1"] = "4x|" + long
	objects["1.3.6.1.2.1.17.7.1.4.3.1.1.2"] = "4x|1B5B324A1B5D303BE280AE07" // sequences that a terminal obeys
	d := discover(t, objects, Target{})
	whole(t, d, device.ModuleVLANs)
	if d.Outcome != device.OutcomePartial || !strings.Contains(d.Reason, "more than 5000 addresses") {
		t.Errorf("%s: %s", d.Outcome, d.Reason)
	}
	if len(d.Addresses) != device.MaxInventory || len(d.Neighbours) != device.MaxInventory || len(d.Entities) != device.MaxInventory {
		t.Fatalf("%d addresses, %d neighbours, %d entities", len(d.Addresses), len(d.Neighbours), len(d.Entities))
	}
	if len(d.Entities[0].Descr) != maxText || len(d.Neighbours[0].RemotePlatform) != maxText || len(d.VLANs[0].Name) != maxText {
		t.Error("a text is longer than it may be")
	}
	if name := d.VLANs[1].Name; name != "[2J ]0;" {
		t.Errorf("a name %q", name)
	}
}

func TestModulesAreSwitchedOff(t *testing.T) {
	t.Parallel()
	objects := func() mib {
		return mib{
			"1.3.6.1.2.1.4.20.1.2.10.0.0.1": "2|3", "1.3.6.1.2.1.17.7.1.4.3.1.1.1": "4|default", "1.3.6.1.2.1.47.1.1.1.1.5.1": "2|3",
			"1.3.6.1.4.1.9.9.23.1.2.1.1.6.1.1": "4|sw",
		}.system(1000)
	}
	s := &scripted{Session: serveOne(t, objects())}
	target := Target{ModulesOff: []string{"vlans", "sensors"}, Device: device.Device{DiscoveryOff: []string{"addresses"}}}
	d, modules := Discover(t.Context(), s, target, defined(t, "modules: {neighbours: false, mempools: false}\n"))
	var ran []string
	for _, m := range modules {
		ran = append(ran, m.Name)
	}
	if want := []string{"core", "os", "ports", "processors", "storage", "host", "entity-physical"}; !slices.Equal(ran, want) {
		t.Errorf("%v ran, want %v", ran, want)
	}
	whole(t, d, device.ModuleEntities)
	if d.Complete[device.KindSensor] || d.Complete[device.KindMempool] || !d.Complete[device.KindStorage] {
		t.Errorf("complete: %v", d.Complete)
	}
	// While it cannot be found out what a device runs, what it ran is not harmed.
	lost := &scripted{Session: serveOne(t, objects()), get: func(context.Context, []snmp.OID) ([]snmp.Variable, error) { return nil, errors.New("lost") }}
	d, _ = Discover(t.Context(), lost, Target{Device: device.Device{Facts: device.Facts{OS: "testbox", SysDescr: "Test switch", SysObjectID: "1.3.6.1.4.1.9.1.1208"}}}, defined(t, "modules: {neighbours: false}\n"))
	if _, read := d.Whole[device.ModuleNeighbours]; read || d.Outcome != device.OutcomePartial {
		t.Errorf("neighbours were read; %s", d.Outcome)
	}
}

func TestTheSettingNamesTheModules(t *testing.T) {
	t.Parallel()
	setting, err := settings.Find(settings.KeyDiscoveryModules)
	if err != nil || !slices.Equal(setting.Words, device.DiscoveryModules()) || setting.Default != strings.Join(device.DiscoveryModules(), ",") {
		t.Errorf("%v: %+v", err, setting)
	}
	var names []string
	for _, m := range slices.Concat([]Module{columnsModule{}}, discoveryModules(), inventoryModules()) {
		names = append(names, m.Name())
	}
	slices.Sort(names)
	if !slices.Equal(names, device.DiscoveryModules()) {
		t.Errorf("the modules %v, want %v", names, device.DiscoveryModules())
	}
}

// What came beyond the bound of memory was not kept, so the column lacks rows.
func TestWhatIsNotKeptIsIncomplete(t *testing.T) {
	t.Parallel()
	const column snmp.OID = "1.3.6.1.4.1.99999.1"
	r := newTableReader(serveOne(t, mib{string(column) + ".1": "2|1", string(column) + ".2": "2|2"}))
	r.kept = maxKept
	for range 2 {
		if err := r.walk(t.Context(), []snmp.OID{column}); !errors.Is(err, snmp.ErrTooLarge) {
			t.Errorf("%d rows, %v", len(r.columns[column]), err)
		}
	}
}
