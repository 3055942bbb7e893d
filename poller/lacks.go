package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pollux/device"
	"pollux/snmp"
)

// fieldNames are the columns by their MIB names, as the inventory keeps those that a device lacks.
var fieldNames = [fieldCount]string{
	fieldDescr: "ifDescr", fieldName: "ifName", fieldAlias: "ifAlias", fieldPhysAddress: "ifPhysAddress", fieldType: "ifType",
	fieldMTU: "ifMtu", fieldSpeed: "ifSpeed", fieldHighSpeed: "ifHighSpeed", fieldAdminStatus: "ifAdminStatus",
	fieldOperStatus: "ifOperStatus", fieldLastChange: "ifLastChange", fieldDiscontinuity: "ifCounterDiscontinuityTime",
	wideInOctets: "ifHCInOctets", wideInUcast: "ifHCInUcastPkts", wideInMulticast: "ifHCInMulticastPkts", wideInBroadcast: "ifHCInBroadcastPkts",
	wideOutOctets: "ifHCOutOctets", wideOutUcast: "ifHCOutUcastPkts", wideOutMulticast: "ifHCOutMulticastPkts", wideOutBroadcast: "ifHCOutBroadcastPkts",
	inDiscards: "ifInDiscards", inErrors: "ifInErrors", inUnknownProtos: "ifInUnknownProtos", outDiscards: "ifOutDiscards", outErrors: "ifOutErrors",
	narrowInOctets: "ifInOctets", narrowInUcast: "ifInUcastPkts", narrowInNUcast: "ifInNUcastPkts", narrowOutOctets: "ifOutOctets",
	narrowOutUcast: "ifOutUcastPkts", narrowOutNUcast: "ifOutNUcastPkts", narrowInMulticast: "ifInMulticastPkts", narrowInBroadcast: "ifInBroadcastPkts",
	narrowOutMulticast: "ifOutMulticastPkts", narrowOutBroadcast: "ifOutBroadcastPkts",
}

// nameEngineTime stands for snmpEngineTime.0, the one object of the system group that many devices lack.
const nameEngineTime = "snmpEngineTime"

// columnsModule finds out which of the columns that polls read of ports a device
// has. Polls do not ask for the others until the next discovery.
type columnsModule struct{}

func (columnsModule) Name() string { return "ports" }

// Run reads the first row of each column, and of those that have none the instance of
// a port: an agent that answers one of the two wrongly does not lose the column.
func (columnsModule) Run(ctx context.Context, c *Context) error {
	wanted := c.wantedColumns()
	request := snmp.TableRequest{FirstRows: 1, MaxRows: 1, MaxBytes: maxBytes}
	for _, w := range wanted {
		request.Columns = append(request.Columns, w.oid)
	}
	err := c.Session.Table(ctx, request, func(cell snmp.Cell) {
		if cell.Column >= 0 && cell.Column < len(wanted) {
			wanted[cell.Column].first = strings.Clone(cell.Index)
		}
	})
	if err != nil {
		return fmt.Errorf("read the first row of each column: %w", err)
	}
	lacks, oids, asked := []string{}, []snmp.OID{oidSnmpEngineTime}, []string{nameEngineTime}
	rows := someRows(wanted)
	for _, w := range wanted {
		row := rows[w.table]
		switch {
		case w.first != "":
		case row != "":
			oids, asked = append(oids, w.oid+snmp.OID("."+row)), append(asked, w.name)
		case w.table != "" && w.field == fieldName:
			lacks = append(lacks, w.name) // the whole table
		}
	}
	vars, err := c.Session.Get(ctx, oids...)
	var status *snmp.StatusError
	if errors.As(err, &status) {
		return nil // it does not say: what is known stands
	}
	if err != nil {
		return fmt.Errorf("ask for columns that have no row: %w", err)
	}
	missing := make([]string, 0, len(asked)+len(lacks))
	for i, v := range vars {
		if i < len(asked) && !v.Value.Exists() {
			missing = append(missing, asked[i])
		}
	}
	c.finder.found.Lacks = append(missing, lacks...)
	return nil
}

// wantedColumn is a column that polls read of ports.
type wantedColumn struct {
	table string // beside the IF-MIB; "" for the IF-MIB
	field field
	name  string // as the inventory keeps it
	oid   snmp.OID
	first string // the index of its first row, "" for none
}

// wantedColumns are those of the IF-MIB, and of the tables that the OS has beside it.
func (c *Context) wantedColumns() (wanted []wantedColumn) {
	for f, oid := range columns {
		wanted = append(wanted, wantedColumn{field: field(f), name: fieldNames[f], oid: oid})
	}
	rules := c.portRules()
	if rules == nil {
		return wanted
	}
	for _, definition := range rules.Tables {
		t := newPortTable(definition)
		for f, oid := range t.columns {
			if oid != "" {
				wanted = append(wanted, wantedColumn{table: t.Name, field: field(f), name: tableLacks(t.Name, field(f)), oid: oid})
			}
		}
	}
	return wanted
}

// someRows are rows that the device has by their tables: of the IF-MIB one of the state of its ports if it
// can be, of another one a row with a name.
func someRows(wanted []wantedColumn) map[string]string {
	rows := make(map[string]string, 2)
	for _, w := range wanted {
		best := w.table == "" && w.field == fieldOperStatus || w.table != "" && w.field == fieldName
		if w.first != "" && (best || rows[w.table] == "") {
			rows[w.table] = w.first
		}
	}
	return rows
}

// lacking are the fields that polls need not ask for. Of an agent that has
// restarted since they were looked for everything is asked.
func (c *Context) lacking() uint64 {
	if c.rebooted {
		return 0
	}
	return lackedFields(&c.Target.Device)
}

func lackedFields(d *device.Device) (mask uint64) {
	for _, name := range d.Lacks {
		if f := slices.Index(fieldNames[:], name); f >= 0 {
			mask |= 1 << f
		}
	}
	return mask
}

// without are the fields that are not in a mask.
func without(fields []field, mask uint64) []field {
	if maskOf(fields)&mask == 0 {
		return fields
	}
	kept := make([]field, 0, len(fields))
	for _, f := range fields {
		if mask&(1<<f) == 0 {
			kept = append(kept, f)
		}
	}
	return kept
}

// welcome asks the rows that the inventory does not know for the counters that the
// device lacked when it was discovered: a new module may count what the others do not.
func (c *Context) welcome(ctx context.Context, r *reader, rows []int) error {
	if r.lacks == 0 || len(c.Target.Ports) == 0 {
		return nil
	}
	known := make(map[int64]string, len(c.Target.Ports))
	for k := range c.Target.Ports {
		if state := &c.Target.Ports[k].State; state.Row == "" {
			known[state.IfIndex] = state.IfName
		}
	}
	var strangers []int
	for _, i := range rows {
		name, ok := known[r.rows[i].index]
		if !ok || r.rows[i].has(fieldName) && r.rows[i].text(fieldName) != name {
			strangers = append(strangers, i)
		}
	}
	lacks := r.lacks
	r.lacks = 0
	defer func() { r.lacks = lacks }()
	fields := without(append([]field{fieldHighSpeed}, counterFields...), ^lacks|1<<fieldName)
	if len(fields) == 0 {
		return nil
	}
	if err := r.fetch(ctx, fields, strangers); err != nil {
		return fmt.Errorf("ask new ports for counters that others lack: %w", err)
	}
	return nil
}
