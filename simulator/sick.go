package simulator

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Ailment is something that befalls the counters of devices.
type Ailment string

// The ailments. Those of ports may befall one port alone.
const (
	Wrap32        Ailment = "wrap32"        // the low 32 bits of the counters go through 0 then
	Wrap64        Ailment = "wrap64"        // the counters, 64 bits wide, go through 0 then
	Reset         Ailment = "reset"         // the counters begin at 0, and ifCounterDiscontinuityTime says so
	HiddenReset   Ailment = "hidden-reset"  // the counters begin at 0, and nothing says so
	Discontinuity Ailment = "discontinuity" // the counters jump ahead by ten minutes' worth, and ifCounterDiscontinuityTime says so
	Frozen        Ailment = "frozen"        // the counters stand still, and go on from there afterwards
	Reboot        Ailment = "reboot"        // of the device: sysUpTime and all counters begin at 0, snmpEngineBoots grows
	UptimeWrap    Ailment = "uptime-wrap"   // of the device: sysUpTime goes through 0 then, as after 497 days; counters go on
	Shuffle       Ailment = "shuffle"       // of the device: each port gets the ifIndex below its own, the first one the last
	Narrow        Ailment = "narrow"        // of the device: it has no 64-bit counters
)

// jumpWorth is how much a Discontinuity adds, in seconds of the port's rate.
const jumpWorth = 600

// Ailments are all of them, by their names.
func Ailments() []Ailment {
	return []Ailment{Wrap32, Wrap64, Reset, HiddenReset, Discontinuity, Frozen, Reboot, UptimeWrap, Shuffle, Narrow}
}

// lasts says whether it has an end.
func (a Ailment) lasts() bool { return a == Frozen || a == Narrow }

// ofDevice says whether it befalls whole devices only.
func (a Ailment) ofDevice() bool {
	return a == Reboot || a == UptimeWrap || a == Shuffle || a == Narrow
}

// Sickness is one ailment at one time.
type Sickness struct {
	Ailment Ailment
	At      time.Time
	Until   time.Time // the end of Frozen and Narrow; zero = never
	Only    *Spot     // nil = all devices and ports
}

// Spot is a device, or a port of it.
type Spot struct {
	Device int // from 0
	Port   int // from 1; 0 = all ports
}

func (s Sickness) check() error {
	switch {
	case !slices.Contains(Ailments(), s.Ailment):
		names := make([]string, 0, len(Ailments()))
		for _, a := range Ailments() {
			names = append(names, string(a))
		}
		return fmt.Errorf("sickness is %.40q, want one of %s", s.Ailment, strings.Join(names, ", "))
	case s.At.IsZero():
		return fmt.Errorf("%s has no time", s.Ailment)
	case !s.Until.IsZero() && (!s.Ailment.lasts() || !s.Until.After(s.At)):
		return fmt.Errorf("%s cannot end so", s.Ailment)
	case s.Only != nil && (s.Only.Device < 0 || s.Only.Port < 0 || s.Only.Port > 0 && s.Ailment.ofDevice()):
		return fmt.Errorf("%s cannot befall port %d of device %d", s.Ailment, s.Only.Port, s.Only.Device)
	}
	return nil
}

// sickness is a Sickness as the model computes with it. Times are Unix ns.
type sickness struct {
	ailment      Ailment
	at, until    int64
	device, port int // -1 and 0: all
}

// maxSick bounds the sicknesses of one simulator: each is looked at for each counter.
const maxSick = 100

func sicknesses(all []Sickness) []sickness {
	list := make([]sickness, 0, len(all))
	for _, s := range all {
		one := sickness{ailment: s.Ailment, at: s.At.UnixNano(), until: math.MaxInt64, device: -1}
		if !s.Until.IsZero() {
			one.until = s.Until.UnixNano()
		}
		if s.Only != nil {
			one.device, one.port = s.Only.Device, s.Only.Port
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b sickness) int { return int(max(-1, min(1, a.at-b.at))) })
	return list
}

// befalls says whether a sickness is of that ailment and concerns a port; port 0 asks for the device.
func (s *sickness) befalls(ailment Ailment, device, port int) bool {
	return s.ailment == ailment && (s.device < 0 || s.device == device) && (s.port == 0 || s.port == port)
}

// started is when a device started last, math.MinInt64 when it did not since the epoch.
func (m *Model) started(device int, now int64) int64 {
	start := int64(math.MinInt64)
	if now >= m.reboot {
		start = m.reboot
	}
	for i := range m.sick {
		if s := &m.sick[i]; s.at <= now && s.befalls(Reboot, device, 0) {
			start = max(start, s.at)
		}
	}
	return start
}

// begun is when a port's counters began at 0 last, math.MinInt64 when they did not since the epoch.
func (m *Model) begun(device, port int, now int64) int64 {
	begin := m.started(device, now)
	for i := range m.sick {
		if s := &m.sick[i]; s.at <= now && (s.befalls(Reset, device, port) || s.befalls(HiddenReset, device, port)) {
			begin = max(begin, s.at)
		}
	}
	return begin
}

// moved is the weight of a port at a time, without that of the times in which its counters stood still.
func (m *Model) moved(device, port int, phase uint64, now int64) uint64 {
	weight := m.weight(now-m.epoch, phase)
	frozen := int64(math.MinInt64) // until when; those that overlap count once
	for i := range m.sick {
		s := &m.sick[i]
		if from := max(s.at, frozen); s.befalls(Frozen, device, port) && from < min(now, s.until) {
			weight -= m.weight(min(now, s.until)-m.epoch, phase) - m.weight(from-m.epoch, phase)
			frozen = s.until
		}
	}
	return weight
}

// jumped is how much the discontinuities in a stretch of time have added.
func (m *Model) jumped(device, port int, rate uint64, after, now int64) (sum uint64) {
	for i := range m.sick {
		if s := &m.sick[i]; s.at > after && s.at <= now && s.befalls(Discontinuity, device, port) {
			sum += rate * jumpWorth
		}
	}
	return sum
}

// base is where the counters of a port stood at the epoch.
func (m *Model) base(device, port int, column Column, rate, phase uint64) uint64 {
	for i := range m.sick {
		s := &m.sick[i]
		switch {
		case s.befalls(Wrap32, device, port):
			return uint64(uint32(-amount(rate, m.moved(device, port, phase, s.at))))
		case s.befalls(Wrap64, device, port):
			return -amount(rate, m.moved(device, port, phase, s.at))
		}
	}
	if m.wrap {
		return -amount(rate, m.weight(int64(wrapAfter), phase))
	}
	return mix(m.number(device, port)*32+uint64(column)) % 1e9
}

// discontinuity is ifCounterDiscontinuityTime of a port.
func (m *Model) discontinuity(device, port int, now int64) uint32 {
	last := int64(math.MinInt64)
	for i := range m.sick {
		if s := &m.sick[i]; s.at <= now && (s.befalls(Reset, device, port) || s.befalls(Discontinuity, device, port)) {
			last = max(last, s.at)
		}
	}
	if last < m.started(device, now) || last == math.MinInt64 {
		return 0
	}
	return uint32(m.running(device, last) / tick)
}

// shift is by how much the ifIndexes of a device went down.
func (m *Model) shift(device int, now int64) (n int) {
	for i := range m.sick {
		if s := &m.sick[i]; s.at <= now && s.befalls(Shuffle, device, 0) {
			n++
		}
	}
	return n
}

// portAt is the port that has an ifIndex.
func (m *Model) portAt(device, index int, now int64) int {
	if len(m.sick) == 0 {
		return index
	}
	return (index-1+m.shift(device, now))%int(m.ports) + 1
}

func (m *Model) narrow(device int, now int64) bool {
	return slices.ContainsFunc(m.sick, func(s sickness) bool {
		return s.befalls(Narrow, device, 0) && s.at <= now && now < s.until
	})
}

// IfIndex is the ifIndex of a port at a time.
func (m Model) IfIndex(device, port int, t time.Time) int {
	n := int(m.ports)
	return ((port-1-m.shift(device, t.UnixNano()))%n+n)%n + 1
}

// Traffic is what a port counts from one time to another, whatever its counter
// answers: resets, wraps and jumps take nothing and add nothing; while it is frozen it counts nothing.
func (m Model) Traffic(device, port int, column Column, from, to time.Time) uint64 {
	rate, phase := m.rate(device, port, column), m.phaseOf(device, port)
	return amount(rate, m.moved(device, port, phase, to.UnixNano())-m.moved(device, port, phase, from.UnixNano()))
}

// Unbroken says whether a port's counter goes on from one time to a later one, so that their difference
// is what was counted, modulo 2^64: that it did not begin anew after the first and neither jumped.
func (m Model) Unbroken(device, port int, from, to time.Time) bool {
	after, now := from.UnixNano(), to.UnixNano()
	return m.begun(device, port, now) <= after && m.jumped(device, port, 1, after, now) == 0
}

// Maximum is the highest rate that a counter ever has, per second.
func (m Model) Maximum(device, port int, column Column) float64 {
	return float64(m.rate(device, port, column))
}
