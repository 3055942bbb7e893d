package poller

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"pollux/device"
	"pollux/snmp"
)

// The columns of lldpLocPortTable (802.1AB-2005) and of the ports of a bridge (RFC 4188).
const (
	lldpLocPortKind  snmp.OID = "1.0.8802.1.1.2.1.3.7.1.2"
	lldpLocPortID    snmp.OID = "1.0.8802.1.1.2.1.3.7.1.3"
	lldpLocPortDescr snmp.OID = "1.0.8802.1.1.2.1.3.7.1.4"

	dot1dBasePortIfIndex snmp.OID = "1.3.6.1.2.1.17.1.4.1.2"
)

// localPorts say which port a table means: those of the inventory, or of a
// device that was never polled the columns of its interface table.
type localPorts struct {
	tables *tableReader
	names  map[int64]string // ifName by ifIndex
	// Words that ports are called by: ifName, ifDescr, ifAlias and ifPhysAddress each for itself. 0 stands for several ports.
	byWord [4]map[string]int64
}

func (l *localPorts) add(s *device.PortState) {
	l.names[s.IfIndex] = s.IfName
	for i, word := range [...]string{s.IfName, s.IfDescr, s.IfAlias, s.IfPhysAddress} {
		if word == "" {
			continue
		}
		if other, known := l.byWord[i][word]; known && other != s.IfIndex {
			l.byWord[i][word] = 0
			continue
		}
		l.byWord[i][word] = s.IfIndex
	}
}

// called is the port that a word is a name of, 0 for none or several.
func (l *localPorts) called(word string) int64 {
	for i := range l.byWord {
		if index := l.byWord[i][word]; index != 0 {
			return index
		}
	}
	return 0
}

// nameLocals reads what tells the ports of the rows: what LLDP calls its ports,
// and the ports of the bridge when one of the rows is at none of these.
func (n *neighbourFinder) nameLocals(ctx context.Context, t lldpTable, lldp []string) {
	l := &n.locals
	l.tables, l.names = n.tables, make(map[int64]string, len(n.ports))
	for i := range l.byWord {
		l.byWord[i] = make(map[string]int64, len(n.ports))
	}
	for i := range n.ports {
		if !n.ports[i].Vanished && n.ports[i].State.Row == "" {
			l.add(&n.ports[i].State)
		}
	}
	if len(l.names) == 0 {
		n.walk(ctx, columns[fieldName], columns[fieldDescr])
		l.read()
	}
	if t.chassis != lldp2005().chassis || len(lldp) == 0 {
		return
	}
	n.walk(ctx, lldpLocPortKind, lldpLocPortID, lldpLocPortDescr)
	for _, index := range lldp {
		if arcs := arcsOf(index); len(arcs) == t.arcs && l.named(arcs[1]) == 0 {
			n.walk(ctx, dot1dBasePortIfIndex)
			return
		}
	}
}

// read takes the ports from the interface table.
func (l *localPorts) read() {
	for _, column := range []snmp.OID{columns[fieldDescr], columns[fieldName]} {
		for _, index := range l.tables.sorted(column) {
			n, err := strconv.ParseUint(index, 10, 31)
			if err != nil {
				continue
			}
			state := device.PortState{IfIndex: int64(n), IfDescr: wording(l.tables.columns[columns[fieldDescr]][index])}
			if state.IfName = wording(l.tables.columns[columns[fieldName]][index]); state.IfName == "" {
				state.IfName = state.IfDescr
			}
			l.add(&state)
		}
	}
}

// words are what LLDP calls a local port: its id, and its description.
func (l *localPorts) words(number uint32) (id, descr string) {
	index := strconv.FormatUint(uint64(number), 10)
	kind, _ := l.tables.columns[lldpLocPortKind][index].Uint()
	id = identity(l.tables.columns[lldpLocPortID][index], kind == portMAC, kind == portAddress)
	return id, wording(l.tables.columns[lldpLocPortDescr][index])
}

// named is the port that LLDP's own words name, 0 for none.
func (l *localPorts) named(number uint32) int64 {
	id, descr := l.words(number)
	for _, word := range []string{id, strings.ReplaceAll(id, ":", ""), descr} {
		if index := l.called(word); index != 0 {
			return index
		}
	}
	return 0
}

// lldp is the local port of a row of LLDP. By the MIB of 2005 its number is that
// of the bridge's port, or ifIndex where there is no bridge; agents take other ones,
// so names decide first. A number 0 is MikroTik's for all ports.
func (l *localPorts) lldp(t lldpTable, number uint32) (ifIndex int64, name string) {
	if t.chassis != lldp2005().chassis {
		return l.byIfIndex(number)
	}
	if number == 0 {
		return 0, ""
	}
	ifIndex = l.named(number)
	if ifIndex == 0 {
		ifIndex = ifIndexOf(l.tables.columns[dot1dBasePortIfIndex][strconv.FormatUint(uint64(number), 10)])
	}
	if _, known := l.names[int64(number)]; ifIndex == 0 && known {
		ifIndex = int64(number)
	}
	id, descr := l.words(number)
	for _, name := range []string{l.names[ifIndex], id, descr} {
		if name != "" {
			return ifIndex, name
		}
	}
	return ifIndex, fmt.Sprintf("port %d", number)
}

// byIfIndex is the local port of a row that names it by ifIndex.
func (l *localPorts) byIfIndex(number uint32) (ifIndex int64, name string) {
	if number == 0 || number > math.MaxInt32 {
		return 0, ""
	}
	if name := l.names[int64(number)]; name != "" {
		return int64(number), name
	}
	return int64(number), fmt.Sprintf("ifIndex %d", number)
}
