package poller

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"

	"pollux/snmp"
)

// number gives rows beside the IF-MIB an ifIndex. A port keeps the one that it has in the inventory; a new one
// gets the one that its table has for it, the last row first where several want the same, as LibreNMS has it;
// and whose number is taken gets one that no IF-MIB can have (it ends at 2^31-1, RFC 2863), by its place, so that every node finds the same.
func (c *Context) number(found *further) {
	taken := make(map[int64]bool, len(found.standard)+len(found.rows))
	for index := range found.standard {
		taken[index] = true
	}
	give := func(row *row, index int64) {
		if row.index == 0 && index > 0 && !taken[index] {
			row.index, taken[index] = index, true
		}
	}
	tables := make(map[string]*portTable, len(found.tables))
	for _, t := range found.tables {
		tables[t.Name] = t
	}
	slices.SortFunc(found.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(beforeColon(a.place), beforeColon(b.place)), snmp.CompareIndexes(a.at, b.at))
	})
	for _, row := range found.rows {
		if k, ok := found.known[row.place]; ok {
			give(row, c.Target.Ports[k].State.IfIndex)
		}
	}
	for _, row := range slices.Backward(found.rows) {
		index, _ := tables[beforeColon(row.place)].Index(row.at)
		give(row, index)
	}
	for _, row := range found.rows {
		for index := beyondIfIndex + int64(hashOf(row.place)); row.index == 0; index++ {
			give(row, index)
		}
	}
}

// beyondIfIndex is where our own numbers begin.
const beyondIfIndex = 1 << 32

func beforeColon(place string) string {
	table, _, _ := strings.Cut(place, ":")
	return table
}

func hashOf(place string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(place)) // it never fails
	return h.Sum32()
}
