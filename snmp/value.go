package snmp

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/gosnmp/gosnmp"
)

// Type is the SNMP type of a value; the numbers are the ASN.1 tags (RFC 2578, RFC 3416).
type Type uint8

// The types that a value can have. TypeNone stands for everything that is not a
// value: NULL, an unknown tag, or no answer.
const (
	TypeNone           Type = 0
	TypeInteger        Type = 0x02
	TypeOctetString    Type = 0x04
	TypeOID            Type = 0x06
	TypeIPAddress      Type = 0x40
	TypeCounter32      Type = 0x41
	TypeGauge32        Type = 0x42 // also Unsigned32
	TypeTimeTicks      Type = 0x43 // hundredths of a second
	TypeOpaque         Type = 0x44
	TypeCounter64      Type = 0x46
	TypeFloat          Type = 0x78 // 32 bits inside Opaque, as net-snmp sends it
	TypeDouble         Type = 0x79 // 64 bits inside Opaque
	TypeNoSuchObject   Type = 0x80
	TypeNoSuchInstance Type = 0x81
	TypeEndOfMibView   Type = 0x82
)

// maxText is the length in bytes at which Text is cut.
const maxText = 1024

// Value is one typed value of an agent. The zero Value does not exist. It
// refers to the reply it came in, which may be far larger: keep what Kept, Text, Uint, ...
// return rather than the Value itself when it is to stay for long.
type Value struct {
	_      [0]func() // not comparable: octets may be inside
	number uint64    // numbers: two's complement for Integer, the bits of a double for floats
	other  any       // []byte or string
	kind   Type
}

// Variable is one answered object: its name, its value and when it was read.
type Variable struct {
	OID   OID
	Value Value
	At    time.Time // middle between sending and receiving its PDU, with the monotonic clock
}

// newValue takes over what the decoder made of one variable binding.
func newValue(v *gosnmp.SnmpPDU) Value {
	kind := Type(v.Type)
	switch value := v.Value.(type) {
	case int:
		return Value{kind: kind, number: uint64(value)}
	case uint:
		return Value{kind: kind, number: uint64(value)}
	case uint32:
		if v.Type == gosnmp.Uinteger32 {
			kind = TypeGauge32
		}
		return Value{kind: kind, number: uint64(value)}
	case uint64:
		return Value{kind: kind, number: value}
	case float32:
		return Value{kind: kind, number: math.Float64bits(float64(value))}
	case float64:
		return Value{kind: kind, number: math.Float64bits(value)}
	case []byte, string:
		return Value{kind: kind, other: v.Value}
	}
	if kind == TypeNoSuchObject || kind == TypeNoSuchInstance || kind == TypeEndOfMibView {
		return Value{kind: kind}
	}
	return Value{}
}

// Kept returns the value without the reply it came in.
func (v Value) Kept() Value {
	if octets, ok := v.other.([]byte); ok {
		v.other = bytes.Clone(octets)
	}
	return v
}

// Type returns the SNMP type; NULL and unknown tags are TypeNone.
func (v Value) Type() Type { return v.kind }

// Exists is false for noSuchObject, noSuchInstance, endOfMibView, NULL and tags that nobody knows.
func (v Value) Exists() bool {
	return v.kind != TypeNone && v.kind < TypeNoSuchObject
}

// Uint returns a whole number that is not negative. It is false for other
// types, and for a 32-bit type whose number does not fit into 32 bits.
func (v Value) Uint() (uint64, bool) {
	switch v.kind {
	case TypeInteger:
		return v.number, int64(v.number) >= 0
	case TypeCounter32, TypeGauge32, TypeTimeTicks:
		return v.number, v.number <= math.MaxUint32
	case TypeCounter64:
		return v.number, true
	}
	return 0, false
}

// Int returns a whole number; false for other types and for what does not fit.
func (v Value) Int() (int64, bool) {
	if v.kind == TypeInteger {
		return int64(v.number), true
	}
	number, ok := v.Uint()
	return int64(number), ok && number <= math.MaxInt64
}

// Number returns a number of any type, floats of net-snmp included; false for
// other types and for a 32-bit type whose number does not fit into 32 bits. A
// float may be infinite or no number at all.
func (v Value) Number() (float64, bool) {
	switch v.kind {
	case TypeFloat, TypeDouble:
		return math.Float64frombits(v.number), true
	case TypeInteger:
		return float64(int64(v.number)), true
	}
	n, ok := v.Uint()
	return float64(n), ok
}

// Bytes returns the octets of an OCTET STRING or Opaque as they came (RFC 2578,
// section 7.1.2), such as ifPhysAddress; nil for other types. Do not change them.
func (v Value) Bytes() []byte {
	octets, _ := v.other.([]byte)
	return octets
}

// OID returns the value of an OBJECT IDENTIFIER, such as sysObjectID.
func (v Value) OID() (OID, bool) {
	if v.kind != TypeOID {
		return "", false
	}
	name, _ := v.other.(string)
	return trimDot(name), name != ""
}

// Text returns the value as text that is safe to store and to show: valid
// UTF-8, without control or bidirectional formatting characters, trimmed, at
// most 1024 bytes. Numbers are decimal, addresses and OIDs dotted; what does
// not exist is "". It still has to be escaped where it is shown.
func (v Value) Text() string {
	switch v.kind {
	case TypeInteger:
		return strconv.FormatInt(int64(v.number), 10)
	case TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return strconv.FormatUint(v.number, 10)
	case TypeFloat:
		return strconv.FormatFloat(math.Float64frombits(v.number), 'g', -1, 32)
	case TypeDouble:
		return strconv.FormatFloat(math.Float64frombits(v.number), 'g', -1, 64)
	case TypeOID:
		name, _ := v.OID()
		return string(name)
	case TypeIPAddress:
		address, _ := v.other.(string)
		return address
	}
	octets := v.Bytes()
	// Cut before converting: a hostile 64 KB text costs no more than a short one.
	return cleanText(string(octets[:min(len(octets), 4*maxText)]), maxText)
}

// trimDot turns the decoder's ".1.3.6" into an OID without copying.
func trimDot(name string) OID {
	if name != "" && name[0] == '.' {
		name = name[1:]
	}
	return OID(name)
}
