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

// Valid says whether this program knows the kind.
func (k Kind) Valid() bool { return k == KindPort || k == KindUptime }

// Sources are the names of a kind's sources in the order of their values.
func (k Kind) Sources() []string {
	switch k {
	case KindPort:
		return portSources[:]
	case KindUptime:
		return []string{"uptime"}
	default:
		return nil
	}
}

// Path is where the values of a kind and instance are filed, relative to the
// base of the RRD tree: "sw1/port-id7.rrd", and "sw1/port-id7-g2.rrd" for generation 2.
func Path(dir string, kind Kind, instance int64, generation int) string {
	var name string
	switch kind {
	case KindPort:
		name = "port-id" + strconv.FormatInt(instance, 10)
	default:
		name = "uptime"
	}
	if generation > 0 {
		name += "-g" + strconv.Itoa(generation)
	}
	return dir + "/" + name + ".rrd"
}

// fileName are the names that Path gives, without their directory.
var fileName = regexp.MustCompile(`^(?:port-id([1-9][0-9]{0,17})|uptime)(?:-g([1-9][0-9]{0,8}))?\.rrd$`)

// ParseName says which file of a device has this name, and false for one that Path never gives.
func ParseName(name string) (kind Kind, instance int64, generation int, ours bool) {
	match := fileName.FindStringSubmatch(name)
	if match == nil {
		return 0, 0, 0, false
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
	default:
		return rrdcached.Schema{}, fmt.Errorf("no file is known for measurements of kind %d", kind)
	}
	return schema, nil
}
