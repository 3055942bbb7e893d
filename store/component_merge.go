package store

import (
	"cmp"
	"fmt"
	"strconv"

	"pollux/device"
	"pollux/measurement"
)

const (
	// maxComponentEvents bounds what one discovery writes about components.
	maxComponentEvents = 100
	// maxComponentRows bounds the components that a device has, and those that it
	// had: one whose indexes change at each discovery must not fill the database, nor
	// the disks with files. What has vanished stays until it is purged.
	maxComponentRows = 20_000
)

// componentMerge is what a discovery changes in the components of its device.
type componentMerge struct {
	added   []componentRow
	changed []componentRow
	events  []device.Event
	left    int // that cannot be kept: of a size beyond reason, or one too many
	living  int // components of the device that have not vanished
}

// mergeComponents compares what a discovery found with the rows of its device.
func mergeComponents(rows []componentRow, d device.Discovery) componentMerge {
	var m componentMerge
	known := make(map[[4]string]int, len(rows))
	names := fileNames{taken: make(map[string]bool, len(rows)+len(d.Components)), last: make(map[string]int)}
	for k := range rows {
		known[rowKey(&rows[k])] = k
		if !rows[k].Vanished {
			m.living++
		}
		names.taken[rows[k].RRDName] = true
	}
	seen := make([]bool, len(rows))
	found := make(map[[4]string]bool, len(d.Components))
	for i := range d.Components {
		row, err := newComponentRow(&d.Components[i], d)
		if err != nil {
			m.left++
			continue // one that cannot be kept must not cost the others
		}
		key := rowKey(&row)
		if found[key] {
			continue // a table that names a row twice has one component there
		}
		found[key] = true
		if k, ok := known[key]; ok {
			seen[k] = true
			m.meet(rows[k], row, d.Complete[device.ComponentKind(row.Kind)])
			continue
		}
		if m.living >= maxComponentRows || len(rows)+len(m.added) >= 2*maxComponentRows {
			m.left++
			continue
		}
		m.living++
		row.RRDName = names.free(measurement.ComponentName(row.Kind, row.Class, row.Type, row.Index, row.Descr))
		m.added = append(m.added, row)
		if len(rows) > 0 {
			m.note(&row, device.SeverityNotice, "added")
		}
		if status := device.ComponentStatus(row.Status); status == device.ComponentWarning || status == device.ComponentCritical {
			m.turned(&row, "new") // nobody was told when the limit was crossed
		}
	}
	for k := range rows {
		if !seen[k] && !rows[k].Vanished && d.Complete[device.ComponentKind(rows[k].Kind)] {
			m.miss(rows[k], d.Slot)
		}
	}
	m.finish(d, len(rows) == 0)
	return m
}

func newComponentRow(c *device.Component, d device.Discovery) (componentRow, error) {
	columns, err := foundColumns(c)
	return componentRow{
		DeviceID: d.DeviceID, Kind: string(c.Kind), Class: line(c.Class, 32), Type: line(c.Type, maxShort), Index: line(c.Index, maxName),
		foundRow: columns, SeenAt: millis(d.At),
	}, err
}

func rowKey(r *componentRow) [4]string { return [4]string{r.Kind, r.Class, r.Type, r.Index} }

// fileNames gives the components of a device names that no other one has.
type fileNames struct {
	taken map[string]bool
	last  map[string]int // number that a name was given last: thousands may want one name
}

func (n *fileNames) free(name string) string {
	free := name
	for n.taken[free] {
		n.last[name] = max(n.last[name], 1) + 1
		free = name + "~" + strconv.Itoa(n.last[name])
	}
	n.taken[free] = true
	return free
}

// meet takes over what a discovery found of a known component, the whole of it when its kind was read to the end.
func (m *componentMerge) meet(old, found componentRow, whole bool) {
	row := old
	row.foundRow, row.SeenAt = found.foundRow, found.SeenAt
	if !whole {
		row.fill(&old)
	}
	judged := row
	judged.Status = old.Status
	row.Status = string(judged.steady(device.ComponentStatus(row.Status), row.LastValue))
	if old.SeenAt > found.SeenAt { // a poll has seen it since the discovery began
		row.Status, row.LastValue, row.Used, row.Total, row.SeenAt = old.Status, old.LastValue, old.Used, old.Total, old.SeenAt
	}
	row.Vanished, row.Missed, row.MissedSlot = false, 0, 0
	m.changed = append(m.changed, row)
	if old.Vanished {
		m.living++
		m.note(&row, device.SeverityNotice, "returned")
	}
	if old.Status != row.Status {
		m.turned(&row, old.Status)
	}
}

// fill takes over what an incomplete discovery did not read: limits and headings
// that another table has, and objects that were not answered this time. The status is judged by the limits that are known.
func (r *componentRow) fill(old *componentRow) {
	r.LimitLow, r.LimitLowWarn = cmp.Or(r.LimitLow, old.LimitLow), cmp.Or(r.LimitLowWarn, old.LimitLowWarn)
	r.LimitHigh, r.LimitHighWarn = cmp.Or(r.LimitHigh, old.LimitHigh), cmp.Or(r.LimitHighWarn, old.LimitHighWarn)
	r.Label = cmp.Or(r.Label, old.Label)
	if r.Descr == r.Index { // what stands for a text that there is not
		r.Descr = old.Descr
	}
	former, err := old.component()
	if err != nil {
		return
	}
	found, err := r.component()
	if err != nil {
		return
	}
	if len(found.Reading.OIDs()) < len(former.Reading.OIDs()) {
		r.Reading, r.Used, r.Total = old.Reading, cmp.Or(r.Used, old.Used), cmp.Or(r.Total, old.Total)
	}
	r.Status = string(found.StatusOf(r.LastValue))
}

// turned notes that a component has another status.
func (m *componentMerge) turned(row *componentRow, from string) {
	severity := device.SeverityWarning
	switch device.ComponentStatus(row.Status) {
	case device.ComponentOK:
		severity = device.SeverityOK
	case device.ComponentCritical:
		severity = device.SeverityError
	}
	m.note(row, severity, fmt.Sprintf("%s -> %s at %s", from, row.Status, strconv.FormatFloat(row.LastValue, 'f', -1, 64)))
}

// miss counts a complete discovery without the component. Two of one slot count once.
func (m *componentMerge) miss(row componentRow, slot int64) {
	if row.Missed > 0 && row.MissedSlot == slot {
		return
	}
	row.Missed, row.MissedSlot = row.Missed+1, slot
	if row.Missed >= vanishAfter {
		row.Vanished = true
		m.note(&row, device.SeverityWarning, "vanished")
	}
	m.changed = append(m.changed, row)
}

func (m *componentMerge) note(row *componentRow, severity device.Severity, what string) {
	about := row.Kind
	if row.Kind == string(device.KindSensor) {
		about = row.Class
	}
	m.events = append(m.events, device.Event{Type: row.Kind, Severity: severity, Message: about + " " + row.Descr + ": " + what})
}

// finish bounds the events and fills in what all of them have.
func (m *componentMerge) finish(d device.Discovery, first bool) {
	if first && len(m.added) > 0 {
		m.events = append(m.events, device.Event{Type: "system", Severity: device.SeverityInfo, Message: fmt.Sprintf("%d processors, memory pools, storages and sensors found", len(m.added))})
	}
	if m.left > 0 {
		m.events = append(m.events, device.Event{Type: "system", Severity: device.SeverityWarning, Message: fmt.Sprintf("%d components cannot be kept: a device has at most %d, and so many that vanished in the last days (vanished_purge)", m.left, maxComponentRows)})
	}
	if more := len(m.events) - maxComponentEvents; more > 0 {
		m.events = append(m.events[:maxComponentEvents], device.Event{Type: "system", Severity: device.SeverityNotice, Message: fmt.Sprintf("%d further changes of components", more)})
	}
	for i := range m.events {
		m.events[i].DeviceID, m.events[i].Time, m.events[i].Node = d.DeviceID, d.At, d.Node
	}
}
