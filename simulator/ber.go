package simulator

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Tags of ASN.1 and SNMP (RFC 3416, RFC 2578, RFC 3412).
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagNull        = 0x05
	tagOID         = 0x06
	tagSequence    = 0x30
	tagIPAddress   = 0x40
	tagCounter32   = 0x41
	tagGauge32     = 0x42
	tagTimeTicks   = 0x43
	tagOpaque      = 0x44
	tagCounter64   = 0x46

	tagNoSuchObject   = 0x80
	tagNoSuchInstance = 0x81
	tagEndOfMibView   = 0x82

	pduGet      = 0xa0
	pduGetNext  = 0xa1
	pduResponse = 0xa2
	pduSet      = 0xa3
	pduGetBulk  = 0xa5
	pduReport   = 0xa8
)

// maxSubidentifiers is the longest OID of SMIv2 (RFC 2578 section 3.5).
const maxSubidentifiers = 128

// readTLV takes one BER element off b. Only definite lengths and one-byte tags occur in SNMP (RFC 3417 section 8).
func readTLV(b []byte) (tag byte, content, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	length, head := int(b[1]), 2
	if length >= 0x80 {
		n := length & 0x7f
		if n == 0 || n > 4 || len(b) < 2+n {
			return 0, nil, nil, false
		}
		length = 0
		for _, c := range b[2 : 2+n] {
			length = length<<8 | int(c)
		}
		head += n
	}
	if length > len(b)-head {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+length], b[head+length:], true
}

// readExpected is readTLV for an element that must have a certain tag.
func readExpected(b []byte, want byte) (content, rest []byte, ok bool) {
	tag, content, rest, ok := readTLV(b)
	return content, rest, ok && tag == want
}

// readInteger takes an INTEGER of 1 to 4 bytes, or of 5 with a leading zero, off b.
func readInteger(b []byte) (value int64, rest []byte, ok bool) {
	content, rest, ok := readExpected(b, tagInteger)
	if !ok || len(content) == 0 || len(content) > 5 || len(content) == 5 && content[0] != 0 {
		return 0, nil, false
	}
	value = int64(int8(content[0]))
	for _, c := range content[1:] {
		value = value<<8 | int64(c)
	}
	return value, rest, true
}

// validOID says whether b is the content of an OBJECT IDENTIFIER in its one
// canonical form, which compareOID rests on. The empty one is let pass, as net-snmp does.
func validOID(b []byte) bool {
	var value uint64
	count, first := 0, true
	for _, c := range b {
		if first && c == 0x80 {
			return false
		}
		value = value<<7 | uint64(c&0x7f)
		if value > math.MaxUint32+80 {
			return false
		}
		if first = c < 0x80; first {
			count++
			value = 0
		}
	}
	return first && count < maxSubidentifiers
}

// compareOID orders the contents of two valid OBJECT IDENTIFIERs as their
// subidentifiers are ordered, without decoding them: at the first difference the
// longer subidentifier is the greater one.
func compareOID(a, b []byte) int {
	i, n := 0, min(len(a), len(b))
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	different := int(a[i]) - int(b[i])
	for i > 0 && a[i-1] >= 0x80 {
		i--
	}
	if d := subidentifierLength(a[i:]) - subidentifierLength(b[i:]); d != 0 {
		return d
	}
	return different
}

func subidentifierLength(b []byte) int {
	for i, c := range b {
		if c < 0x80 {
			return i + 1
		}
	}
	return len(b)
}

// appendOID appends the content of the OBJECT IDENTIFIER that text names in
// dotted digits, with or without a leading dot; ok is false for any other text.
func appendOID(dst []byte, text string) (out []byte, ok bool) {
	parts := strings.Split(strings.TrimPrefix(text, "."), ".")
	if len(parts) < 2 || len(parts) > maxSubidentifiers {
		return dst, false
	}
	var first uint64
	for i, part := range parts {
		value, err := strconv.ParseUint(part, 10, 32)
		if err != nil || i == 0 && value > 2 || i == 1 && first < 2 && value > 39 {
			return dst, false
		}
		switch i {
		case 0:
			first = value
		case 1:
			dst = appendSubidentifier(dst, first*40+value)
		default:
			dst = appendSubidentifier(dst, value)
		}
	}
	return dst, true
}

func appendSubidentifier(dst []byte, value uint64) []byte {
	for shift := (max(bits.Len64(value), 1) - 1) / 7 * 7; shift > 0; shift -= 7 {
		dst = append(dst, byte(value>>shift)|0x80)
	}
	return append(dst, byte(value)&0x7f)
}

// appendHeader appends a tag and the shortest form of a length.
func appendHeader(dst []byte, tag byte, length int) []byte {
	switch {
	case length < 0x80:
		return append(dst, tag, byte(length))
	case length < 0x100:
		return append(dst, tag, 0x81, byte(length))
	case length < 0x10000:
		return append(dst, tag, 0x82, byte(length>>8), byte(length))
	default:
		return append(dst, tag, 0x83, byte(length>>16), byte(length>>8), byte(length))
	}
}

func appendBytes(dst []byte, tag byte, content []byte) []byte {
	return append(appendHeader(dst, tag, len(content)), content...)
}

// appendUnsigned appends a Counter32, Gauge32, TimeTicks or Counter64.
func appendUnsigned(dst []byte, tag byte, value uint64) []byte {
	n := bits.Len64(value)/8 + 1
	dst = append(dst, tag, byte(n))
	if n == 9 {
		dst = append(dst, 0)
		n--
	}
	for shift := (n - 1) * 8; shift >= 0; shift -= 8 {
		dst = append(dst, byte(value>>shift))
	}
	return dst
}

func appendInteger(dst []byte, value int64) []byte {
	n := integerLength(value)
	dst = append(dst, tagInteger, byte(n))
	for shift := (n - 1) * 8; shift >= 0; shift -= 8 {
		dst = append(dst, byte(value>>shift))
	}
	return dst
}

// integerLength is the number of bytes that an INTEGER's content needs.
func integerLength(value int64) int {
	if value < 0 {
		value = ^value
	}
	return bits.Len64(uint64(value))/8 + 1
}

// appendBinding appends a whole VarBind of an OID's content and an encoded value.
func appendBinding(dst, oid, value []byte) []byte {
	inner := len(oid) + len(value) + 2
	if len(oid) >= 0x80 {
		inner += 1 + (bits.Len(uint(len(oid)))-1)/8
	}
	dst = appendHeader(dst, tagSequence, inner)
	dst = appendBytes(dst, tagOID, oid)
	return append(dst, value...)
}

// backward writes a message from its end to its start, so that every length is
// known when it is written. buf[start:] is what there is already.
type backward struct {
	buf   []byte
	start int
	end   int
}

func (w *backward) header(tag byte, length int) {
	var head [6]byte
	w.raw(appendHeader(head[:0], tag, length))
}

func (w *backward) raw(b []byte) {
	w.start -= len(b)
	copy(w.buf[w.start:], b)
}

func (w *backward) bytes(tag byte, content []byte) {
	w.raw(content)
	w.header(tag, len(content))
}

func (w *backward) integer(value int64) {
	var element [12]byte
	w.raw(appendInteger(element[:0], value))
}

// wrap puts a header before all that was written so far.
func (w *backward) wrap(tag byte) { w.header(tag, w.end-w.start) }
