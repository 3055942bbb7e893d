package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

var vanishedBehaviours = []behaviour{
	{"what vanished long ago is purged, and nothing else", vanishedPurge},
}

// before2002 is a discovery long before those of other behaviours.
func before2002(d device.Discovery) device.Discovery {
	back := start.Sub(time.Unix(1_000_000_000, 0)).Truncate(time.Second)
	d.At, d.Slot = d.At.Add(-back), d.Slot-int64(back/time.Second)
	return d
}

func vanishedPurge(t *testing.T, e engine) {
	d := added(t, e)
	var many []device.Component
	for i := range purgeBatch + 10 {
		many = append(many, sensorOf(fmt.Sprint(i), 20))
	}
	both, one := sampleInventory(), sampleInventory()
	one.Addresses, one.Neighbours, one.VLANs = one.Addresses[:1], nil, one.VLANs[:1]
	for n, step := range []struct {
		found     []device.Component
		inventory device.Inventory
	}{{many, both}, {many[:3], one}, {many[:3], one}} {
		discovery := discoveryOf(d, n+1, step.found...)
		discovery.Inventory = step.inventory
		discovery.Whole = wholeInventory()
		keep(t, e, before2002(discovery))
	}
	if _, err := e.db.NewUpdate().Table("components").Set("disabled = ?", true).Where("device_id = ?", d.ID).Where("component_index = ?", "7").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func() string {
		components, err := e.Components(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		all := kept(t, e, d.ID)
		return fmt.Sprint(len(components), len(all.Addresses), len(all.Neighbours), len(all.VLANs))
	}
	seen, missed := before2002(discoveryOf(d, 1)).At, before2002(discoveryOf(d, 3)).At
	for _, step := range []struct {
		before  time.Time
		removed int64
		left    string
	}{
		{seen, 0, fmt.Sprint(len(many), 2, 1, 2)},
		{seen.Add(time.Second), purgeBatch + 10 - 3 - 1, "4 2 1 2"}, // inventories tell when a row was missed
		{missed.Add(time.Second), 3, "4 1 0 1"},
		{missed.Add(time.Hour), 0, "4 1 0 1"}, // what is there, or was disabled, stays however long ago it was found
	} {
		removed, err := e.PurgeVanished(t.Context(), step.before)
		if err != nil || removed != step.removed || count() != step.left {
			t.Errorf("before %v: removed %d, left %s, want %d and %s: %v", step.before, removed, count(), step.removed, step.left, err)
		}
	}
	// One that comes back has the name of its file again.
	back := before2002(discoveryOf(d, 9, many[9]))
	keep(t, e, back)
	components, err := e.Components(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(components, func(c device.Component) bool { return c.Index == "9" })
	if i < 0 || !strings.HasPrefix(components[i].RRDName, "sensor-temperature-testbox-9") {
		t.Errorf("after its return: %d, %+v", i, components)
	}
}

// What a device has must not give way to what it had; what it had is bounded, too.
func TestVanishedComponentsTakeNoRoom(t *testing.T) {
	t.Parallel()
	disks := func(from, to int) (all []device.Component) {
		for i := from; i < to; i++ {
			all = append(all, device.Component{Kind: device.KindStorage, Type: "hr", Index: fmt.Sprint(i), Descr: "disk"})
		}
		return all
	}
	add := func(rows []componentRow, found []device.Component) componentMerge {
		return mergeComponents(rows, device.Discovery{DeviceID: 1, Slot: 1, Components: found})
	}
	rows := add(nil, disks(0, maxComponentRows)).added
	if m := add(rows, disks(maxComponentRows, maxComponentRows+2)); len(rows) != maxComponentRows || len(m.added) != 0 || m.left != 2 {
		t.Fatalf("%d rows, then %d more are kept and %d not", len(rows), len(m.added), m.left)
	}
	for i := range rows {
		rows[i].Vanished = true
	}
	m := add(rows, disks(maxComponentRows-1, 2*maxComponentRows+5)) // the first one comes back
	if len(m.added) != maxComponentRows-1 || m.left != 6 {
		t.Errorf("beside %d vanished ones %d are kept and %d not", len(rows), len(m.added), m.left)
	}
	rows = append(rows, m.added...)
	for i := range rows {
		rows[i].Vanished = true
	}
	if m := add(rows, disks(2*maxComponentRows, 2*maxComponentRows+5)); len(m.added) != 1 || m.left != 4 || !strings.Contains(m.events[len(m.events)-1].Message, "vanished_purge") {
		t.Errorf("beside %d vanished ones %d are kept and %d not: %v", len(rows), len(m.added), m.left, m.events)
	}
}
