package producer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
)

// sight makes looks at alarms and overdue devices.
func sight(second int64, alarms []alarm, overdue ...int64) look {
	l := look{now: time.Unix(epoch+second, 0), alarms: alarms, held: func(int64) bool { return true }, name: func(g int64) string { return groupName(g, nil) }}
	for _, id := range overdue {
		l.late = append(l.late, Unpolled{DeviceID: id, Group: id % 2, Interval: 10, For: time.Minute})
	}
	return l
}

func said(events []device.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d %s %s", e.DeviceID, e.Severity, e.Message))
	}
	return all
}

// wantSaid compares the beginnings of what was said.
func wantSaid(t *testing.T, when string, got []device.Event, want ...string) {
	t.Helper()
	texts := said(got)
	ok := len(texts) == len(want)
	for i := range min(len(texts), len(want)) {
		ok = ok && strings.HasPrefix(texts[i], want[i])
	}
	if !ok {
		t.Errorf("%s: said %q, want %q", when, texts, want)
	}
}

// another is the memory of a new leader, who knows only what stands in Redis.
func another(t *testing.T, m *memory) *memory {
	t.Helper()
	text, err := json.Marshal(m.report)
	if err != nil {
		t.Fatal(err)
	}
	next := &memory{}
	if err := json.Unmarshal(text, &next.report); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestAlarmsAreToldOnceWhenTheyBeginAndEnd(t *testing.T) {
	t.Parallel()
	a := []alarm{{alarmUnserved, "3", "nobody serves it"}}
	m := &memory{}
	wantSaid(t, "first look", m.compare(sight(0, a)))
	wantSaid(t, "second look", m.compare(sight(15, a)), "0 error nobody serves it")
	wantSaid(t, "third look", m.compare(sight(30, a)))
	m = another(t, m)
	wantSaid(t, "a new leader", m.compare(sight(60, a)))
	wantSaid(t, "its second look", m.compare(sight(75, a)))
	wantSaid(t, "not there for one look", m.compare(sight(90, nil)))
	wantSaid(t, "there again", m.compare(sight(105, a)))
	wantSaid(t, "gone", m.compare(sight(120, nil)))
	m = another(t, m)
	wantSaid(t, "a new leader whose first look sees nothing", m.compare(sight(135, nil)))
	wantSaid(t, "its second look", m.compare(sight(150, nil)), "0 ok over after 2m15s: nobody serves it")
	wantSaid(t, "after that", m.compare(sight(165, nil)))
	wantSaid(t, "for one look", m.compare(sight(180, a)))
	wantSaid(t, "and gone", m.compare(sight(195, nil)))
}

func TestOverdueDevicesAreToldOnce(t *testing.T) {
	t.Parallel()
	m := &memory{}
	wantSaid(t, "first look", m.compare(sight(0, nil, 1, 2)))
	wantSaid(t, "second look", m.compare(sight(15, nil, 1, 2, 3)), "1 warning not polled for 1m0s", "2 warning not polled for 1m0s")
	wantSaid(t, "third look", m.compare(sight(30, nil, 1, 2, 3)), "3 warning")
	m = another(t, m)
	wantSaid(t, "a new leader", m.compare(sight(45, nil, 1, 2, 3)))
	wantSaid(t, "one is polled", m.compare(sight(60, nil, 1, 3)))
	wantSaid(t, "for the second look", m.compare(sight(75, nil, 1, 3)), "2 ok polled again, 1m0s after")
	l := sight(90, nil, 1)
	l.held = func(id int64) bool { return id != 3 }
	wantSaid(t, "a device is removed", m.compare(l))
	l.now = l.now.Add(15 * time.Second)
	wantSaid(t, "which is not worth a word", m.compare(l))
	if len(m.report.Devices) != 1 {
		t.Errorf("remembered: %v", m.report.Devices)
	}
	late := sight(120, nil)
	late.late = []Unpolled{{DeviceID: 9, Interval: 10, For: 20 * time.Second}}
	m.compare(late)
	wantSaid(t, "late is not overdue", m.compare(late), "1 ok polled again")
}

func TestManyOverdueDevicesAreOneAlarmPerGroup(t *testing.T) {
	t.Parallel()
	all := make([]int64, 5000)
	for i := range all {
		all[i] = int64(i + 1)
	}
	m := &memory{}
	m.compare(sight(0, nil, all...))
	events := m.compare(sight(15, nil, all...))
	if len(events) != maxDeviceEvents+2 {
		t.Fatalf("%d events, want %d of devices and one per group", len(events), maxDeviceEvents)
	}
	wantSaid(t, "the groups", events[maxDeviceEvents:],
		"0 warning 2450 devices of poller group 0, those apart that have an event of their own", "0 warning 2450 devices of poller group 1")
	for i := range int64(20) {
		wantSaid(t, "later", m.compare(sight(30+15*i, nil, all...)))
	}
	if len(m.report.Devices) != maxDeviceEvents || len(m.report.Alarms) != 2 {
		t.Errorf("remembered: %d devices, %d alarms", len(m.report.Devices), len(m.report.Alarms))
	}
	m = another(t, m)
	for i := range int64(3) {
		wantSaid(t, "a new leader", m.compare(sight(400+15*i, nil, all...)))
	}
	even := slices.DeleteFunc(slices.Clone(all), func(id int64) bool { return id%2 == 1 })
	m.compare(sight(500, nil, even...)) // group 1 is polled again
	events = m.compare(sight(515, nil, even...))
	if len(events) != maxDeviceEvents/2+1 || !strings.HasPrefix(said(events)[maxDeviceEvents/2], "0 ok over after 8m20s: 2450 devices of poller group 1") {
		t.Errorf("group 1 is polled again: %d events, the last is %q", len(events), said(events)[len(events)-1])
	}
}

// TestTheReportIsBounded lets ever other devices be overdue, each for two looks.
func TestTheReportIsBounded(t *testing.T) {
	t.Parallel()
	m := &memory{}
	most := 0
	var overdue []int64
	for i := range int64(60) {
		for n := range int64(90) {
			overdue = append(overdue, 1+90*i+n)
		}
		for range 2 {
			events := m.compare(sight(30*i, nil, overdue...))
			most = max(most, len(events))
		}
	}
	if len(m.report.Devices) > maxDevicesReported || most > maxDeviceEvents+2 {
		t.Errorf("%d devices are remembered, a look said %d things", len(m.report.Devices), most)
	}
	text, err := json.Marshal(m.report)
	if err != nil || len(text) > maxReport/8 {
		t.Errorf("the report has %d bytes, %v", len(text), err)
	}
	m.compare(sight(3000, nil))
	events := m.compare(sight(3015, nil))
	if len(events) > 2*maxDeviceEvents+3 || len(m.report.Devices) != 0 || len(m.report.Alarms) != 0 {
		t.Errorf("all are polled again: %d events, %d devices and %d alarms remembered", len(events), len(m.report.Devices), len(m.report.Alarms))
	}
}
