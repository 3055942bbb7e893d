package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"pollux/device"
)

// vanishAfter is the number of complete reads in as many slots after which a port that they lack has vanished.
const vanishAfter = 2

// maxPortEvents bounds what one poll writes about its ports: a device that is
// renumbered or lies must not flood the eventlog.
const maxPortEvents = 100

// portMerge is what a poll changes in the ports of its device.
type portMerge struct {
	added   []portRow
	changed []portRow
	events  []device.Event // PortID is -ifIndex-1 for added ports until their ids are known
	settled bool           // every row agrees with the poll: the same readings again would change nothing
}

// match applies device.MatchPorts to rows. Names are compared as they are stored.
func match(rows []portRow, readings []device.PortReading) []int {
	known, stored := make([]device.Port, len(rows)), make([]device.PortReading, len(readings))
	for k := range rows {
		known[k] = rows[k].port()
	}
	for i := range readings {
		stored[i] = readings[i]
		stored[i].State.IfName = line(readings[i].State.IfName, maxName)
	}
	return device.MatchPorts(known, stored)
}

// mergePorts compares what a poll read with the rows of its device.
func mergePorts(rows []portRow, p device.Poll) portMerge {
	readings := firstOfEach(p.Ports)
	found := match(rows, readings)
	m := portMerge{settled: p.PortsComplete}
	seen := make([]bool, len(rows))
	for i := range readings {
		if found[i] < 0 {
			m.add(p.DeviceID, readings[i], len(rows) > 0)
			continue
		}
		seen[found[i]] = true
		m.meet(rows[found[i]], readings[i])
	}
	for k := range rows {
		if !seen[k] && !rows[k].Vanished {
			m.miss(rows[k], p)
		}
	}
	if len(rows) == 0 && len(m.added) > 0 {
		m.note(0, device.SeverityInfo, fmt.Sprintf("%d ports found", len(m.added)))
	}
	if more := len(m.events) - maxPortEvents; more > 0 {
		m.events = m.events[:maxPortEvents]
		m.note(0, device.SeverityNotice, fmt.Sprintf("%d further changes of ports", more))
	}
	for i := range m.events {
		m.events[i].DeviceID, m.events[i].Time, m.events[i].Node = p.DeviceID, p.At, p.Node
	}
	return m
}

// firstOfEach keeps the first reading of each ifIndex: an agent that returns a row twice has one port there.
func firstOfEach(readings []device.PortReading) []device.PortReading {
	seen := make(map[int64]bool, len(readings))
	return slices.DeleteFunc(slices.Clone(readings), func(r device.PortReading) bool {
		twice := seen[r.State.IfIndex]
		seen[r.State.IfIndex] = true
		return twice
	})
}

func (m *portMerge) note(portID int64, severity device.Severity, message string) {
	m.events = append(m.events, device.Event{PortID: portID, Type: "interface", Severity: severity, Message: message})
}

func (m *portMerge) add(deviceID int64, r device.PortReading, tell bool) {
	row := portRow{DeviceID: deviceID, stateRow: stateColumns(r.State), Generation: r.Generation, RRDMax: bounded(r.RRDMax)}
	m.added = append(m.added, row)
	if tell {
		m.note(pendingID(row.IfIndex), device.SeverityNotice, "port added: "+label(&row))
	}
}

// pendingID stands for the id of a port that is not written yet.
func pendingID(ifIndex int64) int64 { return -ifIndex - 1 }

// meet takes over what a poll read of a known port.
func (m *portMerge) meet(old portRow, r device.PortReading) {
	row := old
	row.stateRow = stateColumns(r.State)
	row.Vanished, row.Missed, row.MissedSlot = false, 0, 0
	switch {
	case r.Generation > row.Generation:
		row.Generation, row.RRDMax = r.Generation, bounded(r.RRDMax)
	case r.Generation == row.Generation && row.RRDMax == 0:
		row.RRDMax = bounded(r.RRDMax)
	}
	// A lower generation: the poll began before the interval changed. It says nothing of the new file.
	if row == old {
		return
	}
	m.changed = append(m.changed, row)
	if old.Vanished {
		m.note(row.ID, device.SeverityNotice, "port returned: "+label(&row))
	}
	for _, change := range differences(old.stateRow, row.stateRow) {
		severity := device.SeverityNotice
		if change.to == "" {
			severity = device.SeverityWarning
		}
		m.note(row.ID, severity, fmt.Sprintf("%s: %s -> %s", change.field, shown(change.from), shown(change.to)))
	}
}

// miss counts a complete read without the port. Two reads of one slot count once.
func (m *portMerge) miss(row portRow, p device.Poll) {
	if !p.PortsComplete {
		return
	}
	m.settled = false
	if row.Missed > 0 && row.MissedSlot == p.Slot {
		return
	}
	row.Missed, row.MissedSlot = row.Missed+1, p.Slot
	if row.Missed >= vanishAfter {
		row.Vanished = true
		m.note(row.ID, device.SeverityWarning, "port vanished: "+label(&row))
	}
	m.changed = append(m.changed, row)
}

type difference struct{ field, from, to string }

// differences names the fields that people want to know of, by their names in
// the IF-MIB; row is that of another table. ifLastChange is none of them: it only says that another changed.
func differences(old, new stateRow) []difference {
	number := func(n int64) string { return fmt.Sprint(n) }
	all := []difference{
		{"ifIndex", number(old.IfIndex), number(new.IfIndex)},
		{"ifName", old.IfName, new.IfName},
		{"ifDescr", old.IfDescr, new.IfDescr},
		{"ifAlias", old.IfAlias, new.IfAlias},
		{"ifAdminStatus", old.IfAdminStatus, new.IfAdminStatus},
		{"ifOperStatus", old.IfOperStatus, new.IfOperStatus},
		{"ifMtu", number(old.IfMTU), number(new.IfMTU)},
		{"ifSpeed", number(old.IfSpeed), number(new.IfSpeed)},
		{"ifType", old.IfType, new.IfType},
		{"ifPhysAddress", old.IfPhysAddress, new.IfPhysAddress},
		{"row", old.Row, new.Row},
	}
	return slices.DeleteFunc(all, func(d difference) bool { return d.from == d.to })
}

func shown(value string) string {
	if value == "" {
		return `""`
	}
	return value
}

func label(row *portRow) string {
	if row.IfName == "" {
		return fmt.Sprintf("ifIndex %d", row.IfIndex)
	}
	return fmt.Sprintf("%s (ifIndex %d)", row.IfName, row.IfIndex)
}

// portsDigest is the same for two polls when both would leave the ports of
// their device the same. Each text is written with its length, so that none runs into the next.
func portsDigest(readings []device.PortReading) string {
	byIndex := func(a, b device.PortReading) int { return cmp.Compare(a.State.IfIndex, b.State.IfIndex) }
	if !slices.IsSortedFunc(readings, byIndex) {
		readings = slices.Clone(readings)
		slices.SortStableFunc(readings, byIndex)
	}
	b := make([]byte, 0, 160*len(readings))
	for i := range readings {
		r, p := &readings[i], &readings[i].State
		for _, number := range [...]int64{int64(r.Generation), bounded(r.RRDMax), p.IfIndex, p.IfMTU, bounded(p.IfSpeed), p.IfLastChange} {
			b = binary.AppendVarint(b, number)
		}
		for _, text := range [...]string{p.IfName, p.IfDescr, p.IfAlias, p.IfType, p.IfAdminStatus, p.IfOperStatus, p.IfPhysAddress, p.Row} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
