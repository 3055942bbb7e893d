package poller

import (
	"fmt"
	"strings"

	"pollux/snmp"
)

// place finds out where the ports are read that stand in tables beside the IF-MIB. One of
// which that is not known is missing: under its number or its name the IF-MIB may have another port.
func (b *billReader) place() {
	tables := make(map[string]*portTable)
	for i := range b.all {
		p := &b.all[i]
		if p.Row == "" {
			continue
		}
		name, at, _ := strings.Cut(p.Row, ":")
		if _, looked := tables[name]; !looked {
			tables[name] = b.portTable(name)
		}
		switch t := tables[name]; {
		case t == nil:
			b.refuse(p, fmt.Sprintf("the definition of the OS %.32q has no table %.32q of ports", b.target.Device.Facts.OS, name))
		case t.has&(1<<wideInOctets) == 0 || t.has&(1<<wideOutOctets) == 0:
			b.refuse(p, fmt.Sprintf("the table %.32q of ports has no 64-bit octets", name))
		case b.target.Device.Credentials.Version == snmp.V1:
			b.refuse(p, fmt.Sprintf("SNMPv1 has no 64-bit counters, which ports of the table %.32q need: use v2c or v3", name))
		case p.Name == "" || !(t.columns[fieldName] + snmp.OID("."+at)).Valid():
			p.miss = BillGone // nothing could say that it is the port
		default:
			p.table, p.at = t, at
		}
	}
}

func (b *billReader) refuse(p *billed, reason string) {
	reason = oneLine(reason)
	p.miss, b.report.Reason, b.report.Unreadable = BillRefused, reason, reason
}

// portTable is the table of a name in the definition of the device's OS, nil when there is none.
func (b *billReader) portTable(name string) *portTable {
	set := b.target.Definitions
	if set == nil {
		return nil
	}
	os := set.Find(b.target.Device.Facts.OS)
	if os == nil {
		return nil
	}
	t := os.Ports.Find(name)
	if t == nil {
		return nil
	}
	return newPortTable(t)
}

// takeFurther takes over what was answered for a port of a table beside the IF-MIB. When another one stands in its row, or
// none, the next poll says where it is now.
func (b *billReader) takeFurther(p *billed, a *answered, uptime snmp.Variable) {
	switch name := a.text(fieldName); {
	case name != p.Name:
		p.miss = BillGone
		b.report.Reason = oneLine(fmt.Sprintf("the row %.64s of the device is not called %.64s any more; the next poll looks where it is", p.Row, p.Name))
	case !a.has(wideInOctets) || !a.has(wideOutOctets):
		b.refuse(p, fmt.Sprintf("the row %.64s of the device has no 64-bit octets", p.Row))
	default:
		p.reading = b.reading(p, a, uptime, wideBits)
	}
}
