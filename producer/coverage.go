package producer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pollux/device"
	"pollux/tasks"
)

// The kinds of coverage alarms.
const (
	alarmUnserved = "unserved" // a poller group has devices and no live node
	alarmOrphaned = "orphaned" // a queue holds tasks that nobody will take
	alarmPaused   = "paused"   // a queue is paused for more than two intervals of its devices
	alarmLate     = "late"     // devices were not polled for 1.2 of their intervals
	alarmOverdue  = "overdue"  // devices were not polled for three of their intervals
)

var alarmKinds = [...]string{alarmUnserved, alarmOrphaned, alarmPaused, alarmLate, alarmOverdue}

// pausedIntervals is how many intervals of its devices a queue may be paused before it is an alarm.
const pausedIntervals = 2

// alarm is one thing that keeps devices from being polled.
type alarm struct {
	kind    string
	subject string // group, or name of the queue
	text    string
}

// key names an alarm over looks and leaders.
func (a alarm) key() string { return a.kind + ":" + a.subject }

// severity is how bad it is.
func (a alarm) severity() device.Severity {
	switch a.kind {
	case alarmUnserved:
		return device.SeverityError
	case alarmLate: // one slot was missed: it may be the only one
		return device.SeverityNotice
	default:
		return device.SeverityWarning
	}
}

// lateAlarms is one alarm for each poller group with late devices, those that
// are overdue by now included: a device that misses a slot is no event of its own.
func lateAlarms(late []Unpolled, name func(group int64) string) []alarm {
	var all []alarm
	for group, n := range tallyOf(late) {
		all = append(all, alarm{alarmLate, strconv.FormatInt(group, 10), fmt.Sprintf("%s of %s %s not polled for 1.2 of %s", count(n.late, "device"), name(group), either(n.late, "was", "were"), either(n.late, "its intervals", "their intervals"))})
	}
	return all
}

// scene is what one look at the cluster saw.
type scene struct {
	now      time.Time
	devices  map[int64]int    // that are to be polled, by poller group
	shortest map[int64]int    // shortest of their intervals, in seconds
	groups   map[int64]string // names of the poller groups there are; nil when they are not known
	service  service
	queues   []queueLook
	collects *collects // readings for billing; nil when they are not known
}

// alarms judges the groups and queues. Devices are judged apart.
func (s scene) alarms() []alarm {
	var all []alarm
	for group, n := range s.devices {
		if len(s.service.live[group]) == 0 {
			all = append(all, alarm{alarmUnserved, strconv.FormatInt(group, 10), s.unserved(group, n)})
		}
	}
	for _, q := range s.queues {
		if text := s.orphaned(q); text != "" {
			all = append(all, alarm{alarmOrphaned, q.Queue, text})
		}
		if text := s.paused(q); text != "" {
			all = append(all, alarm{alarmPaused, q.Queue, text})
		}
	}
	slices.SortFunc(all, func(a, b alarm) int { return cmp.Compare(a.key(), b.key()) })
	return all
}

func (s scene) unserved(group int64, devices int) string {
	why := "no live node serves the group"
	if names := s.service.drained[group]; len(names) > 0 {
		why = "every node that serves the group is drained (" + some(names) + ")"
	} else if names := s.service.skewed[group]; len(names) > 0 {
		why = "the clock of every node that serves the group is skewed (" + some(names) + ")"
	}
	return fmt.Sprintf("%s of %s %s not polled: %s", count(devices, "device"), s.name(group), either(devices, "is", "are"), why)
}

// orphaned says why nobody will take the tasks of a queue. A group that has
// devices and no node is an alarm of its own.
func (s scene) orphaned(q queueLook) string {
	held := q.Pending + q.Active + q.Retry + q.Scheduled
	_, group := tasks.SplitQueue(q.Queue)
	if held == 0 || s.devices[group] > 0 {
		return ""
	}
	if _, exists := s.groups[group]; !exists && s.groups != nil && group >= 0 {
		return fmt.Sprintf("queue %s holds %s of a poller group that does not exist", q.Queue, count(held, "task"))
	}
	if len(s.service.of(q.Queue)) == 0 {
		return fmt.Sprintf("queue %s holds %s and no live node serves it", q.Queue, count(held, "task"))
	}
	return ""
}

func (s scene) paused(q queueLook) string {
	kind, group := tasks.SplitQueue(q.Queue)
	var devices, interval int
	of, done := s.name(group), "polled"
	switch {
	case kind == tasks.KindPoller:
		devices, interval = s.devices[group], s.shortest[group]
	case s.collects != nil && (kind == tasks.KindBilling) == s.collects.distributed && (kind == tasks.KindBilling || q.Queue == tasks.BillingQueue):
		devices, interval = s.collects.inQueue(q.Queue), int(s.collects.interval)
		if done = "read for billing"; kind != tasks.KindBilling {
			of = "all poller groups"
		}
	}
	if !q.Paused || devices == 0 || s.now.Sub(q.PausedSince) <= pausedIntervals*time.Duration(interval)*time.Second {
		return ""
	}
	since := ""
	if !q.PausedSince.IsZero() {
		since = " since " + q.PausedSince.UTC().Format(time.DateTime) + " UTC"
	}
	return fmt.Sprintf("queue %s is paused%s: %s of %s %s not %s", q.Queue, since, count(devices, "device"), of, either(devices, "is", "are"), done)
}

func (s scene) name(group int64) string { return groupName(group, s.groups) }

// groupName is a poller group for people.
func groupName(group int64, names map[int64]string) string {
	text := "poller group " + strconv.FormatInt(group, 10)
	if name := names[group]; name != "" {
		text += " (" + name + ")"
	}
	return text
}

// count is a number of things: "1 device", "2 devices".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// either is the word for one thing, or that for another number of them.
func either(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// some are the first few names of a list.
func some(names []string) string {
	const shown = 5
	text := ""
	for i, name := range names {
		switch {
		case i == shown:
			return text + fmt.Sprintf(" and %d more", len(names)-shown)
		case i > 0:
			text += ", "
		}
		text += name
	}
	return text
}
