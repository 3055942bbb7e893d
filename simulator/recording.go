package simulator

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxLine      = 1 << 20
	maxObjects   = 1 << 20
	maxRecording = 64 << 20 // bytes of a file that are read
)

// recording is a recorded device: all its VarBinds, encoded and sorted, in one
// piece of memory, since there may be two million of them.
type recording struct {
	bindings []byte
	starts   []uint32 // of each VarBind in bindings; one more at the end
	growing  map[int]growth
}

// row is one line of a recording.
type row struct {
	oid, value []byte
	grows      *growth // nil for a value that stays
}

// readRecording reads the lines OID|tag|value of a .snmprec file. Lines that
// are none of these, or whose value is not of the tag's type, are left out and counted.
func readRecording(r io.Reader) (*recording, int, error) {
	in := bufio.NewScanner(io.LimitReader(r, maxRecording))
	in.Buffer(make([]byte, 0, 1<<16), maxLine)
	var rows []row
	skipped := 0
	for in.Scan() {
		line := bytes.TrimSuffix(in.Bytes(), []byte("\r"))
		if len(line) == 0 {
			continue
		}
		row, ok := parseRow(string(line))
		if !ok {
			skipped++
			continue
		}
		if len(rows) == maxObjects {
			return nil, skipped, fmt.Errorf("more than %d objects", maxObjects)
		}
		rows = append(rows, row)
	}
	if err := in.Err(); err != nil {
		return nil, skipped, fmt.Errorf("read lines: %w", err)
	}
	return pack(rows), skipped, nil
}

// pack sorts the rows; of those with the same OID the last one stays.
func pack(rows []row) *recording {
	slices.SortStableFunc(rows, func(a, b row) int { return compareOID(a.oid, b.oid) })
	r := &recording{starts: make([]uint32, 0, len(rows)+1), growing: make(map[int]growth)}
	for i, row := range rows {
		if i+1 < len(rows) && bytes.Equal(row.oid, rows[i+1].oid) {
			continue
		}
		r.starts = append(r.starts, uint32(len(r.bindings)))
		r.bindings = appendBinding(r.bindings, row.oid, row.value)
		if row.grows != nil {
			r.growing[len(r.starts)-1] = *row.grows
		}
	}
	r.starts = append(r.starts, uint32(len(r.bindings)))
	r.bindings = slices.Clip(r.bindings)
	return r
}

func parseRow(line string) (row, bool) {
	name, rest, found := strings.Cut(line, "|")
	tag, value, found2 := strings.Cut(rest, "|")
	if !found || !found2 {
		return row{}, false
	}
	oid, ok := appendOID(nil, strings.TrimSpace(name))
	if !ok {
		return row{}, false
	}
	if kind, ok := strings.CutSuffix(tag, "r"); ok {
		g, ok := parseGrowth(kind, value)
		return row{oid: oid, value: g.value(0), grows: &g}, ok
	}
	encoded, ok := parseValue(tag, value)
	return row{oid: oid, value: encoded}, ok
}

// parseValue encodes a value by its tag: a number, then x for hexadecimal
// digits (LibreNMS has xx too, which means the same) or e for backslash escapes.
func parseValue(tag, value string) ([]byte, bool) {
	number, err := strconv.ParseUint(strings.TrimRight(tag, "xe"), 10, 8)
	if err != nil {
		return nil, false
	}
	content, decoded := []byte(value), false
	switch {
	case strings.HasSuffix(tag, "x"):
		if content, err = hex.DecodeString(hexDigits(value)); err != nil {
			return nil, false
		}
		decoded = true
	case strings.HasSuffix(tag, "e"):
		content, decoded = unescape(value), true
	}
	switch number {
	case tagOctetString, tagOpaque:
		return appendBytes(nil, byte(number), content), true
	case tagNull:
		return []byte{tagNull, 0}, true
	case tagOID:
		return parseOIDValue(strings.TrimSpace(string(content)))
	case tagIPAddress:
		return parseAddress(content, decoded)
	default:
		return parseNumber(byte(number), strings.TrimSpace(string(content)))
	}
}

// parseOIDValue also takes what recorded agents are known to give: a dot at the end, or one number alone.
func parseOIDValue(text string) ([]byte, bool) {
	text = strings.TrimSuffix(text, ".")
	if !strings.Contains(strings.TrimPrefix(text, "."), ".") {
		text += ".0"
	}
	oid, ok := appendOID(nil, text)
	return appendBytes(nil, tagOID, oid), ok
}

// parseAddress takes an IpAddress as four bytes if it was hexadecimal or escaped, else in dotted digits.
func parseAddress(content []byte, decoded bool) ([]byte, bool) {
	if !decoded {
		address, err := netip.ParseAddr(strings.TrimSpace(string(content)))
		if err != nil || !address.Is4() {
			return nil, false
		}
		content = address.AsSlice()
	}
	return appendBytes(nil, tagIPAddress, content), len(content) == 4
}

// parseNumber wraps a number to the type's width, as recorded agents are known to exceed it.
func parseNumber(tag byte, text string) ([]byte, bool) {
	signed, err := strconv.ParseInt(text, 10, 64)
	number := uint64(signed)
	if err != nil {
		if number, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, false
		}
	}
	switch tag {
	case tagInteger:
		return appendInteger(nil, int64(int32(number))), true
	case tagCounter32, tagGauge32, tagTimeTicks:
		return appendUnsigned(nil, tag, uint64(uint32(number))), true
	case tagCounter64:
		return appendUnsigned(nil, tag, number), true
	}
	return nil, false
}

// hexDigits takes out what people put between hexadecimal bytes.
func hexDigits(s string) string {
	return strings.NewReplacer(" ", "", ":", "", "-", "").Replace(strings.TrimPrefix(strings.TrimSpace(s), "0x"))
}

// unescape undoes the backslash escapes of a Python string literal, which is
// how snmpsim writes tag e. What is no escape stays as it is.
func unescape(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		if at := strings.IndexByte(`\'"abfnrtv`, s[i]); at >= 0 {
			out = append(out, "\\'\"\a\b\f\n\r\t\v"[at])
			continue
		}
		digits, base := 2, 16
		start := i + 1
		if s[i] >= '0' && s[i] <= '7' {
			start, digits, base = i, 3, 8
		} else if s[i] != 'x' {
			out = append(out, '\\', s[i])
			continue
		}
		end := start
		for end < len(s) && end < start+digits && isDigit(s[end], base) {
			end++
		}
		value, err := strconv.ParseUint(s[start:end], base, 8)
		if err != nil {
			out = append(out, '\\', s[i])
			continue
		}
		out = append(out, byte(value))
		i = end - 1
	}
	return out
}

func isDigit(c byte, base int) bool {
	if base == 8 {
		return c >= '0' && c <= '7'
	}
	return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0
}

func (r *recording) size() int { return len(r.starts) - 1 }

func (r *recording) binding(i int) []byte { return r.bindings[r.starts[i]:r.starts[i+1]] }

// split takes a VarBind of our own making apart.
func (r *recording) split(i int) (oid, value []byte) {
	_, inner, _, _ := readTLV(r.binding(i))
	_, oid, value, _ = readTLV(inner)
	return oid, value
}

func (r *recording) oid(i int) []byte {
	oid, _ := r.split(i)
	return oid
}

func (r *recording) wide(i int) bool {
	_, value := r.split(i)
	return value[0] == tagCounter64
}

func (r *recording) pastWide(i int) int { return i + 1 }

// sameType takes all but the last subidentifier for the object type's name, as a recording does not say more.
func (r *recording) sameType(i int, oid []byte) bool {
	own := r.oid(i)
	end := max(0, len(own)-1)
	for end > 0 && own[end-1] >= 0x80 {
		end--
	}
	return end > 0 && len(oid) >= end && string(oid[:end]) == string(own[:end])
}

func (r *recording) appendObject(dst []byte, i int, m *moment) []byte {
	if g, ok := r.growing[i]; ok {
		return appendBinding(dst, r.oid(i), g.value(m.now))
	}
	return append(dst, r.binding(i)...)
}

// weight is the memory that the recording takes, in bytes.
func (r *recording) weight() int { return cap(r.bindings) + 4*cap(r.starts) + 64*len(r.growing) }
