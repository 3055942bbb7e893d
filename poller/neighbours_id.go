package poller

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"strings"

	"pollux/snmp"
)

// The kinds of ids that are no text (LldpChassisIdSubtype, LldpPortIdSubtype of IEEE 802.1AB).
const (
	chassisMAC     = 4
	chassisAddress = 5
	portMAC        = 3
	portAddress    = 4
)

// splitIndex parts an index behind so many arcs; rest is empty where there are no more.
func splitIndex(index string, arcs int) (row, rest string, ok bool) {
	at := 0
	for range arcs {
		next := strings.IndexByte(index[at:], '.')
		if next < 0 {
			return index, "", false
		}
		at += next + 1
	}
	return index[:at-1], index[at:], true
}

// macText is a MAC address as agents write it when they write it at all.
var macText = regexp.MustCompile(`^([0-9A-Fa-f]{2}[:. -]?){5}[0-9A-Fa-f]{2}$`)

// identity is an id of a neighbour as text: a MAC address as "0a:1b:...", a
// network address in its usual form, else what it says; octets that are no text in hexadecimal.
func identity(v snmp.Value, isMAC, isAddress bool) string {
	raw := v.Bytes()
	switch {
	case isMAC && len(raw) == 6:
		return colons(raw)
	case isMAC && macText.Match(raw):
		digits := strings.NewReplacer(":", "", ".", "", "-", "", " ", "").Replace(string(raw))
		if octets, err := hex.DecodeString(digits); err == nil {
			return colons(octets)
		}
	case isAddress && len(raw) > 1 && (raw[0] == inetV4 || raw[0] == inetV6):
		if a, ok := netip.AddrFromSlice(raw[1:]); ok {
			return a.String()
		}
	}
	if isBinary(raw) {
		return colons(raw[:min(len(raw), maxHardwareAddress)])
	}
	return wording(v)
}

// isBinary says whether octets are no text: a control character stands among
// them, before the zeros and line ends that some agents put behind a text.
func isBinary(raw []byte) bool {
	text := strings.TrimRight(string(raw[:min(len(raw), maxText)]), "\x00\r\n\t ")
	return strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\r' && r != '\n' && r != '\t' })
}

// colons writes octets as a MAC address is written.
func colons(octets []byte) string {
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 3*len(octets))
	for i, b := range octets {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, digits[b>>4], digits[b&15])
	}
	return string(text)
}
