package producer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"pollux/device"
)

const (
	// maxDeviceEvents is how many events of single devices one look makes; the rest is one event per poller group.
	maxDeviceEvents = 100
	// maxDevicesReported bounds the devices that are remembered one by one.
	maxDevicesReported = 1000
	eventCoverage      = "coverage" // type of the events
)

// report is what the eventlog was told and is still so. It stands in Redis, so
// that a change of the leader repeats nothing. It is bounded: two alarms per
// queue, three per group, and maxDevicesReported devices.
type report struct {
	Alarms  map[string]told  `json:"alarms"`
	Devices map[int64]int64  `json:"devices"` // overdue devices by id: Unix second at which it was told
	Gone    map[string]int64 `json:"gone"`    // queues of poller groups that do not exist: Unix second at which that was seen first
}

// told is one alarm that was told.
type told struct {
	Since int64  `json:"since"` // Unix second
	Text  string `json:"text"`
}

// ready makes the maps of a report that came from Redis.
func (r *report) ready() {
	if r.Alarms == nil {
		r.Alarms = map[string]told{}
	}
	if r.Devices == nil {
		r.Devices = map[int64]int64{}
	}
	if r.Gone == nil {
		r.Gone = map[string]int64{}
	}
}

// look is what the leader compares with what was told.
type look struct {
	now    time.Time
	alarms []alarm
	late   []Unpolled           // in the order of their ids
	held   func(id int64) bool  // whether the schedule holds a device
	name   func(g int64) string // a poller group for people
}

// memory is what one leader remembers from look to look. Whatever begins or
// ends is told when two looks in a row agree: a node that restarts, or a device
// that was switched on a moment ago, is no alarm.
type memory struct {
	report report
	looks  int
	alarms map[string]bool // of the last look
	late   map[int64]bool  // overdue at the last look
}

// compare returns the events that a look makes, and changes what was told accordingly.
func (m *memory) compare(l look) []device.Event {
	m.report.ready()
	overdue := map[int64]bool{}
	var news []Unpolled // overdue twice and not told yet
	for _, u := range l.late {
		if !u.Overdue() {
			continue
		}
		overdue[u.DeviceID] = true
		if _, known := m.report.Devices[u.DeviceID]; !known && m.late[u.DeviceID] {
			news = append(news, u)
		}
	}
	events := m.devices(l, overdue, news)
	events = append(events, m.groups(l, news)...)
	m.late = overdue
	m.looks++
	return events
}

// devices tells of single devices: those that are polled again, and the first ones that are not.
func (m *memory) devices(l look, overdue map[int64]bool, news []Unpolled) []device.Event {
	var events []device.Event
	again := 0
	for _, id := range slices.Sorted(maps.Keys(m.report.Devices)) {
		if overdue[id] || m.looks == 0 || m.late[id] {
			continue
		}
		since := m.report.Devices[id]
		delete(m.report.Devices, id)
		if !l.held(id) { // removed or disabled
			continue
		}
		if again++; again <= maxDeviceEvents {
			events = append(events, device.Event{
				Time: l.now, DeviceID: id, Type: eventCoverage, Severity: device.SeverityOK,
				Message: "polled again, " + lasted(l.now, since) + " after it was reported as overdue",
			})
		}
	}
	if again > maxDeviceEvents {
		events = append(events, device.Event{
			Time: l.now, Type: eventCoverage, Severity: device.SeverityOK,
			Message: fmt.Sprintf("%d more devices are polled again", again-maxDeviceEvents),
		})
	}
	for i, u := range news {
		if i >= maxDeviceEvents || len(m.report.Devices) >= maxDevicesReported || m.widespread(u.Group) {
			continue
		}
		m.report.Devices[u.DeviceID] = l.now.Unix()
		events = append(events, device.Event{
			Time: l.now, DeviceID: u.DeviceID, Type: eventCoverage, Severity: device.SeverityWarning,
			Message: fmt.Sprintf("not polled for %s, more than 3 intervals of %d s; see: pollux device why", u.For, u.Interval),
		})
	}
	return events
}

// widespread says whether a group has so many overdue devices that they are told as one alarm.
func (m *memory) widespread(group int64) bool {
	_, known := m.report.Alarms[overdueKey(group)]
	return known
}

func overdueKey(group int64) string {
	return alarm{kind: alarmOverdue, subject: strconv.FormatInt(group, 10)}.key()
}

// groups tells of groups and queues, and of the devices that were not told one by one.
func (m *memory) groups(l look, news []Unpolled) []device.Event {
	now := map[string]alarm{}
	for _, a := range l.alarms {
		now[a.key()] = a
	}
	rest := map[int64]int{}
	for _, u := range news {
		if _, known := m.report.Devices[u.DeviceID]; !known {
			rest[u.Group]++
		}
	}
	for group, n := range rest {
		a := alarm{alarmOverdue, strconv.FormatInt(group, 10), fmt.Sprintf("%s of %s, those apart that have an event of their own, %s not polled for 3 of %s",
			count(n, "device"), l.name(group), either(n, "was", "were"), either(n, "its intervals", "their intervals"))}
		now[a.key()] = a
	}
	var events []device.Event
	for _, key := range slices.Sorted(maps.Keys(now)) {
		a := now[key]
		if _, known := m.report.Alarms[key]; known || !m.alarms[key] && a.kind != alarmOverdue { // overdue devices were seen twice already
			continue
		}
		m.report.Alarms[key] = told{Since: l.now.Unix(), Text: a.text}
		events = append(events, device.Event{Time: l.now, Type: eventCoverage, Severity: a.severity(), Message: a.text})
	}
	for _, key := range slices.Sorted(maps.Keys(m.report.Alarms)) {
		if _, still := now[key]; still || m.looks == 0 || m.alarms[key] {
			continue
		}
		t := m.report.Alarms[key]
		delete(m.report.Alarms, key)
		events = append(events, device.Event{
			Time: l.now, Type: eventCoverage, Severity: device.SeverityOK, Message: "over after " + lasted(l.now, t.Since) + ": " + t.Text,
		})
	}
	m.alarms = map[string]bool{}
	for key := range now {
		m.alarms[key] = true
	}
	return events
}

// lasted is how long ago a Unix second is.
func lasted(now time.Time, since int64) string {
	return max(now.Sub(time.Unix(since, 0)), 0).Round(time.Second).String()
}
