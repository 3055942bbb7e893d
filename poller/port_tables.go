package poller

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// portTable is a table of ports beside the IF-MIB, as the definition of an OS names it, by fields.
type portTable struct {
	*definitions.PortTable
	columns [fieldCount]snmp.OID
	has     uint64 // a bit for each field that it has
	// What its numbers are in the IF-MIB; nil for the same.
	states map[field]map[uint64]uint64
}

// maxPlace bounds the index of a row in bytes: the inventory has 64 for it and the table's name.
const maxPlace = 40

func newPortTable(t *definitions.PortTable) *portTable {
	table := &portTable{PortTable: t, states: make(map[field]map[uint64]uint64, 2)}
	for f := range narrowInOctets {
		if table.columns[f] = t.Column(fieldNames[f]); table.columns[f] != "" {
			table.has |= 1 << f
		}
	}
	for f, names := range map[field]definitions.NumberNames{fieldAdminStatus: t.Maps.AdminStatus, fieldOperStatus: t.Maps.OperStatus} {
		if len(names) == 0 {
			continue
		}
		known := definitions.OperStatuses() // begins as those of ifAdminStatus do
		table.states[f] = make(map[uint64]uint64, len(names))
		for number, name := range names {
			if state := slices.Index(known, name); state > 0 {
				table.states[f][number] = uint64(state)
			}
		}
	}
	return table
}

// reader reads the table. lacks are the fields that the device does not have of it.
func (t *portTable) reader(s Session, known int, lacks uint64) *reader {
	r := newReader(s, known, known, lacks|^t.has)
	r.table, r.columns, r.byAt = t, &t.columns, make(map[string]int, known)
	return r
}

// place is a row as the inventory names it.
func (t *portTable) place(at string) string { return t.Name + ":" + at }

// translate turns what a row has of a field into what the IF-MIB means by it.
func (t *portTable) translate(r *row, f field) {
	if !r.has(f) {
		return
	}
	switch f {
	case fieldAdminStatus, fieldOperStatus:
		states, ok := t.states[f]
		if !ok {
			return
		}
		state, ok := states[r.number(f)]
		if r.setNumber(f, state); !ok {
			r.seen &^= 1 << f
		}
	case fieldType:
		r.kind = t.Maps.Type[r.number(f)]
	case fieldSpeed:
		r.setNumber(f, min(r.number(f), maxSpeed))
	}
}

// maxSpeed is the highest speed that ifHighSpeed has room for, in bit/s.
const maxSpeed = math.MaxUint32 * 1_000_000

// rowAt finds the row of an index in a table beside the IF-MIB, or makes it.
func (r *reader) rowAt(index string, make bool) (int, bool) {
	i, ok := r.byAt[index]
	if !ok && make && index != "" && len(index) <= maxPlace && len(r.rows) < maxRows {
		i, ok = len(r.rows), true
		index = strings.Clone(index)
		r.rows = append(r.rows, row{at: index, place: r.table.place(index), known: -1})
		r.byAt[index] = i
	}
	return i, ok
}

// further is what was read of the tables of ports beside the IF-MIB.
type further struct {
	rows   []*row          // those that are ports, each with an ifIndex that no other row has
	named  map[string]bool // rows that are there, ports or not, by their places
	tables []*portTable

	standard map[int64]string // names of what the IF-MIB has, or had at the last poll, by ifIndex
	known    map[string]int   // the inventory's ports of such tables by their places
	whole    bool             // the IF-MIB was read to its end: what it does not have is beside it
	recall   bool             // what hardly ever changes is taken from the inventory
}

// newFurther is what is known before the tables are read, and after the IF-MIB was.
func (c *Context) newFurther(r *reader, recall, whole bool) further {
	found := further{
		named: make(map[string]bool), standard: make(map[int64]string, len(r.rows)), known: make(map[string]int),
		whole: whole, recall: recall && !c.late(),
	}
	for k := range c.Target.Ports {
		switch port := &c.Target.Ports[k]; {
		case port.Vanished:
		case port.State.Row != "":
			found.known[port.State.Row] = k
		default:
			found.standard[port.State.IfIndex] = port.State.IfName
		}
	}
	for i := range r.rows {
		found.standard[r.rows[i].index] = r.rows[i].identity()
	}
	return found
}

// readFurther reads the tables of ports that the OS has beside the IF-MIB, of which r was read, to its
// end with whole: of each the names of all rows, and the rest of those rows that the IF-MIB does not
// have. Rows that are complete before an error are returned all the same.
func (c *Context) readFurther(ctx context.Context, r *reader, recall, whole bool) (found further, failed error) {
	rules := c.portRules()
	if rules == nil || len(rules.Tables) == 0 {
		return found, nil
	}
	found = c.newFurther(r, recall, whole)
	for _, definition := range rules.Tables {
		table := newPortTable(definition)
		x := table.reader(c.Session, len(found.known), c.lackingOf(table.Name))
		if x.lacks&(1<<fieldName) != 0 {
			continue // the device does not have the table
		}
		found.tables = append(found.tables, table)
		err := c.readTable(ctx, x, &found)
		failed = first(failed, err)
		for i := range x.rows {
			row := &x.rows[i]
			var state *device.PortState
			if row.unread = x.failed; row.known >= 0 {
				state = &c.Target.Ports[row.known].State
			}
			if row.isPort(state, rules) {
				found.rows = append(found.rows, row)
			}
		}
		if err != nil && hopeless(ctx, err) {
			break
		}
	}
	c.number(&found)
	return found, failed
}

// readTable reads one table, and adds the places of all of its rows to those that are there.
func (c *Context) readTable(ctx context.Context, x *reader, found *further) error {
	failed := x.walk(ctx, []field{fieldName}, true)
	if failed != nil {
		failed = fmt.Errorf("read the table %s of ports: %w", x.table.Name, failed)
	}
	for i := range x.rows {
		found.named[x.rows[i].place] = true
	}
	x.keep(func(row *row) bool { return row.text(fieldName) != "" && found.beside(x.table, row) })
	if failed != nil && hopeless(ctx, failed) {
		x.rows = nil // nothing but names was read
	}
	if len(x.rows) == 0 {
		return failed
	}
	fixed := make([]int, 0, len(x.rows))
	for i := range x.rows {
		row := &x.rows[i]
		k, ok := found.known[row.place]
		if ok && found.recall && c.Target.Ports[k].State.IfName == row.text(fieldName) && c.Target.Ports[k].State.IfType != "" {
			row.known = k
			continue
		}
		fixed = append(fixed, i)
	}
	live := slices.Concat(counterFields, liveFields, []field{fieldSpeed})
	if err := x.countChosen(ctx, live); err != nil {
		x.failed |= maskOf(live) | maskOf(fixedFields)
		x.keep(func(row *row) bool { return row.has(wideInOctets) || row.has(wideOutOctets) })
		return first(failed, fmt.Errorf("read the table %s of ports: %w", x.table.Name, err))
	}
	x.keep(func(row *row) bool { return row.seen != 1<<fieldName }) // else it went just now
	if err := x.fetch(ctx, fixedFields, fixed); err != nil {
		x.failed |= maskOf(fixedFields)
		failed = first(failed, fmt.Errorf("read descriptions in the table %s of ports: %w", x.table.Name, err))
	}
	return failed
}

// keep takes away the rows that do not fit.
func (r *reader) keep(fits func(*row) bool) {
	r.rows = slices.DeleteFunc(r.rows, func(row row) bool { return !fits(&row) })
	clear(r.byAt)
	for i := range r.rows {
		r.byAt[r.rows[i].at] = i
	}
}

// beside says whether a row is a port that the IF-MIB does not have. Where the table says which of its rows the IF-MIB has,
// these are the ports with their numbers; else a row is the port with its number and its name. What is new is
// a port beside it only when the IF-MIB was read to its end.
func (f *further) beside(t *portTable, row *row) bool {
	if _, ok := f.known[row.place]; !ok && !f.whole {
		return false
	}
	index, _ := t.Index(row.at)
	name, there := f.standard[index]
	if len(t.Standard) > 0 {
		return !there || !t.IsStandard(row.at)
	}
	return !there || name != row.text(fieldName)
}

// absentOf are the names to ask for to learn whether the device has rows that no
// port was found to be, as absent has them of the IF-MIB.
func (c *Context) absentOf(found *further, matched []bool, room int) (oids []snmp.OID) {
	for k := range c.Target.Ports {
		port := &c.Target.Ports[k]
		if port.State.Row == "" || matched[k] || port.Vanished || found.named[port.State.Row] || len(oids) >= room {
			continue
		}
		table, at, _ := strings.Cut(port.State.Row, ":")
		for _, t := range found.tables {
			if oid := t.columns[fieldName] + snmp.OID("."+at); t.Name == table && oid.Valid() {
				oids = append(oids, oid)
			}
		}
	}
	return oids
}

// tableLacks is how a column of a table beside the IF-MIB stands among those that a device lacks.
func tableLacks(table string, f field) string { return table + "." + fieldNames[f] }

// lackingOf are the fields of a table beside the IF-MIB that polls need not ask for.
func (c *Context) lackingOf(table string) (mask uint64) {
	if c.rebooted {
		return 0
	}
	for _, name := range c.Target.Device.Lacks {
		if of, column, ok := strings.Cut(name, "."); ok && of == table {
			if f := slices.Index(fieldNames[:], column); f >= 0 {
				mask |= 1 << f
			}
		}
	}
	return mask
}

// together are rows of the IF-MIB and those beside it, by their ifIndex.
func together(r *reader, rows []int, others []*row) []*row {
	all := make([]*row, 0, len(rows)+len(others))
	for _, i := range rows {
		all = append(all, &r.rows[i])
	}
	all = append(all, others...)
	slices.SortStableFunc(all, func(a, b *row) int { return cmp.Compare(a.index, b.index) })
	return all
}
