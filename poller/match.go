package poller

import "pollux/device"

// Match says which port of the inventory each row is: its index in known, or
// -1 for a row that is a new port. No port is given twice.
//
// A row belongs to
//
//  1. the port with its ifIndex and its ifName;
//  2. else the port with its ifName, when that name is not empty and stands only
//     once among the rows and once among the ports: the device numbered its
//     ports anew. A port that is there counts before ports that vanished, so
//     the name may stand on one present port and any number of vanished ones;
//  3. else the port with its ifIndex, unless 1 or 2 gave that port to another
//     row, or it has vanished (its number was given to something else): the
//     port was renamed.
//
// The rule does not depend on the order of the rows or of the ports, as long
// as each ifIndex stands once among the ports that are present. The store keeps
// ports by the same rule.
func Match(known []device.Port, rows []device.PortState) []int {
	found := make([]int, len(rows))
	taken := make([]bool, len(known))
	present, vanished := make(map[int64]int, len(known)), make(map[int64]int)
	for k := range known {
		if known[k].Vanished {
			vanished[known[k].State.IfIndex] = k
		} else {
			present[known[k].State.IfIndex] = k
		}
	}
	rest := 0
	for i := range rows {
		k, ok := present[rows[i].IfIndex]
		if !ok || known[k].State.IfName != rows[i].IfName {
			k, ok = vanished[rows[i].IfIndex]
		}
		if ok && !taken[k] && known[k].State.IfName == rows[i].IfName {
			found[i], taken[k] = k, true
			continue
		}
		found[i] = -1
		rest++
	}
	if rest == 0 {
		return found
	}
	matchNames(known, rows, found, taken)
	for i := range rows {
		if k, ok := present[rows[i].IfIndex]; ok && found[i] < 0 && !taken[k] {
			found[i], taken[k] = k, true
		}
	}
	return found
}

// matchNames gives rows that are not found yet to the port with their name, where it stands only once.
func matchNames(known []device.Port, rows []device.PortState, found []int, taken []bool) {
	const twice = -1
	present, vanished := make(map[string]int, len(known)), make(map[string]int)
	for k := range known {
		names := present
		if known[k].Vanished {
			names = vanished
		}
		if _, ok := names[known[k].State.IfName]; ok {
			names[known[k].State.IfName] = twice
		} else {
			names[known[k].State.IfName] = k
		}
	}
	count := make(map[string]int, len(rows))
	for i := range rows {
		count[rows[i].IfName]++
	}
	for i := range rows {
		name := rows[i].IfName
		if found[i] >= 0 || name == "" || count[name] > 1 {
			continue
		}
		k, ok := present[name]
		if !ok {
			k, ok = vanished[name]
		}
		if ok && k != twice && !taken[k] {
			found[i], taken[k] = k, true
		}
	}
}
