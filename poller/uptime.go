package poller

import (
	"time"

	"pollux/snmp"
)

const (
	// tick is the unit of TimeTicks (RFC 2578).
	tick = 10 * time.Millisecond
	// wrap is what sysUpTime loses when its 32 bits of ticks start anew: 497 days.
	wrap = (1 << 32) * tick
	// maxEngineTime is the longest snmpEngineTime that is believed. Some agents
	// give the Unix time (over 50 years) or 2^31-1 (68 years) instead.
	maxEngineTime = 20 * 365 * 24 * time.Hour
	// wrapTolerance is by how much an uptime may miss the expected one and still
	// be its wrap, besides 0.2 % of the time between the polls for the clocks.
	wrapTolerance = time.Minute
)

// uptimeOf is the longer of sysUpTime and snmpEngineTime, when it was read, and
// whether one of them was. snmpEngineTime counts seconds in 31 bits, so it goes
// on where sysUpTime wraps.
func uptimeOf(sysUpTime, engineTime snmp.Variable) (uptime time.Duration, at time.Time, known bool) {
	if ticks, ok := sysUpTime.Value.Uint(); ok && ticks < 1<<32 {
		uptime, at, known = time.Duration(ticks)*tick, sysUpTime.At, true
	}
	if seconds, ok := engineTime.Value.Uint(); ok && seconds <= uint64(maxEngineTime/time.Second) {
		engine := time.Duration(seconds) * time.Second
		// An engine time below one second more than sysUpTime is the same time, less exact.
		if !known || engine >= uptime+time.Second {
			uptime, at, known = engine, engineTime.At, true
		}
	}
	return uptime, at, known
}

// fellBack says whether a device restarted between two polls: its uptime is
// less than it was, and not because sysUpTime wrapped in between, or had
// wrapped before and snmpEngineTime, which knew better, is missing this time.
func fellBack(before, now, elapsed time.Duration) bool {
	if now >= before {
		return false
	}
	elapsed = min(max(elapsed, 0), maxEngineTime) // a device that was never polled has no time before
	missing := before + elapsed - now
	wraps := max((missing+wrap/2)/wrap, 1)
	return (missing - wraps*wrap).Abs() > wrapTolerance+elapsed/500
}
