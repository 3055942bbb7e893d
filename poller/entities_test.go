package poller

import (
	"fmt"
	"slices"
	"testing"

	"pollux/device"
)

func TestEntitiesAreReadWhole(t *testing.T) {
	t.Parallel()
	const e = "1.3.6.1.2.1.47.1.1.1.1."
	d := discover(t, mib{
		e + "2.1": "4x|43686173736973206F660D0A666F757220736C6F74732000", e + "4.1": "2|0", e + "5.1": "2|3", e + "7.1": "4|Chassis", e + "8.1": "4|V01", e + "9.1": "4|2.1(9)8",
		e + "10.1": "4|9.12(3)", e + "11.1": "4x|464F4331323334000000", e + "12.1": "4|Test", e + "13.1": "4|T-4", e + "16.1": "2|1",
		e + "2.1001": "4|Fan", e + "4.1001": "2|1", e + "5.1001": "2|7", e + "16.1001": "2|2",
		e + "7.2": "4|alone",                // a row of one column
		e + "2.3": "2|5", e + "5.3": "2|99", // of other types
		e + "2.0": "4|no index", e + "2.1.7": "4|no index either",
	}, Target{})
	whole(t, d, everything()...)
	want := []device.Entity{
		{Index: 1, Class: "chassis", Descr: "Chassis of four slots", Name: "Chassis", Hardware: "V01", Firmware: "2.1(9)8", Software: "9.12(3)",
			Serial: "FOC1234", Model: "T-4", Vendor: "Test", FRU: true},
		{Index: 2, Name: "alone"},
		{Index: 3, Descr: "5"},
		{Index: 1001, Parent: 1, Class: "fan", Descr: "Fan"},
	}
	if !slices.Equal(d.Entities, want) {
		t.Errorf("got  %+v\nwant %+v", d.Entities, want)
	}
}

// The thermometers of a large chassis do not crowd out its parts.
func TestSensorsGoFirstFromALongTableOfEntities(t *testing.T) {
	t.Parallel()
	objects := mib{}
	for i := range device.MaxInventory + 10 {
		class := "2|9"
		if i < 20 {
			class = "2|8"
		}
		objects[fmt.Sprintf("1.3.6.1.2.1.47.1.1.1.1.5.%d", i+1)] = class
	}
	d := discover(t, objects, Target{})
	whole(t, d, everything()...)
	if len(d.Entities) != device.MaxInventory-10 || d.Entities[0].Index != 21 {
		t.Errorf("%d entities from %+v on", len(d.Entities), d.Entities[0])
	}
}

// What one module has read in vain is incomplete for another one too.
func TestAColumnThatFailedIsIncompleteForAll(t *testing.T) {
	t.Parallel()
	inner := serveOne(t, mib{
		"1.3.6.1.2.1.47.1.1.1.1.5.1": "2|3", "1.3.6.1.2.1.47.1.1.1.1.11.1": "4|S1", "1.3.6.1.2.1.47.1.1.1.1.2.1": "4|Chassis",
	}.system(1000))
	s := &scripted{Session: inner, table: failing(inner, entPhysicalSerialNum)}
	d, _ := Discover(t.Context(), s, Target{}, defined(t, "facts:\n  serial: [{entity: serial}]\n"))
	whole(t, d, device.ModuleAddresses, device.ModuleNeighbours, device.ModuleVLANs)
	if len(d.Entities) != 1 || d.Entities[0].Descr != "Chassis" {
		t.Errorf("entities %+v", d.Entities)
	}
}
