package poller

import (
	"net/netip"
	"strconv"
	"strings"

	"pollux/snmp"
)

// The values of InetAddressType (RFC 4001); AddressFamilyNumbers (IANA) begin alike.
const (
	inetV4  = 1
	inetV6  = 2
	inetV4z = 3
	inetV6z = 4
)

// maxIndexArcs is more than any index here has: an address as a text of 39 letters, and what stands before it.
const maxIndexArcs = 64

// arcsOf takes an index apart; nil for one that is longer than any that is read here.
func arcsOf(index string) []uint32 {
	if strings.Count(index, ".") >= maxIndexArcs {
		return nil
	}
	var arcs []uint32
	for text := range strings.SplitSeq(index, ".") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil
		}
		arcs = append(arcs, uint32(n))
	}
	return arcs
}

// inetAddress reads an address from an index: its type, its length and its
// octets. Some agents leave the length out (Cisco ASA, FortiSwitch), or the zone that
// a type has, or write the octets as text (Brocade).
func inetAddress(kind uint32, arcs []uint32) (netip.Addr, bool) {
	var size int
	switch kind {
	case inetV4, inetV4z:
		size = 4
	case inetV6, inetV6z:
		size = 16
	default:
		return netip.Addr{}, false
	}
	if len(arcs) > 0 && int(arcs[0]) == len(arcs)-1 && len(arcs) != size {
		arcs = arcs[1:] // the length
	}
	octets := make([]byte, len(arcs))
	for i, arc := range arcs {
		if arc > 255 {
			return netip.Addr{}, false
		}
		octets[i] = byte(arc)
	}
	switch {
	case len(octets) == size, len(octets) == size+4 && (kind == inetV4z || kind == inetV6z): // with its zone
		address, ok := netip.AddrFromSlice(octets[:size])
		return address, ok
	default:
		address, err := netip.ParseAddr(string(octets))
		return address.WithZone(""), err == nil
	}
}

// addressOf reads an address from a value: 4 or 16 octets, or a text.
func addressOf(v snmp.Value) netip.Addr {
	if raw := v.Bytes(); len(raw) == 4 || len(raw) == 16 {
		if address, ok := netip.AddrFromSlice(raw); ok && !plain(raw) {
			return address
		}
	}
	address, err := netip.ParseAddr(v.Text())
	if err != nil {
		return fromOctets(v.Bytes())
	}
	return address.WithZone("")
}

// fromOctets is an address whose octets happen to be letters, such as 65.66.67.68.
func fromOctets(raw []byte) netip.Addr {
	address, _ := netip.AddrFromSlice(raw)
	return address
}

// told says whether an address can be one of an interface that others reach.
func told(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}

// prefixOfMask is the length of a netmask, 0 for one that is none.
func prefixOfMask(v snmp.Value) int {
	mask, err := netip.ParseAddr(v.Text())
	if err != nil || !mask.Is4() {
		return 0
	}
	octets := mask.As4()
	n := uint32(octets[0])<<24 | uint32(octets[1])<<16 | uint32(octets[2])<<8 | uint32(octets[3])
	length := 0
	for ; n&(1<<31) != 0; n <<= 1 {
		length++
	}
	if n != 0 {
		return 0 // ones behind zeros
	}
	return length
}
