package definitions

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"

	"pollux/snmp"
)

// Row is one row of an entry's table: its index behind the OID of a column, and
// what was read, by name of the column.
type Row struct {
	Index  string
	Values map[string]snmp.Value
	// Value is the name of the column that "value" means in conditions.
	Value string
}

// get is the value of a column; "value" is that of the entry.
func (r Row) get(name string) (snmp.Value, bool) {
	v, ok := r.Values[name]
	if !ok && name == "value" && r.Value != "" {
		v, ok = r.Values[r.Value]
	}
	return v, ok && v.Exists()
}

// Text is the value of a column as clean text, "" when it is not there.
func (r Row) Text(name string) string {
	if name == "index" {
		return r.Index
	}
	v, ok := r.get(name)
	if !ok {
		return ""
	}
	return strings.TrimSpace(v.Text())
}

// Number is the value of a column as a number: the first one in a text, or the
// group of pattern. It is false when there is none, or none that is finite.
func (r Row) Number(name string, pattern Regexp, base16 bool) (float64, bool) {
	if name == "index" {
		return parseNumber(r.Index)
	}
	v, ok := r.get(name)
	if !ok {
		return 0, false
	}
	return Number(v, pattern, base16)
}

var number = regexp.MustCompile(`[-+]?(?:\d+(?:\.\d+)?|\.\d+)`)

// Number is a value as a number: as it is, or what a text holds: the group of
// pattern when there is one, else the first number in it; with base16 the text is hexadecimal.
func Number(v snmp.Value, pattern Regexp, base16 bool) (float64, bool) {
	if n, ok := v.Number(); ok && pattern.Regexp == nil {
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	if v.Type() == snmp.TypeOID || v.Type() == snmp.TypeIPAddress {
		return 0, false // their dotted text begins with a number, which means nothing
	}
	text := strings.TrimSpace(v.Text())
	if pattern.Regexp != nil {
		var ok bool
		if text, ok = pattern.group(text); !ok {
			return 0, false
		}
	}
	if base16 {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(text), "0x"), 16, 64)
		return float64(n), err == nil
	}
	return parseNumber(text)
}

func parseNumber(text string) (float64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, false // of its digits a smaller number would come out
	}
	if err != nil {
		if n, err = strconv.ParseFloat(number.FindString(text), 64); err != nil {
			return 0, false
		}
	}
	return n, !math.IsNaN(n) && !math.IsInf(n, 0)
}
