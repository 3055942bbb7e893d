package measurement

import (
	"strings"

	"pollux/rrdcached"
)

// HostFile is a file of what a host tells of itself, in LibreNMS's layout.
type HostFile struct {
	Kind    Kind
	Name    string // of the file, or how it begins, when it ends with "-" or "_"
	Sources []string
	form    string
	min     float64
	max     float64
}

// Maxima of counters of 32 bits, a second. LibreNMS has none, or 100,000,000,000. RRDtool takes a COUNTER that falls for one that
// wrapped: what it then adds, 14 million a second at an interval of 300 s, must lie beyond.
const (
	cpuMax = 1_000_000 // ticks
	rawMax = 10_000_000
	netMax = 10_000_000
)

// diskMax is LibreNMS's maximum of the counters of disks, a second.
const diskMax = 125_000_000_000

// hostFiles are ordered by kind, from KindUCDCPU on without a gap. The sources of netstats are the objects' names,
// cut to the 19 characters that a source's name may have: those of three of them are shorter than the objects'.
var hostFiles = [...]HostFile{
	{KindUCDCPU, "ucd_cpu", []string{"user", "system", "nice", "idle"}, "COUNTER", 0, cpuMax},
	{KindUCDRaw, "ucd_", []string{"value"}, "COUNTER", 0, rawMax},
	{KindUCDLoad, "ucd_load", []string{"1min", "5min", "15min"}, "GAUGE", 0, rrdcached.NoLimit},
	{KindUCDDiskIO, "ucd_diskio-", []string{"read", "written", "reads", "writes"}, "DERIVE", 0, diskMax},
	{KindHRProcesses, "hr_processes", []string{"procs"}, "GAUGE", 0, rrdcached.NoLimit},
	{KindHRUsers, "hr_users", []string{"users"}, "GAUGE", 0, rrdcached.NoLimit},
	{KindNetIP, "netstats-ip", []string{
		"ipForwDatagrams", "ipInDelivers", "ipInReceives", "ipOutRequests", "ipInDiscards", "ipOutDiscards", "ipOutNoRoutes",
		"ipReasmReqds", "ipReasmOKs", "ipReasmFails", "ipFragOKs", "ipFragFails", "ipFragCreates", "ipInUnknownProtos",
		"ipInHdrErrors", "ipInAddrErrors",
	}, "COUNTER", rrdcached.NoLimit, netMax},
	{KindNetICMP, "netstats-icmp", []string{
		"icmpInMsgs", "icmpOutMsgs", "icmpInErrors", "icmpOutErrors", "icmpInEchos", "icmpOutEchos", "icmpInEchoReps", "icmpOutEchoReps",
		"icmpInDestUnreachs", "icmpOutDestUnreachs", "icmpInParmProbs", "icmpInTimeExcds", "icmpInSrcQuenchs", "icmpInRedirects",
		"icmpInTimestamps", "icmpInTimestampReps", "icmpInAddrMasks", "icmpInAddrMaskReps", "icmpOutTimeExcds", "icmpOutParmProbs",
		"icmpOutSrcQuenchs", "icmpOutRedirects", "icmpOutTimestamps", "icmpOutTimestampRep", "icmpOutAddrMasks", "icmpOutAddrMaskReps",
	}, "COUNTER", rrdcached.NoLimit, netMax},
	{KindNetSNMP, "netstats-snmp", []string{
		"snmpInPkts", "snmpOutPkts", "snmpInBadVersions", "snmpInBadCommunityN", "snmpInBadCommunityU", "snmpInASNParseErrs",
		"snmpInTooBigs", "snmpInNoSuchNames", "snmpInBadValues", "snmpInReadOnlys", "snmpInGenErrs", "snmpInTotalReqVars",
		"snmpInTotalSetVars", "snmpInGetRequests", "snmpInGetNexts", "snmpInSetRequests", "snmpInGetResponses", "snmpInTraps",
		"snmpOutTooBigs", "snmpOutNoSuchNames", "snmpOutBadValues", "snmpOutGenErrs", "snmpOutGetRequests", "snmpOutGetNexts",
		"snmpOutSetRequests", "snmpOutGetResponses", "snmpOutTraps", "snmpSilentDrops", "snmpProxyDrops",
	}, "COUNTER", rrdcached.NoLimit, netMax},
	{KindNetTCP, "netstats-tcp", []string{
		"tcpActiveOpens", "tcpPassiveOpens", "tcpAttemptFails", "tcpEstabResets", "tcpInSegs", "tcpOutSegs", "tcpRetransSegs",
		"tcpInErrs", "tcpOutRsts",
	}, "COUNTER", rrdcached.NoLimit, netMax},
	{KindNetUDP, "netstats-udp", []string{"udpInDatagrams", "udpOutDatagrams", "udpInErrors", "udpNoPorts"}, "COUNTER", rrdcached.NoLimit, netMax},
}

// HostFiles are all kinds of files of hosts.
func HostFiles() []HostFile { return hostFiles[:] }

func hostFile(kind Kind) (HostFile, bool) {
	at := int(kind) - int(KindUCDCPU)
	if at < 0 || at >= len(hostFiles) {
		return HostFile{}, false
	}
	return hostFiles[at], true
}

// hostKind is the kind of a host's file by its name without generation and ending, 0 for none.
func hostKind(name string) Kind {
	var best HostFile
	for _, file := range hostFiles {
		begins := strings.HasSuffix(file.Name, "-") || strings.HasSuffix(file.Name, "_")
		if name != file.Name && (!begins || !strings.HasPrefix(name, file.Name)) {
			continue
		}
		if len(file.Name) > len(best.Name) {
			best = file
		}
	}
	return best.Kind
}

// Counters says whether the sources are counters, and not levels.
func (f HostFile) Counters() bool { return f.form != "GAUGE" }

func (f HostFile) schema(heartbeat int) []rrdcached.Source {
	sources := make([]rrdcached.Source, len(f.Sources))
	for i, name := range f.Sources {
		sources[i] = rrdcached.Source{
			Name: name, Type: f.form, Heartbeat: heartbeat, Min: f.min, Max: f.max,
		}
	}
	return sources
}

// Counters says whether the sources of a file of hosts are counters.
func (k Kind) Counters() bool {
	file, ok := hostFile(k)
	return ok && file.Counters()
}
