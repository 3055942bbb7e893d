package snmp

import (
	"strconv"
	"strings"
)

// maxArcs is the largest number of arcs in an object identifier (RFC 2578, section 3.5).
const maxArcs = 128

// OID is a numeric object identifier, dotted and without a leading dot: "1.3.6.1.2.1.1.3.0".
type OID string

// Append returns the identifier with further arcs at its end.
func (o OID) Append(arcs ...uint32) OID {
	text := make([]byte, 0, len(o)+11*len(arcs))
	text = append(text, o...)
	for _, arc := range arcs {
		if len(text) > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendUint(text, uint64(arc), 10)
	}
	return OID(text)
}

// Valid says whether the identifier can be asked for: 2 to 128 arcs of 0 to
// 4294967295 in canonical decimal, the first 0 to 2, the second at most 39
// below the first two roots (X.690, 8.19).
func (o OID) Valid() bool {
	arcs, first := 0, uint64(0)
	for rest, more := string(o), true; more; arcs++ {
		var arc string
		arc, rest, more = strings.Cut(rest, ".")
		value, ok := parseArc(arc)
		switch {
		case !ok || arcs == maxArcs:
			return false
		case arcs == 0 && value > 2:
			return false
		case arcs == 1 && (first < 2 && value > 39 || value > 1<<32-1-80):
			return false
		}
		if arcs == 0 {
			first = value
		}
	}
	return arcs >= 2
}

// parseArc reads one arc; strconv is not used because it takes signs and leading zeros.
func parseArc(arc string) (uint64, bool) {
	if arc == "" || len(arc) > 10 || arc[0] == '0' && len(arc) > 1 {
		return 0, false
	}
	value := uint64(0)
	for i := range len(arc) {
		digit := arc[i] - '0'
		if digit > 9 {
			return 0, false
		}
		value = value*10 + uint64(digit)
	}
	return value, value < 1<<32
}

// CompareIndexes orders the indexes of rows as the agent's tree does: 2 before 10.
func CompareIndexes(a, b string) int { return compareNames(a, b) }

// compareNames orders two canonical dotted names as the agent's tree does, arc
// by arc and not letter by letter: negative when a comes first, 0 when equal.
func compareNames(a, b string) int {
	same, arc := 0, 0 // bytes in common; where the arc that differs begins
	for same < len(a) && same < len(b) && a[same] == b[same] {
		if a[same] == '.' {
			arc = same + 1
		}
		same++
	}
	switch {
	case same == len(a) && same == len(b):
		return 0
	case same == len(a) && b[same] == '.':
		return -1
	case same == len(b) && a[same] == '.':
		return 1
	}
	arcA, _, _ := strings.Cut(a[arc:], ".")
	arcB, _, _ := strings.Cut(b[arc:], ".")
	if len(arcA) != len(arcB) {
		return len(arcA) - len(arcB)
	}
	return strings.Compare(arcA, arcB)
}
