package device

// MatchPorts says which port of the inventory each reading is: its index in
// known, or -1 for a port that is new. No port is given twice. A port's id
// names its RRD file and stands in its bills, so its history follows the port.
//
// A reading belongs to
//
//  0. the port whose id it carries: its measurement was filed under it already;
//  1. else the port with its ifIndex and its ifName;
//  2. else the port with its ifName, when that name is not empty and stands only
//     once among the readings and once among the ports: the device numbered its
//     ports anew. A port that is there counts before ports that vanished, so
//     the name may stand on one present port and any number of vanished ones;
//  3. else the port with its ifIndex, unless an earlier rule gave that port to
//     another reading, or it has vanished (its number was given to something
//     else): the port was renamed.
//
// A port that stands in another table than the IF-MIB is known by its Row instead
// of its ifIndex, and its name counts among the ports of that table: no reading
// of one table is ever a port of another one.
//
// The rule does not depend on the order of the readings or of the ports, as
// long as each ifIndex, or Row, stands once among the ports that are present.
func MatchPorts(known []Port, readings []PortReading) []int {
	m := matching{known: known, readings: readings, found: make([]int, len(readings)), taken: make([]bool, len(known))}
	for i := range m.found {
		m.found[i] = -1
	}
	m.byID()
	present, vanished := make(map[place]int, len(known)), make(map[place]int)
	for k := range known {
		if known[k].Vanished {
			vanished[placeOf(&known[k].State)] = k
		} else {
			present[placeOf(&known[k].State)] = k
		}
	}
	named := func(i, k int) bool { return known[k].State.IfName == readings[i].State.IfName }
	m.byIndex(present, named)
	m.byIndex(vanished, named)
	if m.left > 0 {
		m.byName()
		m.byIndex(present, func(int, int) bool { return true })
	}
	return m.found
}

// place is where a port stands: its ifIndex, or its row of another table.
type place struct {
	index int64
	row   string
}

func placeOf(p *PortState) place {
	if p.Row != "" {
		return place{row: p.Row}
	}
	return place{index: p.IfIndex}
}

// title is a name among the ports of one table.
type title struct{ table, name string }

func titleOf(p *PortState) title { return title{p.Table(), p.IfName} }

// matching is one run of MatchPorts.
type matching struct {
	known    []Port
	readings []PortReading
	found    []int  // of each reading
	taken    []bool // of each port
	left     int    // readings without a port
}

func (m *matching) take(i, k int) {
	m.found[i], m.taken[k] = k, true
	m.left--
}

func (m *matching) byID() {
	m.left = len(m.readings)
	var ids map[int64]int
	for i := range m.readings {
		id := m.readings[i].PortID
		if id == 0 {
			continue
		}
		if ids == nil {
			ids = make(map[int64]int, len(m.known))
			for k := range m.known {
				ids[m.known[k].ID] = k
			}
		}
		if k, ok := ids[id]; ok && !m.taken[k] {
			m.take(i, k)
		}
	}
}

// byIndex gives readings the port with their ifIndex or Row where it fits.
func (m *matching) byIndex(ports map[place]int, fits func(i, k int) bool) {
	for i := range m.readings {
		if m.found[i] >= 0 {
			continue
		}
		if k, ok := ports[placeOf(&m.readings[i].State)]; ok && !m.taken[k] && fits(i, k) {
			m.take(i, k)
		}
	}
}

// byName is rule 2.
func (m *matching) byName() {
	const twice = -1
	present, vanished := make(map[title]int, len(m.known)), make(map[title]int)
	for k := range m.known {
		names := present
		if m.known[k].Vanished {
			names = vanished
		}
		name := titleOf(&m.known[k].State)
		if _, ok := names[name]; ok {
			names[name] = twice
		} else {
			names[name] = k
		}
	}
	count := make(map[title]int, len(m.readings))
	for i := range m.readings {
		count[titleOf(&m.readings[i].State)]++
	}
	for i := range m.readings {
		name := titleOf(&m.readings[i].State)
		if m.found[i] >= 0 || name.name == "" || count[name] > 1 {
			continue
		}
		k, ok := present[name]
		if !ok {
			k, ok = vanished[name]
		}
		if ok && k != twice && !m.taken[k] {
			m.take(i, k)
		}
	}
}
