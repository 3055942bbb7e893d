package simulator

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	rateFloor      = 1000       // octets per second of the slowest port
	rateSpan       = 99_999_000 // number of distinct octet rates
	rateSpan32     = 9_999_000  // the same for devices without 64-bit counters: a wrap takes 429 s or more
	rateMultiplier = 61_803_403 // shares no factor with the spans, so rates are distinct
	eighths        = 8          // unit of the step weights
	wrapAfter      = 30 * time.Second
	tick           = int64(10 * time.Millisecond) // of sysUpTime
)

// stepWeights are the rates of the pattern "steps" in eighths of the port's rate.
var stepWeights = [8]uint64{4, 8, 2, 6, 3, 1, 5, 2}

// stepCycle is the sum of stepWeights.
const stepCycle = 31

// Model is the closed form of what the synthesised devices answer (see the
// package comment), for those who have to compute the expected figure. It is a
// plain value, safe for use by several goroutines.
type Model struct {
	epoch  int64 // Unix ns
	reboot int64 // Unix ns; math.MaxInt64 = never
	step   int64 // ns; 0 = constant rate
	ports  uint64
	span   uint64
	wrap   bool
	dead   float64
	sick   []sickness // in the order of their times; never changed
}

func newModel(c Config) Model {
	m := Model{epoch: c.Epoch.UnixNano(), reboot: math.MaxInt64, ports: uint64(c.Ports), span: rateSpan, wrap: c.Wrap, dead: c.Dead, sick: sicknesses(c.Sick)}
	if !c.RebootAt.IsZero() {
		m.reboot = c.RebootAt.UnixNano()
	}
	if c.Only32Bit {
		m.span = rateSpan32
	}
	if c.Pattern == patternSteps {
		m.step = int64(c.StepLength)
	}
	return m
}

// Counter is the value of a counter column of a port at a time, 64 bits wide;
// a 32-bit object answers its low 32 bits. device counts from 0, port from 1 to
// Config.Ports; for others the figure means nothing.
func (m Model) Counter(device, port int, column Column, t time.Time) uint64 {
	return m.counter(device, port, column, t.UnixNano())
}

// Rate is the speed of a counter at a time, per second. In the pattern
// "constant" it is a whole number and the same at all times from Epoch on; before Epoch, and while the counter is frozen, it is 0.
func (m Model) Rate(device, port int, column Column, t time.Time) float64 {
	since := t.UnixNano() - m.epoch
	if since < 0 {
		return 0
	}
	rate := float64(m.rate(device, port, column))
	if slices.ContainsFunc(m.sick, func(s sickness) bool {
		return s.befalls(Frozen, device, port) && s.at <= t.UnixNano() && t.UnixNano() < s.until
	}) {
		return 0
	}
	if m.step == 0 {
		return rate
	}
	step := uint64(since/m.step) + m.phase(device, port)
	return rate * float64(stepWeights[step%8]) / eighths
}

// SysUpTime is the answer of a device to sysUpTime.0 at a time, in hundredths of a second modulo 2^32 (RFC 3418).
func (m Model) SysUpTime(device int, t time.Time) uint32 {
	return uint32(m.running(device, t.UnixNano()) / tick)
}

// Dead says whether a device belongs to the share Config.Dead that never answers.
func (m Model) Dead(device int) bool {
	return m.dead > 0 && float64(mix(uint64(device)+1)>>11)/(1<<53) < m.dead
}

func (m *Model) counter(device, port int, column Column, now int64) uint64 {
	rate, phase := m.rate(device, port, column), m.phaseOf(device, port)
	begun, weight := m.begun(device, port, now), m.moved(device, port, phase, now)
	value := m.jumped(device, port, rate, begun, now)
	if begun == math.MinInt64 {
		return value + m.base(device, port, column, rate, phase) + amount(rate, weight)
	}
	return value + amount(rate, weight-m.moved(device, port, phase, begun))
}

// phaseOf is the phase where it counts.
func (m *Model) phaseOf(device, port int) uint64 {
	if m.step == 0 {
		return 0
	}
	return m.phase(device, port)
}

// number counts the ports of all devices from 0.
func (m *Model) number(device, port int) uint64 {
	return uint64(device)*m.ports + uint64(port) - 1
}

func (m *Model) rate(device, port int, column Column) uint64 {
	number := 2*m.number(device, port) + column.direction()
	return column.rate(rateFloor + number%m.span*rateMultiplier%m.span)
}

// phase is the place in stepWeights at which a port begins.
func (m *Model) phase(device, port int) uint64 { return mix(m.number(device, port)) % 8 }

// weight is the integral of the pattern since Epoch, in eighths of a nanosecond.
func (m *Model) weight(since int64, phase uint64) uint64 {
	if since <= 0 {
		return 0
	}
	if m.step == 0 {
		return eighths * uint64(since)
	}
	step := uint64(m.step)
	steps, rest := uint64(since)/step, uint64(since)%step
	weights := steps / 8 * stepCycle
	for i := range steps % 8 {
		weights += stepWeights[(phase+i)%8]
	}
	return weights*step + stepWeights[(phase+steps)%8]*rest
}

// running is the time since the device's last start, in ns.
func (m *Model) running(device int, now int64) int64 {
	if start := m.started(device, now); start != math.MinInt64 {
		return now - start
	}
	for i := range m.sick {
		if s := &m.sick[i]; s.befalls(UptimeWrap, device, 0) {
			return max(0, now-s.at+tick<<32)
		}
	}
	return max(0, now-m.epoch)
}

// boots is snmpEngineBoots.
func (m *Model) boots(device int, now int64) (n int64) {
	n = 1
	if now >= m.reboot {
		n++
	}
	for i := range m.sick {
		if s := &m.sick[i]; s.at <= now && s.befalls(Reboot, device, 0) {
			n++
		}
	}
	return n
}

// amount is floor(rate x weight / 8e9). It is exact: the product has 128 bits,
// and as rate < 2^27 its upper half is below the divisor.
func amount(rate, weight uint64) uint64 {
	high, low := bits.Mul64(rate, weight)
	quotient, _ := bits.Div64(high, low, eighths*uint64(time.Second))
	return quotient
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, 2014): it spreads neighbouring numbers.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
