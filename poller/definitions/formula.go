package definitions

import (
	"encoding/binary"
	"math"
	"strings"

	"pollux/snmp"
)

// What Formula.Convert may name.
const (
	ConvertFahrenheit = "fahrenheit" // to degrees Celsius
	ConvertKelvin     = "kelvin"     // to degrees Celsius
	ConvertMilliwatt  = "mw_to_dbm"
	ConvertMicrowatt  = "uw_to_dbm"
	ConvertFloat32    = "float32" // four octets, IEEE 754
	ConvertHex        = "hex"     // a text of hexadecimal digits
	ConvertOctets     = "octets"  // an octet string as one number, the first octet highest; BITS too
)

// Formula makes a measurement of a value: convert(value x Multiplier / Divisor).
// It is all that a poll needs to know of a definition.
type Formula struct {
	Divisor    float64 // not 0
	Multiplier float64
	Convert    string
	Pattern    Regexp
	Map        map[string]float64 // when it is not empty: the number that a text stands for
}

// Apply is the measurement; false when the value is no number, or not a finite one.
func (f Formula) Apply(v snmp.Value) (float64, bool) {
	n, ok := f.raw(v)
	if !ok {
		return 0, false
	}
	return f.Scale(n)
}

func (f Formula) raw(v snmp.Value) (float64, bool) {
	if len(f.Map) > 0 {
		n, ok := f.Map[strings.TrimSpace(v.Text())]
		return n, ok
	}
	if octets := v.Bytes(); f.Convert == ConvertOctets && len(octets) > 0 && len(octets) <= 6 {
		n := 0.0
		for _, octet := range octets {
			n = n*256 + float64(octet)
		}
		return n, true
	}
	if octets := v.Bytes(); f.Convert == ConvertFloat32 && len(octets) == 4 {
		n := float64(math.Float32frombits(binary.BigEndian.Uint32(octets)))
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return Number(v, f.Pattern, f.Convert == ConvertHex)
}

// Scale is the measurement that a number means.
func (f Formula) Scale(n float64) (float64, bool) {
	n = n * f.Multiplier / f.Divisor
	switch f.Convert {
	case ConvertFahrenheit:
		n = (n - 32) / 1.8
	case ConvertKelvin:
		n -= 273.15
	case ConvertMilliwatt:
		n = 10 * math.Log10(n)
	case ConvertMicrowatt:
		n = 10 * math.Log10(n/1000)
	}
	return n, !math.IsNaN(n) && !math.IsInf(n, 0)
}
