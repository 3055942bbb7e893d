package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pollux/device"
	"pollux/settings"
)

// groupBehaviours are those of poller groups while the default group is 0.
var groupBehaviours = []behaviour{
	{"a group is found, renamed and described", groupChange},
	{"group 0 stays", groupZero},
	{"a removed group leaves nothing that names it", groupRemove},
	{"groups added at once have ids of their own", groupAddRace},
	{"two removals of a group at once", groupRemoveRace},
	{"devices come while their group goes", groupDeviceRace},
}

func addGroup(t testing.TB, e engine, name string) device.Group {
	t.Helper()
	g, err := e.AddGroup(t.Context(), device.Group{Name: name}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func addedTo(t testing.TB, e engine, group int64) device.Device {
	t.Helper()
	d := described()
	d.Group = group
	d, err := e.AddDevice(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// groupEvents are the events that name a group, as "actor severity message", oldest first.
func groupEvents(t testing.TB, e engine, id int64) []string {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{Type: "poller_group"})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, event := range slices.Backward(events) {
		if number := fmt.Sprintf("group %d", id); strings.Contains(event.Message, number+":") || strings.Contains(event.Message, number+" ") {
			list = append(list, fmt.Sprintf("%s %s %s", event.Actor, event.Severity, event.Message))
		}
	}
	return list
}

func groupChange(t *testing.T, e engine) {
	g, other := addGroup(t, e, "south"), addGroup(t, e, "north")
	change := func(name, description string) (device.Group, error) {
		return e.UpdateGroup(t.Context(), g.ID, func(g *device.Group) error {
			g.ID, g.Name, g.Description = 99, name, description
			return nil
		}, "bob")
	}
	want := device.Group{ID: g.ID, Name: "Süd", Description: "two lines"}
	for range 2 { // the second changes nothing
		if got, err := change(" Süd ", "two\nlines"); err != nil || got != want {
			t.Errorf("changed to %+v, %v", got, err)
		}
		want.Name = "Süd"
	}
	for _, spec := range []string{"Süd", strconv.FormatInt(g.ID, 10)} {
		if got, err := e.Group(t.Context(), spec); err != nil || got != want {
			t.Errorf("group %s: %+v, %v", spec, got, err)
		}
	}
	for _, spec := range []string{"south", "süd", "", "-1", "9999999", "99999999999999999999", "a\x00b", "a\xff", strings.Repeat("x", 10_000)} {
		if got, err := e.Group(t.Context(), spec); !errors.Is(err, ErrNotFound) {
			t.Errorf("group %.40q: %+v, %v", spec, got, err)
		}
	}
	mine := errors.New("changed my mind")
	_, own := e.UpdateGroup(t.Context(), g.ID, func(*device.Group) error { return mine }, "bob")
	_, unknown := e.UpdateGroup(t.Context(), 1<<40, func(*device.Group) error { return nil }, "bob")
	_, taken := change(other.Name, "")
	_, empty := change("", "")
	_, numeric := change("12", "")
	for _, c := range []struct{ err, want error }{{own, mine}, {unknown, ErrNotFound}, {taken, ErrDuplicate}, {empty, ErrInvalid}, {numeric, ErrInvalid}} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("got %v, want %v", c.err, c.want)
		}
	}
	same(t, "events", groupEvents(t, e, g.ID), []string{
		fmt.Sprintf("alice notice added group %d (south)", g.ID), fmt.Sprintf("bob notice group %d: name: south -> Süd", g.ID),
		fmt.Sprintf("bob notice group %d: description:  -> two lines", g.ID),
	})
}

func groupZero(t *testing.T, e engine) {
	if _, err := e.RemoveGroup(t.Context(), device.GeneralGroup, "alice"); !errors.Is(err, ErrInvalid) {
		t.Errorf("removed: %v", err)
	}
	_, err := e.UpdateGroup(t.Context(), device.GeneralGroup, func(g *device.Group) error { g.Name = "x"; return nil }, "alice")
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("renamed: %v", err)
	}
	if _, err := e.RemoveGroup(t.Context(), 1<<40, "alice"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown group: %v", err)
	}
	if g, err := e.Group(t.Context(), "General"); err != nil || g.ID != device.GeneralGroup {
		t.Errorf("group 0: %+v, %v", g, err)
	}
}

func groupRemove(t *testing.T, e engine) {
	g, kept := addGroup(t, e, "to be removed"), addGroup(t, e, "to stay")
	devices := []device.Device{addedTo(t, e, g.ID), addedTo(t, e, g.ID)}
	beside := addedTo(t, e, kept.ID)
	assign := func(name string, groups ...int64) {
		t.Helper()
		if err := e.SaveNode(t.Context(), device.Node{Role: "consumer", NodeID: name}); err != nil {
			t.Fatal(err)
		}
		_, err := e.ChangeNode(t.Context(), "consumer", name, "alice", func(o *device.Orders) error {
			o.Assigned, o.Groups = true, groups
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	assign("removal-both", kept.ID, g.ID)
	assign("removal-only", g.ID)
	assign("removal-other", kept.ID)
	if err := e.SaveNode(t.Context(), device.Node{Role: "consumer", NodeID: "removal-file", Own: []int64{g.ID, 0}}); err != nil {
		t.Fatal(err)
	}
	if counts, err := e.GroupDevices(t.Context()); err != nil || counts[g.ID] != 2 || counts[kept.ID] != 1 {
		t.Errorf("devices %v, %v", counts, err)
	}
	got, err := e.RemoveGroup(t.Context(), g.ID, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if got.Group != g || got.Devices != 2 || got.To.ID != device.GeneralGroup || got.WasDefault ||
		fmt.Sprint(nodeGroups(got.Unassigned)) != fmt.Sprintf("map[removal-both:[%d] removal-only:[]]", kept.ID) ||
		fmt.Sprint(nodeGroups(got.NamedInFiles)) != fmt.Sprintf("map[removal-file:[%d 0]]", g.ID) {
		t.Errorf("the removal: %+v", got)
	}
	for _, d := range devices {
		if now := reread(t, e, d.ID); now.Group != device.GeneralGroup || now.RRDDir != d.RRDDir {
			t.Errorf("a device of it is now %+v", now)
		}
	}
	if now := reread(t, e, beside.ID); now.Group != kept.ID {
		t.Errorf("a device of another group is now in %d", now.Group)
	}
	nodes, err := e.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"removal-both": fmt.Sprint([]int64{kept.ID}), "removal-only": "[]", "removal-other": fmt.Sprint([]int64{kept.ID}), "removal-file": fmt.Sprint([]int64{g.ID, 0}),
	} {
		if groups := fmt.Sprint(nodeGroups(nodes)[name]); groups != want {
			t.Errorf("node %s has the groups %s, want %s", name, groups, want)
		}
	}
	if i := slices.IndexFunc(nodes, func(n device.Node) bool { return n.NodeID == "removal-only" }); !nodes[i].Assigned || nodes[i].Groups == nil {
		t.Errorf("a node without a group counts as never assigned: %+v", nodes[i])
	}
	same(t, "events", groupEvents(t, e, g.ID), []string{
		fmt.Sprintf("alice notice added group %d (to be removed)", g.ID),
		fmt.Sprintf("bob notice removed group %d (to be removed): 2 devices went to group 0 (General)", g.ID),
		fmt.Sprintf("bob notice consumer removal-both is no longer assigned to group %d (to be removed)", g.ID),
		fmt.Sprintf("bob warning consumer removal-only is no longer assigned to group %d (to be removed), and to no other group: it polls nothing", g.ID),
	})
	if again := addGroup(t, e, "to be removed"); again.ID <= g.ID {
		t.Errorf("the name again has the id %d, the removed one had %d", again.ID, g.ID)
	}
}

func nodeGroups(nodes []device.Node) map[string][]int64 {
	groups := map[string][]int64{}
	for _, n := range nodes {
		groups[n.NodeID] = n.Groups
	}
	return groups
}

// The default group and the highest id are one for all of a database, so these have their own.
func TestDefaultGroupAndHighestID(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			groupDefault(t, e)
			groupHighest(t, e)
		})
	}
}

func groupDefault(t *testing.T, e engine) {
	const key = settings.KeyDefaultPollerGroup
	heir, old := addGroup(t, e, "heir"), addGroup(t, e, "old default")
	for _, value := range []string{"123456789", "heir", "-1"} {
		if err := e.SetSetting(t.Context(), key, value, "alice"); !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
			t.Errorf("default group %s: %v", value, err)
		}
	}
	set := func(id int64) {
		t.Helper()
		if err := e.SetSetting(t.Context(), key, strconv.FormatInt(id, 10), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	set(heir.ID)
	d := addedTo(t, e, old.ID)
	if r, err := e.RemoveGroup(t.Context(), old.ID, "bob"); err != nil || r.To.ID != heir.ID || r.WasDefault {
		t.Errorf("removed beside the default: %+v, %v", r, err)
	}
	if now := reread(t, e, d.ID); now.Group != heir.ID {
		t.Errorf("its device is in %d, want %d", now.Group, heir.ID)
	}
	if r, err := e.RemoveGroup(t.Context(), heir.ID, "bob"); err != nil || r.To.ID != 0 || !r.WasDefault || r.Devices != 1 {
		t.Errorf("removed the default: %+v, %v", r, err)
	}
	if all, err := e.LoadSettings(t.Context()); err != nil || all[key] != "" {
		t.Errorf("the default is %q, %v", all[key], err)
	}
	same(t, "events", settingEvents(t, e, key), []string{
		fmt.Sprintf("alice default_poller_group: 0 (default) -> %d", heir.ID), fmt.Sprintf("bob default_poller_group: %d -> 0 (default)", heir.ID),
	})
	// What a hand wrote into the table is not followed into nowhere.
	row := settingRow{Name: key, Value: "123456789"}
	if _, err := e.db.NewInsert().Model(&row).Returning("NULL").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	third := addGroup(t, e, "third")
	if r, err := e.RemoveGroup(t.Context(), third.ID, "bob"); err != nil || r.To.ID != 0 {
		t.Errorf("with a default that does not exist: %+v, %v", r, err)
	}
	if err := e.UnsetSetting(t.Context(), key, "bob"); err != nil {
		t.Fatal(err)
	}
}

// The queue of a removed group may still hold tasks.
func groupHighest(t *testing.T, e engine) {
	highest := addGroup(t, e, "highest").ID
	again := func(name string) {
		t.Helper()
		if _, err := e.RemoveGroup(t.Context(), highest, "bob"); err != nil {
			t.Fatal(err)
		}
		g := addGroup(t, e, name)
		if g.ID != highest+1 {
			t.Errorf("after group %d was removed the next one is %d", highest, g.ID)
		}
		highest = g.ID
	}
	again("next")
	// Groups may be older than the row that remembers.
	if _, err := e.db.NewDelete().Table("settings").Where("name = ?", lastGroup).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	again("the one after it")
	if _, err := e.db.NewUpdate().Table("settings").Set("value = 'many'").Where("name = ?", lastGroup).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	again("last")
}
