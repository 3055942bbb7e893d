package poller

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"pollux/device"
	"pollux/snmp"
)

// The columns of entPhysicalTable (RFC 6933) beside entPhysicalClass.
const (
	entPhysicalDescr       snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.2"
	entPhysicalContainedIn snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.4"
	entPhysicalName        snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.7"
	entPhysicalHardwareRev snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.8"
	entPhysicalFirmwareRev snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.9"
	entPhysicalSoftwareRev snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.10"
	entPhysicalSerialNum   snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.11"
	entPhysicalMfgName     snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.12"
	entPhysicalModelName   snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.13"
	entPhysicalIsFRU       snmp.OID = "1.3.6.1.2.1.47.1.1.1.1.16"
)

// entitiesModule reads the physical parts of a device (ENTITY-MIB).
type entitiesModule struct{}

func (entitiesModule) Name() string { return device.ModuleEntities }

func (m entitiesModule) Run(ctx context.Context, c *Context) error {
	f := c.finder
	columns := []snmp.OID{
		entPhysicalDescr, entPhysicalContainedIn, entPhysicalClass, entPhysicalName, entPhysicalHardwareRev, entPhysicalFirmwareRev,
		entPhysicalSoftwareRev, entPhysicalSerialNum, entPhysicalMfgName, entPhysicalModelName, entPhysicalIsFRU,
	}
	err := f.tables.walk(ctx, columns)
	list := f.entities(columns)
	if len(list) > device.MaxInventory {
		// A large chassis has more thermometers than parts, and those are components.
		list = slices.DeleteFunc(list, func(e device.Entity) bool { return e.Class == device.PhysicalClass(entitySensor) })
	}
	if len(list) > device.MaxInventory {
		list = list[:device.MaxInventory]
		err = first(err, tooMany("physical entities"))
	}
	f.found.Entities = list
	return f.wholeUnless(device.ModuleEntities, err)
}

// entitySensor is the entPhysicalClass of a sensor.
const entitySensor = 8

// entities are the rows of entPhysicalTable in the order of their indexes. A row
// that has one of the columns is one: agents leave out what they do not know.
func (f *finder) entities(columns []snmp.OID) []device.Entity {
	seen := make(map[string]struct{})
	for _, column := range columns {
		for index := range f.tables.columns[column] {
			seen[index] = struct{}{}
		}
	}
	list := make([]device.Entity, 0, len(seen))
	for index := range seen {
		n, err := strconv.ParseUint(index, 10, 31)
		if err != nil || n == 0 {
			continue
		}
		list = append(list, f.entity(index, int64(n)))
	}
	slices.SortFunc(list, func(a, b device.Entity) int { return cmp.Compare(a.Index, b.Index) })
	return list
}

func (f *finder) entity(index string, n int64) device.Entity {
	value := func(column snmp.OID) snmp.Value { return f.tables.columns[column][index] }
	number := func(column snmp.OID) uint64 {
		n, _ := value(column).Uint()
		return min(n, math.MaxInt32)
	}
	return device.Entity{
		Index: n, Parent: int64(number(entPhysicalContainedIn)), Class: device.PhysicalClass(number(entPhysicalClass)),
		Descr: wording(value(entPhysicalDescr)), Name: wording(value(entPhysicalName)),
		Hardware: wording(value(entPhysicalHardwareRev)), Firmware: wording(value(entPhysicalFirmwareRev)), Software: wording(value(entPhysicalSoftwareRev)),
		Serial: wording(value(entPhysicalSerialNum)), Model: wording(value(entPhysicalModelName)), Vendor: wording(value(entPhysicalMfgName)),
		FRU: number(entPhysicalIsFRU) == 1, // TruthValue
	}
}

// wording is a value as a text of one line; a number where an agent sends one as it is.
func wording(v snmp.Value) string {
	if raw := v.Bytes(); raw != nil {
		return clean(raw, maxText, " ")
	}
	return cut(v.Text(), maxText)
}
