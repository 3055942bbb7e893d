package poller

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"pollux/device"
	"pollux/measurement"
	"pollux/snmp"
)

// hostModule finds out which of the files of hosts a device can fill: what
// UCD-SNMP-MIB, HOST-RESOURCES-MIB (RFC 2790) and the groups of mib-2 (RFC 1213,
// RFC 4293, RFC 4022, RFC 4113) tell of a system as a whole.
type hostModule struct{}

func (hostModule) Name() string { return "host" }

// hostObjects are the objects of the files, in the order of their sources; each is a scalar.
func hostObjects() map[measurement.Kind][]snmp.OID {
	return map[measurement.Kind][]snmp.OID{
		measurement.KindUCDCPU:      below("1.3.6.1.4.1.2021.11", 50, 52, 51, 53),
		measurement.KindHRProcesses: below("1.3.6.1.2.1.25.1", 6),
		measurement.KindHRUsers:     below("1.3.6.1.2.1.25.1", 5),
		measurement.KindNetIP:       below("1.3.6.1.2.1.4", 6, 9, 3, 10, 8, 11, 12, 14, 15, 16, 17, 18, 19, 7, 4, 5),
		measurement.KindNetICMP: below("1.3.6.1.2.1.5", 1, 14, 2, 15, 8, 21, 9, 22, 3, 16, 5, 4, 6, 7, 10, 11, 12, 13, 17, 18, 19, 20,
			23, 24, 25, 26),
		measurement.KindNetSNMP: below("1.3.6.1.2.1.11", 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25,
			26, 27, 28, 29, 31, 32),
		measurement.KindNetTCP: below("1.3.6.1.2.1.6", 5, 6, 7, 8, 10, 11, 12, 14, 15),
		measurement.KindNetUDP: below("1.3.6.1.2.1.7", 1, 4, 3, 2),
	}
}

// rawObjects are the columns below systemStats (UCD-SNMP-MIB) with a file of their own each.
var rawObjects = []struct {
	name string
	arc  int
}{
	{"ssCpuRawUser", 50}, {"ssCpuRawNice", 51}, {"ssCpuRawSystem", 52}, {"ssCpuRawIdle", 53}, {"ssCpuRawWait", 54}, {"ssCpuRawKernel", 55},
	{"ssCpuRawInterrupt", 56}, {"ssIORawSent", 57}, {"ssIORawReceived", 58}, {"ssRawInterrupts", 59}, {"ssRawContexts", 60},
	{"ssCpuRawSoftIRQ", 61}, {"ssRawSwapIn", 62}, {"ssRawSwapOut", 63}, {"ssCpuRawSteal", 64},
}

const (
	laLoadInt   snmp.OID = "1.3.6.1.4.1.2021.10.1.5"
	diskIOEntry snmp.OID = "1.3.6.1.4.1.2021.13.15.1.1"
)

// below are scalars by their arcs below a group.
func below(group snmp.OID, arcs ...int) []snmp.OID {
	oids := make([]snmp.OID, len(arcs))
	for i, arc := range arcs {
		oids[i] = group + snmp.OID("."+strconv.Itoa(arc)+".0")
	}
	return oids
}

// Run asks for all scalars at once, and for the columns of the disks.
func (hostModule) Run(ctx context.Context, c *Context) error {
	f := c.finder
	var all []snmp.OID
	objects := hostObjects()
	for _, oids := range objects {
		all = append(all, oids...)
	}
	load := []snmp.OID{laLoadInt + ".1", laLoadInt + ".2", laLoadInt + ".3"}
	all = append(all, load...)
	for _, raw := range rawObjects {
		all = append(all, below("1.3.6.1.4.1.2021.11", raw.arc)...)
	}
	answers, err := f.tables.scalars(ctx, all)
	if err == nil {
		err = f.tables.walk(ctx, diskColumns())
	}
	for _, file := range measurement.HostFiles() {
		if oids, ok := objects[file.Kind]; ok {
			f.host(file.Name, file.Kind, oids, answers)
		}
	}
	f.host("ucd_load", measurement.KindUCDLoad, load, answers)
	for _, raw := range rawObjects {
		f.host("ucd_"+raw.name, measurement.KindUCDRaw, below("1.3.6.1.4.1.2021.11", raw.arc), answers)
	}
	f.disks()
	f.found.Complete[device.KindHost] = err == nil
	return err
}

// host adds a file that the device can fill, in part at least. What it lacks is not asked for by polls.
func (f *finder) host(name string, kind measurement.Kind, oids []snmp.OID, answers map[snmp.OID]snmp.Value) {
	sources, found := make([]string, len(oids)), false
	for i, oid := range oids {
		if _, ok := answers[oid].Number(); ok {
			sources[i], found = string(oid), true
		}
	}
	if !found {
		return
	}
	count := 0
	f.add(device.Component{
		Kind: device.KindHost, Type: "host", Index: name, Descr: name, Reading: device.Reading{File: uint8(kind), Sources: sources},
	}, &count)
}

func diskColumns() []snmp.OID {
	columns := make([]snmp.OID, 0, 7)
	for _, arc := range []string{".2", ".3", ".4", ".5", ".6", ".12", ".13"} {
		columns = append(columns, diskIOEntry+snmp.OID(arc))
	}
	return columns
}

// disks adds the disks that have read or written something, with their 64-bit counters where there are some.
func (f *finder) disks() {
	column := func(arc string) map[string]snmp.Value { return f.tables.columns[diskIOEntry+snmp.OID(arc)] }
	names := column(".2")
	for _, index := range slices.SortedFunc(maps.Keys(names), snmp.CompareIndexes) {
		name := clean(names[index].Bytes(), maxText, "_")
		used := false
		sources := make([]string, 4)
		for i, arcs := range [][]string{{".12", ".3"}, {".13", ".4"}, {".5"}, {".6"}} {
			for _, arc := range arcs {
				if n, ok := column(arc)[index].Uint(); ok {
					sources[i], used = string(diskIOEntry)+arc+"."+index, used || n > 0
					break
				}
			}
		}
		if name == "" || !used {
			continue
		}
		count := 0
		f.add(device.Component{
			Kind: device.KindHost, Type: "host", Index: "ucd_diskio-" + name, Descr: "disk " + name,
			Reading: device.Reading{File: uint8(measurement.KindUCDDiskIO), Sources: sources},
		}, &count)
	}
}
