package poller

import (
	"context"
	"slices"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// The classes of a chassis and of a stack in entPhysicalClass (RFC 6933).
const (
	entityChassis = "3"
	entityStack   = "11"
)

const entPhysicalClass snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.5"

// factReader reads the facts that the definition of an OS names.
type factReader struct {
	facts  device.Facts
	tables *tableReader
	got    map[snmp.OID]snmp.Value
}

// prepare asks for all that the sources need: single objects in one request, and
// of ENTITY-MIB what describes the chassis.
func (r *factReader) prepare(ctx context.Context, f *definitions.Facts) error {
	var oids, entity []snmp.OID
	for _, source := range slices.Concat(f.Hardware, f.Version, f.Serial, f.Features) {
		if source.OID != "" {
			oids = append(oids, source.OID)
		}
		for _, oid := range source.OIDs {
			oids = append(oids, oid)
		}
		if source.Entity != "" {
			entity = append(entity, definitions.EntityColumns()[source.Entity])
		}
	}
	var err error
	if r.got, err = r.tables.scalars(ctx, oids); err != nil {
		return err
	}
	if len(entity) == 0 {
		return nil
	}
	return r.tables.walk(ctx, append(entity, entPhysicalClass))
}

// first is the first text that the sources give.
func (r *factReader) first(sources []definitions.Source) string {
	for _, source := range sources {
		if text := clean([]byte(r.text(&source)), maxText, " "); text != "" {
			return text
		}
	}
	return ""
}

func (r *factReader) text(s *definitions.Source) string {
	var text string
	switch {
	case s.OID != "":
		text = r.got[s.OID].Text()
	case s.SysDescr.Regexp != nil:
		text = s.SysDescr.Group(r.facts.SysDescr)
	case s.ObjectRegex.Regexp != nil:
		text = s.ObjectRegex.Group(r.facts.SysObjectID)
	case s.SysObjectID != nil:
		text = s.SysObjectID[r.facts.SysObjectID]
	case s.Entity != "":
		text = r.entity(definitions.EntityColumns()[s.Entity])
	default:
		row := definitions.Row{Values: make(map[string]snmp.Value, len(s.OIDs))}
		for name, oid := range s.OIDs {
			row.Values[name] = r.got[oid]
		}
		text = s.Template.Expand(row)
	}
	return s.Finish(text)
}

// entity is a column of the first chassis, else of the first stack, else of the
// first row that has one.
func (r *factReader) entity(column snmp.OID) string {
	values, classes := r.tables.columns[column], r.tables.columns[entPhysicalClass]
	rank := func(index string) int {
		return slices.Index([]string{"", entityStack, entityChassis}, classes[index].Text())
	}
	best := ""
	for index, v := range values {
		if v.Text() == "" {
			continue
		}
		if best == "" || rank(index) > rank(best) || rank(index) == rank(best) && snmp.CompareIndexes(index, best) < 0 {
			best = index
		}
	}
	return values[best].Text()
}
