// Package settings holds what the whole cluster shares: a typed registry of
// keys with range, default and help, and the values in force.
//
// It must not know where values are kept: whoever wires the program passes a
// function that loads them. Boot settings (how to reach the database, Redis
// and RRDCached) are not here but in package config.
package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pollux/rrdcached"
)

// Form is the type of a setting's value.
type Form string

// The forms of values.
const (
	FormBool     Form = "bool"     // true or false
	FormInt      Form = "int"      // a whole number between Min and Max
	FormArchives Form = "archives" // round robin archives: "AVERAGE:1x2016 6x1440 MAX:6x1440"
)

// Setting describes one key.
type Setting struct {
	Key      string
	Form     Form
	Default  string
	Min, Max int64 // bounds of a FormInt
	Unit     string
	Help     string
}

// The keys of the settings.
const (
	KeyDistributedPoller  = "distributed_poller"
	KeyDefaultPollerGroup = "default_poller_group"
	KeyPollerWorkers      = "service_poller_workers"
	KeyPollerFrequency    = "service_poller_frequency"
	KeySNMPTimeout        = "snmp.timeout"
	KeySNMPRetries        = "snmp.retries"
	KeySNMPMaxRepeaters   = "snmp.max_repeaters"
	KeyRRDArchives        = "rrd.rra"
	KeyRRDFlushWindow     = "rrd.flush_window"
	KeyEventlogPurge      = "eventlog_purge"
	KeyOutagesPurge       = "outages_purge"
	KeyNodeHistoryPurge   = "node_history_purge"
	KeyGroupShare         = "poller.group_share"
	KeyAddressInFlight    = "snmp.address_in_flight"
	KeyAddressGap         = "snmp.address_gap"
)

// defaultArchives keeps 7 days of every step of 300 s, 30 days of half hours, 120 days of two hours and about 4 years of days.
const defaultArchives = "AVERAGE:1x2016 6x1440 24x1440 288x1440 MAX:6x1440 24x1440 288x1440"

// All lists every setting, ordered by key.
func All() []Setting {
	all := []Setting{
		{Key: KeyDistributedPoller, Form: FormBool, Default: "false", Help: "Show poller groups, and let each node poll only the groups it is assigned to."},
		{Key: KeyDefaultPollerGroup, Form: FormInt, Default: "0", Max: 1 << 31, Help: "Poller group of a new device."},
		{Key: KeyPollerWorkers, Form: FormInt, Default: "100", Min: 1, Max: 10_000, Help: "Polls that one node runs at the same time."},
		{Key: KeyPollerFrequency, Form: FormInt, Default: "300", Min: 10, Max: 3600, Unit: "s", Help: "Interval of a new device."},
		{Key: KeySNMPTimeout, Form: FormInt, Default: "1", Min: 1, Max: 30, Unit: "s", Help: "How long one try of an SNMP request waits for its answer."},
		{Key: KeySNMPRetries, Form: FormInt, Default: "5", Min: 0, Max: 20, Help: "Further tries of an SNMP request after the first."},
		{Key: KeySNMPMaxRepeaters, Form: FormInt, Default: "0", Min: 0, Max: 255, Help: "max-repetitions of GETBULK; 0 adapts it to the device."},
		{Key: KeyRRDArchives, Form: FormArchives, Default: defaultArchives, Help: "Archives of new RRD files, in steps of the file: FUNCTION:STEPSxROWS ..."},
		{Key: KeyRRDFlushWindow, Form: FormInt, Default: "3000", Min: 1, Max: 86_400, Unit: "s", Help: "How long rrdcached may hold an update in memory: the sum of its options -w, -z and -f, or more."},
		{Key: KeyEventlogPurge, Form: FormInt, Default: "30", Min: 1, Max: 3650, Unit: "days", Help: "Age at which events are removed."},
		{Key: KeyOutagesPurge, Form: FormInt, Default: "400", Min: 1, Max: 3650, Unit: "days", Help: "Age at which outages that are over are removed; availability over a year needs 366."},
		{Key: KeyNodeHistoryPurge, Form: FormInt, Default: "30", Min: 1, Max: 3650, Unit: "days", Help: "Age at which the history of nodes is removed."},
		{Key: KeyGroupShare, Form: FormInt, Default: "75", Min: 10, Max: 100, Unit: "%", Help: "Share of a node's workers that one poller group may hold while the node serves others too."},
		{Key: KeyAddressInFlight, Form: FormInt, Default: "2", Min: 1, Max: 100, Help: "Polls that run at the same time against one agent (address and port) that several devices share."},
		{Key: KeyAddressGap, Form: FormInt, Default: "0", Min: 0, Max: 60_000, Unit: "ms", Help: "Least time between two polls of one agent that several devices share."},
	}
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// Find returns the setting of a key. The error of an unknown key names the nearest one.
func Find(key string) (Setting, error) {
	all := All()
	if i := slices.IndexFunc(all, func(s Setting) bool { return s.Key == key }); i >= 0 {
		return all[i], nil
	}
	best, distance := "", len(key)/2+2
	for _, s := range all {
		if d := editDistance(key, s.Key); d < distance {
			best, distance = s.Key, d
		}
	}
	if best == "" {
		return Setting{}, fmt.Errorf("there is no setting %.60q; see: pollux config list", key)
	}
	return Setting{}, fmt.Errorf("there is no setting %.60q; did you mean %s?", key, best)
}

// Check says whether a value may be stored for the setting.
func (s Setting) Check(value string) error {
	switch s.Form {
	case FormBool:
		if value != "true" && value != "false" {
			return fmt.Errorf("%s is true or false, not %.60q", s.Key, value)
		}
	case FormInt:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != value || n < s.Min || n > s.Max {
			return fmt.Errorf("%s is a whole number from %d to %d, not %.60q", s.Key, s.Min, s.Max, value)
		}
	case FormArchives:
		if _, err := rrdcached.ParseArchives(value); err != nil {
			return fmt.Errorf("%s: %w", s.Key, err)
		}
	}
	return nil
}

// editDistance is the Levenshtein distance of two keys, cut at 64 characters.
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
