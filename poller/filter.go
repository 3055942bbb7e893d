package poller

import (
	"regexp"
	"strings"

	"pollux/device"
	"pollux/poller/definitions"
)

// operNotPresent is the ifOperStatus of a port whose hardware is missing (RFC 2863).
const operNotPresent = 6

// Rows that are no ports by LibreNMS's default configuration: its words in
// ifDescr (without case), its patterns, and its words in the name of ifType.
var (
	badDescr = []string{
		"voip-null", "virtual-", "unrouted", "eobc", "lp0", "-atm", "faith0", "container", "async", "plip", "-physical",
		"bluetooth", "isatap", "ras", "qos", "span rp", "span sp", "sslvpn", "pppoe-", "irtual",
	}
	// goodDescr is a product's name at the front of each ifDescr of Extreme's VSP switches; it holds a bad word.
	goodDescr       = "virtual services platform"
	badDescrPattern = regexp.MustCompile(`^(ng[0-9]+$|sl[0-9])`)
	badType         = []string{
		"voiceencap", "voicefxo", "voicefxs", "voiceoveratm", "voiceoverframerelay", "voiceoverip", "ds0", "ds1", "ds3",
		"sonet", "atmsubinterface", "aal5", "mpls",
	}
)

// isPort says whether a row becomes a port. known is the inventory's port that
// the row is, when its texts were not read again: it has passed the usual filters
// before, but perhaps not the rules of the OS, which may be known since. They are nil for none.
func (r *row) isPort(known *device.PortState, rules *definitions.Ports) bool {
	if r.number(fieldOperStatus) == operNotPresent || r.hidden {
		return false
	}
	if known != nil {
		return !rules.Skips(strings.ToLower(known.IfDescr), known.IfName, known.IfType)
	}
	descr := strings.ToLower(r.text(fieldDescr))
	if descr == "" {
		// Unlike LibreNMS's default: FortiGate, ZTE and others leave ifDescr empty where ifName says it all (RFC 2863).
		descr = strings.ToLower(r.text(fieldName))
	}
	if descr == "" {
		return false
	}
	if !strings.Contains(descr, goodDescr) && (badDescrPattern.MatchString(descr) || containsAny(descr, badDescr)) {
		return false
	}
	kind := r.typeName()
	return !containsAny(strings.ToLower(kind), badType) && !rules.Skips(descr, r.text(fieldName), kind)
}

// typeName is the name of a row's type.
func (r *row) typeName() string {
	if r.kind != "" {
		return r.kind
	}
	return ifType(r.number(fieldType))
}

func containsAny(s string, words []string) bool {
	for _, word := range words {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}
