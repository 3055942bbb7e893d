package store

import "pollux/device"

// matchPorts says which row each reading belongs to, as its index in rows, or
// -1 for a port that is new. A row is a port's identity: its id names its RRD
// file and stands in its bills, so history follows the row. No row is given twice. The rules, in this order:
//
//  0. the poll knows the port's id already: its measurement was filed under it;
//  1. the same ifIndex and the same ifName;
//  2. the same ifName under another ifIndex, when the name is not empty and
//     stands once among the readings and once among the rows (rows that have not
//     vanished count first): the device numbered its ports anew, and the row moves to the new ifIndex;
//  3. the same ifIndex under another ifName, when neither rule gave the row
//     away and it has not vanished: the port was renamed.
func matchPorts(rows []portRow, readings []device.PortReading) []int {
	m := matching{rows: rows, found: make([]int, len(readings)), taken: make([]bool, len(rows))}
	byID, byIndex := make(map[int64]int, len(rows)), make(map[int64][]int, len(rows))
	for k := range rows {
		byID[rows[k].ID] = k
		byIndex[rows[k].IfIndex] = append(byIndex[rows[k].IfIndex], k)
	}
	for i := range readings {
		m.found[i] = -1
		if k, ok := byID[readings[i].PortID]; ok && !m.taken[k] {
			m.take(i, k)
		}
	}
	for i := range readings {
		name := line(readings[i].State.IfName, maxName)
		m.first(i, byIndex[readings[i].State.IfIndex], func(r *portRow) bool { return r.IfName == name })
	}
	m.byName(readings)
	for i := range readings {
		m.first(i, byIndex[readings[i].State.IfIndex], func(r *portRow) bool { return !r.Vanished })
	}
	return m.found
}

type matching struct {
	rows  []portRow
	found []int  // per reading
	taken []bool // per row
}

func (m *matching) take(i, k int) { m.found[i], m.taken[k] = k, true }

// first gives a reading the first row of the candidates that fits, one that has not vanished before one that has.
func (m *matching) first(i int, candidates []int, fits func(*portRow) bool) {
	if m.found[i] >= 0 {
		return
	}
	best := -1
	for _, k := range candidates {
		if !m.taken[k] && fits(&m.rows[k]) && (best < 0 || m.rows[best].Vanished && !m.rows[k].Vanished) {
			best = k
		}
	}
	if best >= 0 {
		m.take(i, best)
	}
}

// byName is rule 2.
func (m *matching) byName(readings []device.PortReading) {
	const several = -1
	names := make(map[string]int)
	for i := range readings {
		names[line(readings[i].State.IfName, maxName)]++
	}
	present, vanished := make(map[string]int), make(map[string]int)
	for k := range m.rows {
		group := present
		if m.rows[k].Vanished {
			group = vanished
		}
		if _, twice := group[m.rows[k].IfName]; twice {
			group[m.rows[k].IfName] = several
		} else {
			group[m.rows[k].IfName] = k
		}
	}
	for i := range readings {
		name := line(readings[i].State.IfName, maxName)
		if m.found[i] >= 0 || name == "" || names[name] > 1 {
			continue
		}
		k, ok := present[name]
		if !ok {
			k, ok = vanished[name]
		}
		if ok && k != several && !m.taken[k] {
			m.take(i, k)
		}
	}
}
