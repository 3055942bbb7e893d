package settings

import (
	"fmt"
	"slices"
	"strings"
)

// What several names of LibreNMS's have in common.
const (
	withBills     = "what is in a bill is billed while a producer and a consumer run; see: pollux bill list"
	withDiscovery = "a node discovers while its consumer runs; how often is service_discovery_frequency"
	noServices    = "Pollux runs no checks of services"
	noAlerting    = "Pollux has no alert rules; what watches its metrics can have them"
	noPing        = "devices are not pinged apart from their polls, which find out whether a device answers; see " + KeyICMPCheck
	inSets        = "it is confidential: a device has its own (pollux device set HOST), and those that new devices are tried with are named (pollux credential add NAME)"
	noUpdate      = "Pollux does not update itself: install another binary"
	ofInterval    = "it is the interval of each device; that of a new one is " + KeyPollerFrequency
	noBulk        = "it is not chosen by OID: rows per request adapt to what a device answers; the most of them is " + KeySNMPMaxRepeaters + ", and SNMP v1 has none"
	noMemcached   = "there is no memcached: nodes agree by Redis, REDIS_HOST in each node's .env"
)

// elsewhere are names that LibreNMS has as settings, or that the metrics
// suggest, and that are none here, with what takes their place. Without it the
// nearest key would be guessed, which decides something else.
var elsewhere = map[string]string{
	"addhost_alwayscheckip":             "the address of a new device is always compared with those of the others",
	"billing.95th_default_agg":          "each bill says what it counts: pollux bill add NAME --direction aggregate",
	"billing.interval":                  "it is " + KeyBillingFrequency,
	"enable_billing":                    withBills,
	"distributed_poller_group":          "a node's groups are DISTRIBUTED_POLLER_GROUP in its .env, or: pollux node set NODE --groups 1,2",
	"distributed_poller_memcached_host": noMemcached,
	"distributed_poller_memcached_port": noMemcached,
	"distributed_poller_name":           "a node's name is NODE_ID in its .env",
	"rrdcached":                         "it is RRDCACHED in each node's .env",
	"rrd.heartbeat":                     "it follows from the interval of each device",
	"rrd.step":                          ofInterval,
	"service_alerting_enabled":          noAlerting,
	"service_alerting_frequency":        noAlerting,
	"service_billing_enabled":           withBills,
	"service_discovery_enabled":         withDiscovery,
	"service_health_file":               "ask /healthz and /readyz of the process, or: pollux healthcheck",
	"service_master_timeout":            "the lease of the leading producer is fixed at 12 s: it is renewed every 3 s, and after a crash another one leads within about 13 s",
	"service_ping_enabled":              noPing,
	"service_ping_frequency":            noPing,
	"service_poller_down_retry":         "it is fixed: a device that is down is asked again in each of its slots, so that its interval decides",
	"service_poller_enabled":            "a node polls while its consumer runs; to have it stop: pollux node drain NODE",
	"service_services_enabled":          noServices,
	"service_services_frequency":        noServices,
	"service_services_workers":          noServices,
	"service_update_enabled":            noUpdate,
	"service_update_frequency":          noUpdate,
	"service_watchdog_enabled":          "what restarts the process can ask its /healthz",
	"snmp.community":                    inSets,
	"snmp.v3":                           inSets,
	"ping_rrd_step":                     ofInterval,
	"poller_workers":                    "it is " + KeyPollerWorkers + "; of one node: pollux node set NODE --workers N",
	"rrd.enable":                        "what is polled is recorded; to have a device not polled: pollux device disable HOST",
	"rrdtool_tune":                      "the limit of a port's counters follows its speed: a port that gets faster than its files allow gets new ones",
	"snmp.exec_timeout":                 "no program is run for a request, which waits for " + KeySNMPTimeout + " in each of its 1 + " + KeySNMPRetries + " tries; a poll ends at 0.8 of the device's interval",
	"snmp.oids.no_bulk":                 noBulk,
	"snmp.oids.unordered":               "tables are read only as far as their names increase, and the status of a device whose names do not says so",
}

// maxSlip is how many letters a key that is typed wrong may differ in, at most.
const maxSlip = 3

// Find returns the setting of a key. The error of an unknown key names the
// nearest one, or where else the thing is decided.
func Find(key string) (Setting, error) {
	all := All()
	if i := slices.IndexFunc(all, func(s Setting) bool { return s.Key == key }); i >= 0 {
		return all[i], nil
	}
	if place, found := elsewhere[strings.ToLower(key)]; found {
		return Setting{}, fmt.Errorf("%s is no setting: %s", key, place)
	}
	// Words of another meaning are as near as a slip in a long key: only few letters may differ.
	best, distance := "", min(len(key)/4+1, maxSlip)+1
	for _, s := range all {
		// Upper case is no reason to take another key for the nearest.
		if d := editDistance(strings.ToLower(key), strings.ToLower(s.Key)); d < distance {
			best, distance = s.Key, d
		}
	}
	if best == "" {
		return Setting{}, fmt.Errorf("there is no setting %.60q; see: pollux config list", key)
	}
	return Setting{}, fmt.Errorf("there is no setting %.60q; did you mean %s?", key, best)
}

// editDistance is the Levenshtein distance of two keys, cut at 64 bytes.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
