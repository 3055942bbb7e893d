package snmp

import (
	"math/bits"
	"strings"
)

// VariableSize is how many bytes an object and its value take in a message by
// the basic encoding rules (X.690, RFC 3416), without waste: an agent may need more.
func VariableSize(oid OID, v Value) int {
	return element(element(nameSize(string(oid))) + element(v.size()))
}

// element is an element with its tag and its length.
func element(content int) int {
	switch {
	case content < 128:
		return 2 + content
	case content < 256:
		return 3 + content
	default:
		return 4 + content
	}
}

// nameSize is the content of an object identifier: seven bits of an arc to a
// byte, and the first two arcs are one.
func nameSize(name string) int {
	size, first := 0, true
	for rest, more := name, true; more; {
		var arc string
		arc, rest, more = strings.Cut(rest, ".")
		if value, _ := parseArc(arc); first {
			first = false
		} else {
			size += max(1, (bits.Len64(value)+6)/7)
		}
	}
	return size
}

// size is the content of a value.
func (v Value) size() int {
	switch v.kind {
	case TypeInteger:
		n := int64(v.number)
		if n < 0 {
			n = ^n
		}
		return bits.Len64(uint64(n))/8 + 1
	case TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return bits.Len64(v.number)/8 + 1
	case TypeIPAddress:
		return 4
	case TypeFloat:
		return 7 // an Opaque around a tag of two bytes, a length and 32 bits
	case TypeDouble:
		return 11
	case TypeOID:
		name, _ := v.OID()
		return nameSize(string(name))
	}
	return len(v.Bytes())
}
