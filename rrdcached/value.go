package rrdcached

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const (
	maxLine   = 2000 // bytes of an UPDATE line; 1.7.2 takes 8 KB, older daemons 4,096
	maxValues = 100  // per UPDATE line
	maxTime   = 9_999_999_999
	maxGauge  = 1e300 // rrdtool's own parser reads the largest floats as infinite

	exponentFrom = 1e21 // from here on a decimal is written with an exponent, which DERIVE and COUNTER do not take
)

type form uint8

const (
	formUnknown form = iota
	formCounter
	formGauge
)

// Value is one number of an update. It cannot be malformed: a malformed one
// would make rrdcached drop every later value of that file, silently, when it
// writes the file. The zero Value is unknown.
type Value struct {
	bits uint64
	form form
}

// Unknown is the value "U": not measured.
func Unknown() Value { return Value{} }

// Counter is a whole number, as the types DERIVE and COUNTER need it.
func Counter(n uint64) Value { return Value{bits: n, form: formCounter} }

// Gauge is a decimal number. NaN, the infinities and what is beyond 1e300 are Unknown.
func Gauge(x float64) Value {
	if !(math.Abs(x) <= maxGauge) {
		return Unknown()
	}
	return Value{bits: math.Float64bits(x), form: formGauge}
}

// AppendTo appends the value as rrdcached reads it: "U", digits or a decimal.
func (v Value) AppendTo(dst []byte) []byte {
	switch v.form {
	case formCounter:
		return strconv.AppendUint(dst, v.bits, 10)
	case formGauge:
		return appendDecimal(dst, math.Float64frombits(v.bits))
	default:
		return append(dst, 'U')
	}
}

// whole says whether the value may go into a source that takes whole numbers only.
func (v Value) whole() bool {
	if v.form != formGauge {
		return true
	}
	x := math.Float64frombits(v.bits)
	return x == math.Trunc(x) && math.Abs(x) < exponentFrom
}

// negative says whether the value is below zero.
func (v Value) negative() bool { return v.form == formGauge && math.Float64frombits(v.bits) < 0 }

// appendDecimal appends a finite x, with an exponent only where the digits would be many.
func appendDecimal(dst []byte, x float64) []byte {
	if x == 0 {
		return append(dst, '0') // not "-0"
	}
	if abs := math.Abs(x); abs < 1e-6 || abs >= exponentFrom {
		return strconv.AppendFloat(dst, x, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, 64)
}

// Update is what one file gets for one time: one line of the protocol.
type Update struct {
	File    string    // see CheckFile
	Time    time.Time // of the measurement; sent with milliseconds, which rrdcached honours
	Values  []Value   // 1-100, in the order of the file's sources
	Sources []Source  // of the file; their number and types must fit Values, since rrdcached does not look
}

// Check says why Batch or Restate would not send the update, with the error that they would give: ErrFile, ErrBadValue or ErrLimit.
func (u Update) Check() error {
	_, err := u.appendAt(nil, 1)
	return err
}

// appendTo appends the UPDATE line without its newline. On an error dst comes
// back as it was. Every update goes through here, so no caller can send what costs data.
func (u Update) appendTo(dst []byte) ([]byte, error) { return u.appendAt(dst, 0) }

// appendAt is appendTo with the time some microseconds later, fewer than 1,000.
func (u Update) appendAt(dst []byte, us int) ([]byte, error) {
	if err := CheckFile(u.File); err != nil {
		return dst, err
	}
	if len(u.Values) < 1 || len(u.Values) > maxValues {
		return dst, fmt.Errorf("%w: %d values for %s, want 1 to %d", ErrBadValue, len(u.Values), u.File, maxValues)
	}
	if err := checkValues(u.Values, u.Sources); err != nil {
		return dst, err
	}
	seconds := u.Time.Unix()
	if seconds < 1 || seconds > maxTime {
		return dst, fmt.Errorf("%w: the time %d of %s is not a time of measurement", ErrBadValue, seconds, u.File)
	}
	line := append(dst, "UPDATE "...)
	line = append(line, u.File...)
	line = append(line, ' ')
	line = strconv.AppendInt(line, seconds, 10)
	ms := u.Time.Nanosecond() / int(time.Millisecond)
	line = append(line, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	if us > 0 {
		line = append(line, byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	}
	for _, value := range u.Values {
		line = append(line, ':')
		line = value.AppendTo(line)
	}
	if length := len(line) - len(dst); length > maxLine {
		return line[:len(dst)], fmt.Errorf("%w: the line for %s has %d bytes, at most %d", ErrLimit, u.File, length, maxLine)
	}
	return line, nil
}
