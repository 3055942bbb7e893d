// Package measurement says what is measured and in which RRD it is filed. It
// is the one truth for those who write RRD files and those who read them.
//
// The layout is LibreNMS's, so that an existing tree keeps its history. The
// package must not open files, talk to rrdcached or read the clock.
package measurement

import (
	"math"
	"time"

	"pollux/rrdcached"
)

// Value is one measured number: a counter as it was read, a gauge, or unknown. The zero Value is unknown.
type Value struct {
	form form
	bits uint64
}

type form uint8

const (
	formUnknown form = iota
	formCounter
	formGauge
)

// Unknown is the value of something that was not read.
func Unknown() Value { return Value{} }

// Counter is a counter as the device gave it.
func Counter(n uint64) Value { return Value{form: formCounter, bits: n} }

// Gauge is a level. What is not finite is unknown.
func Gauge(x float64) Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Value{}
	}
	return Value{form: formGauge, bits: math.Float64bits(x)}
}

// IsUnknown says whether there is no number.
func (v Value) IsUnknown() bool { return v.form == formUnknown }

// AsCounter returns the counter, and whether the value is one.
func (v Value) AsCounter() (uint64, bool) { return v.bits, v.form == formCounter }

// AsGauge returns the level, and whether the value is one.
func (v Value) AsGauge() (float64, bool) {
	return math.Float64frombits(v.bits), v.form == formGauge
}

// Wire is the value as rrdcached takes it.
func (v Value) Wire() rrdcached.Value {
	switch v.form {
	case formCounter:
		return rrdcached.Counter(v.bits)
	case formGauge:
		return rrdcached.Gauge(math.Float64frombits(v.bits))
	default:
		return rrdcached.Unknown()
	}
}

// Measurement is what one file gets from one poll: a value for each of the
// sources of its kind, in their order, all read at Time.
type Measurement struct {
	Kind       Kind
	Instance   int64     // port id for KindPort, id of a component for its kinds, 0 for what a device has once
	Name       string    // of the file, without generation and ending, for kinds that are named; else ""
	Generation int       // of the file: 0, and one more each time its step or maximum had to change
	Max        uint64    // maximum of the sources of a KindPort file, units per second; 0 for other kinds
	Time       time.Time // middle between sending and receiving the PDU that carried the values
	Values     []Value
	Break      bool // the counters do not go on from the sample before, or may not: the time between the two is unknown. Part writes it out
}
