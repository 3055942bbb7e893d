package settings

import (
	"fmt"
	"slices"
	"strings"
)

// elsewhere are names that LibreNMS has as settings and that have another place here, with that place.
var elsewhere = map[string]string{
	"distributed_poller_group": "a node's groups are DISTRIBUTED_POLLER_GROUP in its .env, or: pollux node set NODE --groups 1,2",
	"distributed_poller_name":  "a node's name is NODE_ID in its .env",
	"rrdcached":                "it is RRDCACHED in each node's .env",
	"rrd.step":                 "it is the interval of each device; that of a new one is " + KeyPollerFrequency,
	"rrd.heartbeat":            "it follows from the interval of each device",
	"snmp.community":           "it is confidential, so it is kept with each device: pollux device set HOST -c -",
	"snmp.v3":                  "it is confidential, so it is kept with each device: pollux device set HOST -3 -u NAME -A -",
}

// Find returns the setting of a key. The error of an unknown key names the
// nearest one, or where else the thing is decided.
func Find(key string) (Setting, error) {
	all := All()
	if i := slices.IndexFunc(all, func(s Setting) bool { return s.Key == key }); i >= 0 {
		return all[i], nil
	}
	if place, found := elsewhere[key]; found {
		return Setting{}, fmt.Errorf("%s is no setting: %s", key, place)
	}
	best, distance := "", len(key)/2+2
	for _, s := range all {
		// Upper case is no reason to take another key for the nearest.
		if d := editDistance(strings.ToLower(key), s.Key); d < distance {
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
