package measurement

import (
	"fmt"
	"regexp"
	"strconv"

	"pollux/rrdcached"
)

// Kind is a kind of RRD file. Its numbers stand in the journal: they are never reused.
type Kind uint8

// The kinds of files.
const (
	KindPort   Kind = 1 // port-id<port id>.rrd
	KindUptime Kind = 2 // uptime.rrd

	// Files of components have names of their own, see ComponentName and Measurement.Name.
	KindProcessor Kind = 3 // processor-<definition>-<index>.rrd
	KindMempool   Kind = 4 // mempool-<definition>-<class>-<index>.rrd
	KindStorage   Kind = 5 // storage-<definition>-<descr>.rrd
	KindSensor    Kind = 6 // sensor-<class>-<definition>-<index>.rrd

	// Files of what hosts tell of themselves (UCD-SNMP-MIB, HOST-RESOURCES-MIB, the mib-2 groups), see HostFile.
	KindUCDCPU      Kind = 7  // ucd_cpu.rrd
	KindUCDRaw      Kind = 8  // ucd_<object>.rrd
	KindUCDLoad     Kind = 9  // ucd_load.rrd
	KindUCDDiskIO   Kind = 10 // ucd_diskio-<device>.rrd
	KindHRProcesses Kind = 11 // hr_processes.rrd
	KindHRUsers     Kind = 12 // hr_users.rrd
	KindNetIP       Kind = 13 // netstats-ip.rrd
	KindNetICMP     Kind = 14 // netstats-icmp.rrd
	KindNetSNMP     Kind = 15 // netstats-snmp.rrd
	KindNetTCP      Kind = 16 // netstats-tcp.rrd
	KindNetUDP      Kind = 17 // netstats-udp.rrd

	// Files of what is known of a device without its help, see OwnName.
	KindICMP         Kind = 18 // icmp-perf.rrd
	KindPollerPerf   Kind = 19 // poller-perf.rrd, poller-perf-<module>.rrd
	KindAvailability Kind = 20 // availability-<seconds>.rrd
)

// minHeartbeatStep is LibreNMS's step in seconds. The heartbeat is twice the
// longer of it and the interval, because rrdcached 1.7.2 cannot tune a file later.
const minHeartbeatStep = 300

// DefaultPortMax is LibreNMS's maximum of a port's sources: 100 Gbit/s in bytes per second.
const DefaultPortMax uint64 = 12_500_000_000

// portSources are LibreNMS's 15 sources of a port, in its order.
var portSources = [...]string{
	"INOCTETS", "OUTOCTETS", "INERRORS", "OUTERRORS", "INUCASTPKTS", "OUTUCASTPKTS", "INNUCASTPKTS", "OUTNUCASTPKTS",
	"INDISCARDS", "OUTDISCARDS", "INUNKNOWNPROTOS", "INBROADCASTPKTS", "OUTBROADCASTPKTS", "INMULTICASTPKTS", "OUTMULTICASTPKTS",
}

// gauges are the sources of the files of components and of what is known without a device's help, as LibreNMS has them.
var gauges = map[Kind][]rrdcached.Source{
	KindProcessor: {{Name: "usage", Min: -273, Max: 1000}},
	KindMempool:   {{Name: "used", Min: 0, Max: rrdcached.NoLimit}, {Name: "free", Min: 0, Max: rrdcached.NoLimit}},
	KindStorage:   {{Name: "used", Min: 0, Max: rrdcached.NoLimit}, {Name: "free", Min: 0, Max: rrdcached.NoLimit}},
	KindSensor:    {{Name: "sensor", Min: rrdcached.NoLimit, Max: rrdcached.NoLimit}},
	KindICMP: {
		{Name: "avg", Min: 0, Max: maxICMP}, {Name: "xmt", Min: 0, Max: maxICMP}, {Name: "rcv", Min: 0, Max: maxICMP},
		{Name: "min", Min: 0, Max: maxICMP}, {Name: "max", Min: 0, Max: maxICMP},
	},
	KindPollerPerf:   {{Name: "poller", Min: 0, Max: rrdcached.NoLimit}},
	KindAvailability: {{Name: "availability", Min: 0, Max: 100}},
}

// maxICMP is LibreNMS's maximum of milliseconds and of packets.
const maxICMP = 65_535

// Valid says whether this program knows the kind.
func (k Kind) Valid() bool { return k == KindPort || k == KindUptime || k.Named() }

// Named says whether files of the kind have a name of their own, beside their instance.
func (k Kind) Named() bool { return k >= KindProcessor && k <= KindAvailability }

// Sources are the names of a kind's sources in the order of their values.
func (k Kind) Sources() []string {
	switch k {
	case KindPort:
		return portSources[:]
	case KindUptime:
		return []string{"uptime"}
	case KindProcessor:
		return usageSource[:]
	case KindMempool, KindStorage:
		return amountSources[:]
	case KindSensor:
		return sensorSource[:]
	case KindICMP:
		return icmpSources[:]
	case KindPollerPerf:
		return pollerSource[:]
	case KindAvailability:
		return availabilitySource[:]
	default:
		if file, ok := hostFile(k); ok {
			return file.Sources
		}
		return nil
	}
}

// The names of sources, made once because every measurement asks for them.
var (
	usageSource   = [...]string{"usage"}
	amountSources = [...]string{"used", "free"}
	sensorSource  = [...]string{"sensor"}

	icmpSources        = [...]string{"avg", "xmt", "rcv", "min", "max"}
	pollerSource       = [...]string{"poller"}
	availabilitySource = [...]string{"availability"}
)

// Path is where the values of a kind and instance are filed, relative to the
// base of the RRD tree: "sw1/port-id7.rrd", and "sw1/port-id7-g2.rrd" for generation 2.
// Kinds that are named have another path, see NamedPath.
func Path(dir string, kind Kind, instance int64, generation int) string {
	var name string
	switch kind {
	case KindPort:
		name = "port-id" + strconv.FormatInt(instance, 10)
	default:
		name = "uptime"
	}
	return NamedPath(dir, name, generation)
}

// NamedPath is where the values of a file are filed whose name is known: "sw1/sensor-temperature-ios-1006-g2.rrd".
func NamedPath(dir, name string, generation int) string {
	if generation > 0 {
		name += "-g" + strconv.Itoa(generation)
	}
	return dir + "/" + name + ".rrd"
}

// File is the path of the file of a measurement in a generation.
func (m *Measurement) File(dir string, generation int) string {
	if m.Kind.Named() {
		return NamedPath(dir, m.Name, generation)
	}
	return Path(dir, m.Kind, m.Instance, generation)
}

// componentFile are the names that NamedPath gives for components, without their directory.
var componentFile = regexp.MustCompile(`^((processor-|mempool-|storage-|sensor-|ucd_|hr_|netstats-)[A-Za-z0-9,._~-]{1,200}?)(?:-g([1-9][0-9]{0,8}))?\.rrd$`)

// componentKinds are the kinds of components by the beginning of their files' names.
var componentKinds = map[string]Kind{"processor-": KindProcessor, "mempool-": KindMempool, "storage-": KindStorage, "sensor-": KindSensor}

// ParseComponent says which component's file has this name, without generation and ending, and false for another file.
func ParseComponent(file string) (kind Kind, name string, generation int, ours bool) {
	match := componentFile.FindStringSubmatch(file)
	if match == nil {
		return 0, "", 0, false
	}
	if match[3] != "" {
		generation, _ = strconv.Atoi(match[3])
	}
	if kind = componentKinds[match[2]]; kind == 0 {
		kind = hostKind(match[1])
	}
	return kind, match[1], generation, kind != 0
}

// fileName are the names that Path gives, without their directory.
var fileName = regexp.MustCompile(`^(?:port-id([1-9][0-9]{0,17})|uptime)(?:-g([1-9][0-9]{0,8}))?\.rrd$`)

// ParseName says which file of a device has this name, and false for one that
// neither Path nor NamedPath gives. The instance of a component's file is 0: see ParseComponent.
func ParseName(name string) (kind Kind, instance int64, generation int, ours bool) {
	match := fileName.FindStringSubmatch(name)
	if match == nil {
		if kind, generation, ours = parseOwn(name); !ours {
			kind, _, generation, ours = ParseComponent(name)
		}
		return kind, 0, generation, ours
	}
	kind = KindUptime
	if match[1] != "" {
		kind = KindPort
		instance, _ = strconv.ParseInt(match[1], 10, 64) // the pattern lets no other text through
	}
	if match[2] != "" {
		generation, _ = strconv.Atoi(match[2])
	}
	return kind, instance, generation, true
}

// Heartbeat is the heartbeat in seconds of a file that is fed every interval seconds.
func Heartbeat(interval int) int { return 2 * max(interval, minHeartbeatStep) }

// PortMax is the maximum in bytes per second for a port of ifSpeed bits per
// second: a quarter above its speed, at least LibreNMS's.
func PortMax(ifSpeed uint64) uint64 { return max(ifSpeed/8+ifSpeed/32, DefaultPortMax) }

// Schema is how the file of a kind is created. limit is the maximum of a
// port's sources; it means nothing to other kinds.
func Schema(kind Kind, step, heartbeat int, limit uint64, archives []rrdcached.Archive) (rrdcached.Schema, error) {
	schema := rrdcached.Schema{Step: step, Archives: archives}
	switch kind {
	case KindPort:
		for _, name := range portSources {
			schema.Sources = append(schema.Sources, rrdcached.Source{
				Name: name, Type: "DERIVE", Heartbeat: heartbeat, Min: 0, Max: float64(limit),
			})
		}
	case KindUptime:
		schema.Sources = []rrdcached.Source{{Name: "uptime", Type: "GAUGE", Heartbeat: heartbeat, Min: 0, Max: rrdcached.NoLimit}}
	case KindProcessor, KindMempool, KindStorage, KindSensor, KindICMP, KindPollerPerf, KindAvailability:
		for _, source := range gauges[kind] {
			source.Type, source.Heartbeat = "GAUGE", heartbeat
			schema.Sources = append(schema.Sources, source)
		}
	default:
		if file, ok := hostFile(kind); ok {
			schema.Sources = file.schema(heartbeat)
			return schema, nil
		}
		return rrdcached.Schema{}, fmt.Errorf("no file is known for measurements of kind %d", kind)
	}
	return schema, nil
}
