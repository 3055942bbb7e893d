// Package settings holds what the whole cluster shares: a typed registry of
// keys with range, default, scope and help, and the values in force.
//
// It must not know where values are kept: whoever wires the program passes a
// function that loads them. Boot settings (how to reach the database, Redis
// and RRDCached) are not here but in package config. Nothing confidential may
// become a setting: values are shown, logged and audited as they are.
package settings

import (
	"slices"
	"strings"
)

// Scope says who may have a value of its own, besides the one of the cluster.
type Scope string

// The scopes of settings.
const (
	ScopeCluster Scope = "cluster" // nobody: one value for all
	ScopeNode    Scope = "node"    // a node, whose own value wins
	ScopeDevice  Scope = "device"  // a device, whose own value wins; a new device begins with the one here
)

// Setting describes one key.
type Setting struct {
	Key      string
	Form     Form
	Default  string
	Scope    Scope
	Min, Max int64             // bounds of a FormInt
	Words    []string          // of a FormEnum, and those that a FormList may name
	Aliases  map[string]string // other spellings of words, in lower case
	Unit     string            // of a FormInt
	Help     string
}

// The keys of the settings.
const (
	KeyDistributedPoller  = "distributed_poller"
	KeyDefaultPollerGroup = "default_poller_group"
	KeyPollerWorkers      = "service_poller_workers"
	KeyPollerModules      = "poller_modules"
	KeyPollerFrequency    = "service_poller_frequency"
	KeyDiscoveryWorkers   = "service_discovery_workers"
	KeyDiscoveryFrequency = "service_discovery_frequency"
	KeyDiscoveryModules   = "discovery_modules"
	KeyDiscoveryOnReboot  = "discovery_on_reboot"
	KeySelectedPorts      = "polling.selected_ports"
	KeySkipDownPorts      = "polling.skip_down_ports"
	KeyLogLevel           = "service_loglevel"
	KeySNMPTimeout        = "snmp.timeout"
	KeySNMPRetries        = "snmp.retries"
	KeySNMPMaxRepeaters   = "snmp.max_repeaters"
	KeySNMPMaxOID         = "snmp.max_oid"
	KeySNMPVersion        = "snmp.version"
	KeySNMPPort           = "snmp.port"
	KeySNMPTransports     = "snmp.transports"
	KeyRRDArchives        = "rrd.rra"
	KeyRRDFlushWindow     = "rrd.flush_window"
	KeyRRDShards          = "rrd.shards"
	KeyEventlogPurge      = "eventlog_purge"
	KeyOutagesPurge       = "outages_purge"
	KeyNodeHistoryPurge   = "node_history_purge"
	KeyVanishedPurge      = "vanished_purge"
	KeyGroupShare         = "poller.group_share"
	KeyAddressInFlight    = "snmp.address_in_flight"
	KeyAddressGap         = "snmp.address_gap"
	KeyICMPCheck          = "icmp_check"
	KeyFpingCount         = "fping_options.count"
	KeyFpingInterval      = "fping_options.interval"
	KeyFpingTimeout       = "fping_options.timeout"
	KeyDuplicateSysName   = "allow_duplicate_sysName"
	KeyNets               = "nets"
	KeyNetsAllow          = "nets.allow"
	KeyNetsExclude        = "autodiscovery.nets-exclude"
	KeyDistributedBilling = "distributed_billing"
	KeyBillingFrequency   = "service_billing_frequency"
	KeyBillingCalculate   = "service_billing_calculate_frequency"
	KeyBillingMethod      = "billing.percentile_method"
	KeyBillingBase        = "billing.base"
	KeyBillingPurge       = "billing_data_purge"
)

// defaultArchives keeps 7 days of every step of 300 s, 30 days of half hours, 120 days of two hours and about 4 years of days.
const defaultArchives = "AVERAGE:1x2016 6x1440 24x1440 288x1440 MAX:6x1440 24x1440 288x1440"

// discoveryModules are the modules of a discovery that can be switched off, as package device names them.
const discoveryModules = "addresses,entity-physical,host,mempools,neighbours,ports,processors,sensors,storage,vlans"

// pollerModules are the modules of a poll that can be switched off, as package device names them.
const pollerModules = "availability,host,icmp,mempools,ports,processors,sensors,storage"

// defaultExclude are this host, this network, link-local, multicast and reserved addresses (RFC 6890, RFC 5771), of IPv4 and IPv6.
const defaultExclude = "0.0.0.0/8,127.0.0.0/8,169.254.0.0/16,224.0.0.0/4,240.0.0.0/4,::/127,fe80::/10,ff00::/8"

// All lists every setting, ordered by key.
func All() []Setting {
	all := slices.Concat(pollerSettings(), icmpSettings(), discoverySettings(), snmpSettings(), admissionSettings(), billingSettings(), keepSettings())
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func pollerSettings() []Setting {
	return []Setting{
		{Key: KeyDistributedPoller, Scope: ScopeCluster, Form: FormBool, Default: "false", Help: "Show poller groups, and let each node poll only the groups it is assigned to."},
		{Key: KeyDefaultPollerGroup, Scope: ScopeCluster, Form: FormInt, Default: "0", Max: 1 << 31, Help: "Poller group of a new device, and of the devices of a group that is removed. The group must exist."},
		{Key: KeyPollerWorkers, Scope: ScopeNode, Form: FormInt, Default: "100", Min: 1, Max: 10_000, Help: "Polls that one node runs at the same time."},
		{Key: KeyPollerFrequency, Scope: ScopeDevice, Form: FormInt, Default: "300", Min: 10, Max: 3600, Unit: "s", Help: "Interval of a new device."},
		{Key: KeyPollerModules, Scope: ScopeCluster, Form: FormList, Default: pollerModules, Words: strings.Split(pollerModules, ","),
			Help: "What polls measure beside the uptime. An OS definition or a device can go without some of it, not with more."},
		{Key: KeyLogLevel, Scope: ScopeNode, Form: FormEnum, Default: "info", Words: []string{"debug", "info", "warn", "error"},
			Aliases: map[string]string{"warning": "warn", "critical": "error"}, Help: "Least level that producers and consumers log. POLLUX_LOG_LEVEL of a process wins over it."},
		{Key: KeyGroupShare, Scope: ScopeCluster, Form: FormInt, Default: "75", Min: 10, Max: 100, Unit: "%", Help: "Share of a node's workers that one poller group may hold while the node serves others too."},
	}
}

// icmpSettings say how polls ask by ICMP, with LibreNMS's names and defaults of the options of fping.
func icmpSettings() []Setting {
	return []Setting{
		{Key: KeyFpingCount, Scope: ScopeCluster, Form: FormInt, Default: "3", Min: 1, Max: 20, Help: "ICMP requests of one poll. A device that answers one of them is up."},
		{Key: KeyFpingInterval, Scope: ScopeCluster, Form: FormInt, Default: "500", Min: 20, Max: 5000, Unit: "ms",
			Help: "Time between two ICMP requests of a poll. At short intervals it is less: all requests are sent within a fiftieth of the device's interval."},
		{Key: KeyFpingTimeout, Scope: ScopeCluster, Form: FormInt, Default: "500", Min: 20, Max: 10_000, Unit: "ms", Help: "How long the last ICMP request of a poll waits for its answer."},
	}
}

func discoverySettings() []Setting {
	return []Setting{
		{Key: KeyDiscoveryWorkers, Scope: ScopeCluster, Form: FormInt, Default: "16", Min: 1, Max: 1000, Help: "Discoveries that one node runs at the same time."},
		{Key: KeyDiscoveryFrequency, Scope: ScopeCluster, Form: FormInt, Default: "21600", Min: 300, Max: 2_592_000, Unit: "s", Help: "How often each device is discovered: what it runs, and what it has."},
		{Key: KeyDiscoveryModules, Scope: ScopeCluster, Form: FormList, Default: discoveryModules, Words: strings.Split(discoveryModules, ","),
			Help: "What discoveries read beside what a device runs. An OS definition or a device can go without some of it, not with more."},
		{Key: KeySelectedPorts, Scope: ScopeDevice, Form: FormEnum, Default: "auto", Words: []string{"auto", "true", "false"},
			Help: "Read the counters of the ports that are measured one by one (true) instead of whole columns (false); auto: whichever takes a device less time."},
		{Key: KeySkipDownPorts, Scope: ScopeCluster, Form: FormBool, Default: "false",
			Help: "Leave out the counters of ports that are down and were down at the last poll, where ports are read one by one. Their graphs have a gap then."},
		{Key: KeyDiscoveryOnReboot, Scope: ScopeCluster, Form: FormBool, Default: "false", Help: "Discover a device at once when a poll finds out that it has restarted."},
	}
}

func snmpSettings() []Setting {
	return []Setting{
		{Key: KeySNMPTimeout, Scope: ScopeDevice, Form: FormInt, Default: "1", Min: 1, Max: 30, Unit: "s", Help: "How long one try of an SNMP request waits for its answer."},
		{Key: KeySNMPRetries, Scope: ScopeDevice, Form: FormInt, Default: "5", Min: 0, Max: 20, Help: "Further tries of an SNMP request after the first."},
		{Key: KeySNMPMaxRepeaters, Scope: ScopeCluster, Form: FormInt, Default: "0", Min: 0, Max: 255, Help: "max-repetitions of GETBULK; 0 adapts it to the device."},
		{Key: KeySNMPMaxOID, Scope: ScopeCluster, Form: FormInt, Default: "60", Min: 2, Max: 100, Help: "Objects that one SNMP request names at most. Lower it for agents that do not answer large requests."},
		{Key: KeySNMPVersion, Scope: ScopeCluster, Form: FormList, Default: "v2c,v3,v1", Words: []string{"v1", "v2c", "v3"},
			Help: "SNMP versions that device add tries when none is named, in this order; v3 only with a v3 user."},
		{Key: KeySNMPPort, Scope: ScopeDevice, Form: FormInt, Default: "161", Min: 1, Max: 65_535, Help: "Port of the SNMP agent of a new device."},
		{Key: KeySNMPTransports, Scope: ScopeDevice, Form: FormList, Default: "udp,udp6,tcp,tcp6", Words: []string{"udp", "udp6", "tcp", "tcp6"},
			Help: "Transports that a device may be given; the first is that of a new device."},
		{Key: KeyAddressInFlight, Scope: ScopeCluster, Form: FormInt, Default: "2", Min: 1, Max: 100, Help: "Polls that run at the same time against one agent (address and port) that several devices share."},
		{Key: KeyAddressGap, Scope: ScopeCluster, Form: FormInt, Default: "0", Min: 0, Max: 60_000, Unit: "ms", Help: "Least time between two polls of one agent that several devices share."},
	}
}

// admissionSettings say which devices are let into the inventory, and where they are looked for.
func admissionSettings() []Setting {
	return []Setting{
		{Key: KeyICMPCheck, Scope: ScopeCluster, Form: FormBool, Default: "true", Help: "A device that does not answer ICMP is down, whatever it answers by SNMP; device add and discover want an answer before they try SNMP. Where this machine may send ICMP."},
		{Key: KeyDuplicateSysName, Scope: ScopeCluster, Form: FormBool, Default: "false", Help: "Let devices be added whose sysName another device has."},
		{Key: KeyNets, Scope: ScopeCluster, Form: FormNets, Help: "Networks that discover may search. Credentials are sent there to addresses that nobody named."},
		{Key: KeyNetsExclude, Scope: ScopeCluster, Form: FormNets, Default: defaultExclude,
			Help: "Networks whose addresses are never asked when they come from a device, the API or the UI, and which discover leaves out."},
		{Key: KeyNetsAllow, Scope: ScopeCluster, Form: FormNets, Help: "Exceptions of " + KeyNetsExclude + ", such as 127.0.0.0/8 for simulated devices."},
	}
}

// The words of KeyBillingMethod.
const (
	BillingNearest  = "nearest"
	BillingLibreNMS = "librenms"
)

func billingSettings() []Setting {
	return []Setting{
		{Key: KeyDistributedBilling, Scope: ScopeCluster, Form: FormBool, Default: "false",
			Help: "Let the nodes of each poller group read the counters of its billed ports. Off: one node reads all of them, whichever is alive."},
		{Key: KeyBillingFrequency, Scope: ScopeCluster, Form: FormInt, Default: "300", Min: 60, Max: 900, Unit: "s", Help: "How often the counters of billed ports are read."},
		{Key: KeyBillingCalculate, Scope: ScopeCluster, Form: FormInt, Default: "300", Min: 60, Max: 86_400, Unit: "s", Help: "How often the figures of bills are calculated."},
		{Key: KeyBillingMethod, Scope: ScopeCluster, Form: FormEnum, Default: BillingNearest, Words: []string{BillingNearest, BillingLibreNMS},
			Help: "How a 95th percentile is taken: the nearest rank, or with LibreNMS's index, which is one lower."},
		{Key: KeyBillingBase, Scope: ScopeCluster, Form: FormEnum, Default: "1000", Words: []string{"1000", "1024"}, Help: "What k, M, G and T stand for in the allowances of bills, and in what is shown of them."},
		{Key: KeyBillingPurge, Scope: ScopeCluster, Form: FormInt, Default: "13", Min: 3, Max: 240, Unit: "months", Help: "Age at which samples of billed ports are removed, in months of 31 days. The figures of closed periods stay."},
	}
}

func keepSettings() []Setting {
	return []Setting{
		{Key: KeyRRDArchives, Scope: ScopeCluster, Form: FormArchives, Default: defaultArchives, Help: "Archives of new RRD files, in steps of the file: FUNCTION:STEPSxROWS ..."},
		{Key: KeyRRDFlushWindow, Scope: ScopeCluster, Form: FormInt, Default: "3000", Min: 1, Max: 86_400, Unit: "s", Help: "How long rrdcached may hold an update in memory: the sum of its options -w, -z and -f, or more."},
		{Key: KeyRRDShards, Scope: ScopeCluster, Form: FormShards, Help: "Further RRDCached that share the devices: 1=host:42217,host:42217 2=host:42217. Shard 0 is RRDCACHED. A new device is given one of them for good; pollux rrd rebalance moves devices."},
		{Key: KeyEventlogPurge, Scope: ScopeCluster, Form: FormInt, Default: "30", Min: 1, Max: 3650, Unit: "days", Help: "Age at which events are removed."},
		{Key: KeyOutagesPurge, Scope: ScopeCluster, Form: FormInt, Default: "400", Min: 1, Max: 3650, Unit: "days", Help: "Age at which outages that are over are removed; availability over a year needs 366."},
		{Key: KeyNodeHistoryPurge, Scope: ScopeCluster, Form: FormInt, Default: "30", Min: 1, Max: 3650, Unit: "days", Help: "Age at which the history of nodes is removed."},
		{Key: KeyVanishedPurge, Scope: ScopeCluster, Form: FormInt, Default: "365", Min: 1, Max: 3650, Unit: "days", Help: "How long components, addresses, neighbours and VLANs that vanished from a device are kept; their RRD files stay."},
	}
}
