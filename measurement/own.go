package measurement

import (
	"regexp"
	"strconv"
	"strings"
)

// OwnName is the name of a file of what is known of a device without its help, without generation and
// ending: "icmp-perf", "poller-perf", "poller-perf-ports", "availability-86400". of is the module, "" for the whole poll,
// or the seconds that an availability is about.
func OwnName(kind Kind, of string) string {
	switch {
	case kind == KindICMP:
		return "icmp-perf"
	case kind == KindAvailability:
		return "availability-" + of
	case of == "":
		return "poller-perf"
	default:
		return "poller-perf-" + of
	}
}

// ownFile are the names that OwnName gives, with generation and ending.
var ownFile = regexp.MustCompile(`^(icmp-perf|poller-perf(?:-[a-z-]{1,40})?|availability-[1-9][0-9]{0,9})(?:-g([1-9][0-9]{0,8}))?\.rrd$`)

func parseOwn(file string) (kind Kind, generation int, ours bool) {
	match := ownFile.FindStringSubmatch(file)
	if match == nil {
		return 0, 0, false
	}
	if match[2] != "" {
		generation, _ = strconv.Atoi(match[2]) // the pattern lets no other text through
	}
	switch {
	case strings.HasPrefix(match[1], "icmp"):
		return KindICMP, generation, true
	case strings.HasPrefix(match[1], "poller"):
		return KindPollerPerf, generation, true
	default:
		return KindAvailability, generation, true
	}
}
