package store

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/settings"
)

// recordBehaviours are those of groups, settings and events.
var recordBehaviours = []behaviour{
	{"group 0 is always there", groupGeneral},
	{"settings are checked, stored and logged", settingRoundTrip},
	{"settings have their forms", settingForms},
	{"events are listed newest first and purged", eventPurge},
	{"events are chosen", eventFilter},
	{"agents of several devices are known", sharedAgents},
}

func groupGeneral(t *testing.T, e engine) {
	groups, err := e.Groups(t.Context())
	if err != nil || len(groups) == 0 || groups[0].ID != device.GeneralGroup || groups[0].Name != "General" {
		t.Fatalf("groups %v, %v", groups, err)
	}
	added, err := e.AddGroup(t.Context(), device.Group{Name: " Zürich ", Description: "south\nwing"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	want := device.Group{ID: added.ID, Name: "Zürich", Description: "south wing"}
	groups, err = e.Groups(t.Context())
	if err != nil || added.ID < 1 || !slices.Contains(groups, want) {
		t.Errorf("groups %v, %v, want %v", groups, err, want)
	}
	if _, err := e.AddGroup(t.Context(), device.Group{Name: "Zürich"}, "alice"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same name again: %v", err)
	}
	for _, name := range []string{"", " ", "a\nb", "a\xff", "a\u202eb", "a\u009bb", string(make([]byte, 65)), "7", "-3", "+4", " 12 "} {
		if _, err := e.AddGroup(t.Context(), device.Group{Name: name}, "alice"); !errors.Is(err, ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func settingRoundTrip(t *testing.T, e engine) {
	key := settings.KeyPollerWorkers
	stored := func() (string, bool) {
		all, err := e.LoadSettings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		value, found := all[key]
		return value, found
	}
	for _, value := range []string{"50", "50", "60"} {
		if err := e.SetSetting(t.Context(), key, value, "alice"); err != nil {
			t.Fatal(err)
		}
		if got, _ := stored(); got != value {
			t.Errorf("stored %q, want %q", got, value)
		}
	}
	for range 2 { // the second finds nothing to do
		if err := e.UnsetSetting(t.Context(), key, "bob"); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.SetSetting(t.Context(), key, "100", "bob"); err != nil { // the default, but stored
		t.Fatal(err)
	}
	if got, found := stored(); !found || got != "100" {
		t.Errorf("stored %q, %t", got, found)
	}
	if err := e.UnsetSetting(t.Context(), key, "bob"); err != nil {
		t.Fatal(err)
	}
	if got, found := stored(); found {
		t.Errorf("still stored: %q", got)
	}
	for key, value := range map[string]string{key: "many", "no.such.key": "1"} {
		if err := e.SetSetting(t.Context(), key, value, "alice"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if err := e.UnsetSetting(t.Context(), "no.such.key", "alice"); !errors.Is(err, ErrInvalid) {
		t.Errorf("unset an unknown key: %v", err)
	}
	same(t, "events", settingEvents(t, e, key), []string{
		"alice service_poller_workers: 100 (default) -> 50", "alice service_poller_workers: 50 -> 60", "bob service_poller_workers: 60 -> 100 (default)",
		"bob service_poller_workers: 100 (default) -> 100", "bob service_poller_workers: 100 -> 100 (default)",
	})
}

// settingEvents are those of one key as "actor message", oldest first.
func settingEvents(t *testing.T, e engine, key string) []string {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{Type: "settings"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, event := range slices.Backward(events) {
		if strings.HasPrefix(event.Message, key+":") {
			got = append(got, event.Actor+" "+event.Message)
		}
	}
	return got
}

// Words are stored as the setting has them, and what no setting takes can be seen and removed.
func settingForms(t *testing.T, e engine) {
	for typed, stored := range map[string]string{"WARNING": "warn", "Debug": "debug"} {
		if err := e.SetSetting(t.Context(), settings.KeyLogLevel, typed, "alice"); err != nil {
			t.Fatal(err)
		}
		if all, err := e.LoadSettings(t.Context()); err != nil || all[settings.KeyLogLevel] != stored {
			t.Errorf("%s is stored as %q, %v", typed, all[settings.KeyLogLevel], err)
		}
	}
	rows := []settingRow{{Name: "gone.with.a.release", Value: "7"}, {Name: settings.KeySNMPPort, Value: "many"}, {Name: internal + "mine", Value: "1"}}
	if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := e.LoadSettings(t.Context())
	if err != nil || all["gone.with.a.release"] != "7" || all[settings.KeySNMPPort] != "many" {
		t.Errorf("stored %v, %v", all, err)
	}
	if _, found := all[internal+"mine"]; found {
		t.Error("a row of the store's own is a setting")
	}
	if err := e.UnsetSetting(t.Context(), internal+"mine", "alice"); !errors.Is(err, ErrInvalid) {
		t.Errorf("removing the store's own row: %v", err)
	}
	if err := e.SetSetting(t.Context(), settings.KeySNMPPort, "1161", "alice"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"gone.with.a.release", settings.KeySNMPPort} {
		if err := e.UnsetSetting(t.Context(), key, "bob"); err != nil {
			t.Errorf("unset %s: %v", key, err)
		}
	}
	same(t, "events", append(settingEvents(t, e, settings.KeySNMPPort), settingEvents(t, e, "gone.with.a.release")...), []string{
		"alice snmp.port: many -> 1161", "bob snmp.port: 1161 -> 161 (default)", "bob gone.with.a.release: 7 -> removed",
	})
}

func eventPurge(t *testing.T, e engine) {
	const device1 = 1 << 50
	old := time.UnixMilli(1_000_000_000_000) // long before every other behaviour's events
	for i := range purgeBatch + 5 {
		event := device.Event{Time: old.Add(time.Duration(i) * time.Millisecond), DeviceID: device1, Type: "purge", Message: "m"}
		if i%500 != 0 {
			continue
		}
		if err := e.AddEvent(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	rows := make([]eventRow, 2*purgeBatch)
	for i := range rows {
		rows[i] = newEventRow(device.Event{Time: old, DeviceID: device1, Type: "bulk", Message: "m"})
	}
	if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := e.Events(t.Context(), EventFilter{DeviceID: device1, Type: "purge", Since: old.Add(500 * time.Millisecond), Limit: 3})
	if err != nil || len(list) != 3 || !list[0].Time.Equal(old.Add(2000*time.Millisecond)) || list[0].Severity != device.SeverityInfo {
		t.Errorf("listed %v, %v", list, err)
	}
	rest, err := e.Events(t.Context(), EventFilter{DeviceID: device1, Type: "purge", BeforeID: list[2].ID})
	if err != nil || len(rest) != 2 {
		t.Errorf("the next page: %v, %v", rest, err)
	}
	removed, err := e.PurgeEvents(t.Context(), old.Add(1000*time.Millisecond))
	if err != nil || removed != 2*purgeBatch+2 {
		t.Errorf("purged %d, %v", removed, err)
	}
	left, err := e.Events(t.Context(), EventFilter{DeviceID: device1})
	if err != nil || len(left) != 3 {
		t.Errorf("left %v, %v", left, err)
	}
}

func eventFilter(t *testing.T, e engine) {
	first, second := added(t, e), added(t, e)
	at := time.UnixMilli(1_600_000_000_000) // apart from the events of all other behaviours
	for i, event := range []device.Event{
		{DeviceID: first.ID, Type: "filter-a", Severity: device.SeverityOK, Node: "filter-n1"},
		{DeviceID: first.ID, Type: "filter-b", Severity: device.SeverityInfo, Node: "filter-n2"},
		{DeviceID: second.ID, Type: "filter-a", Severity: device.SeverityNotice, Node: "filter-n1"},
		{DeviceID: second.ID, Type: "filter-a", Severity: device.SeverityWarning, Node: "filter-N1"},
		{Type: "filter-b", Severity: device.SeverityError, Node: "filter-n1"},
	} {
		event.Time, event.Message = at.Add(time.Duration(i)*time.Second), strconv.Itoa(i)
		if err := e.AddEvent(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		filter EventFilter
		want   string
	}{
		"type":              {EventFilter{Type: "filter-a"}, "3 2 0"},
		"node":              {EventFilter{Node: "filter-n1"}, "4 2 0"}, // NODE_IDs differ by case
		"unknown node":      {EventFilter{Node: "filter-n3"}, ""},
		"device":            {EventFilter{DeviceID: first.ID, Type: "filter-b"}, "1"},
		"severity":          {EventFilter{Node: "filter-n1", Least: device.SeverityNotice}, "4 2"},
		"mildest severity":  {EventFilter{Node: "filter-n1", Least: device.SeverityOK}, "4 2 0"},
		"gravest severity":  {EventFilter{Type: "filter-b", Least: device.SeverityError}, "4"},
		"since":             {EventFilter{Type: "filter-a", Since: at.Add(2 * time.Second)}, "3 2"},
		"since, and severe": {EventFilter{Type: "filter-a", Since: at.Add(2 * time.Second), Least: device.SeverityWarning}, "3"},
		"limit":             {EventFilter{Type: "filter-a", Limit: 2}, "3 2"},
	} {
		events, err := e.Events(t.Context(), c.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, event := range events {
			got = append(got, event.Message)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: events %v, want %s", name, got, c.want)
		}
	}
	if _, err := e.Events(t.Context(), EventFilter{Least: "loud"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown severity: %v", err)
	}
	names, err := e.Hostnames(t.Context(), []int64{first.ID, second.ID, 1 << 60})
	if err != nil || !maps.Equal(names, map[int64]string{first.ID: first.Hostname, second.ID: second.Hostname}) {
		t.Errorf("hostnames %v, %v", names, err)
	}
	if names, err := e.Hostnames(t.Context(), nil); err != nil || len(names) != 0 {
		t.Errorf("hostnames of no devices: %v, %v", names, err)
	}
}
