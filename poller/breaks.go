package poller

import (
	"fmt"
	"time"

	"pollux/device"
	"pollux/measurement"
)

// A rate is the difference of two samples. RRDtool leaves it unknown when the
// counter is lower than it was. It cannot know of a counter that began anew and
// is higher already, nor of one that belongs to something else: here such a sample is
// marked as a break. Nothing is kept from one poll to the next for that, since any
// node may have done the last one: what a device says of its restarts is compared with
// the time of its last sample.

// narrowBase is added to 32-bit counters that stand in for 64-bit ones, before
// they are filed. So a port that goes from one width to the other, as when its SNMP version
// is changed, is out of any bounds in that slot, and not a false rate: 32 bits of a counter that
// are followed by its 64 bits differ by a multiple of 4 GiB.
const narrowBase = 1 << 63

// noteRestart finds out whether the agent started anew since the last samples.
// An uptime that is shorter than the time since then says so, unless sysUpTime
// wrapped meanwhile, which snmpEngineTime or the inventory tells. One that is what it
// was at the last poll is no clock.
func (c *Context) noteRestart(uptime time.Duration, at time.Time) {
	d := &c.Target.Device
	before, elapsed := d.Facts.Uptime, at.Sub(d.PolledAt)
	if !d.PolledAt.IsZero() && uptime == before && elapsed > leastElapsed {
		c.standing = true
		return
	}
	up := uptime
	if ticks, ok := c.ticks(); ok && !wraps(uptime-ticks) {
		up = ticks // snmpEngineTime is longer for another reason: some agents never begin it anew
	}
	start, fell := at.Add(-up), fellBack(before, uptime, elapsed)
	wrapped := up < before && !fellBack(before, up, elapsed)
	since := !c.Target.Since.IsZero() && start.After(c.Target.Since) && !wrapped
	c.rebooted = fell || since
	// A restart that the inventory does not know yet may lie before the last sample: with the database away each
	// node remembers its own polls. An uptime that fell without one is that of another clock, as of another supervisor card.
	c.restarted = since || fell && (c.Target.Since.IsZero() || !start.After(d.PolledAt))
}

// leastElapsed is the time in which an uptime goes on for sure, even one in whole seconds.
const leastElapsed = 2 * time.Second

// wraps says whether snmpEngineTime is ahead of sysUpTime by what it loses when it wraps.
func wraps(ahead time.Duration) bool {
	whole := (ahead + wrap/2) / wrap * wrap
	return whole > 0 && (ahead-whole).Abs() <= wrapTolerance
}

// newlyUp says whether a restart is one that no poll has told of: after one
// that failed in part, restarts are looked for further back.
func (c *Context) newlyUp(uptime time.Duration, at time.Time) bool {
	d := &c.Target.Device
	return c.rebooted && !d.PolledAt.IsZero() &&
		(fellBack(d.Facts.Uptime, uptime, at.Sub(d.PolledAt)) || at.Add(-uptime).After(d.PolledAt))
}

// ticks is sysUpTime as the first request brought it.
func (c *Context) ticks() (time.Duration, bool) {
	n, ok := c.Uptime.Value.Uint()
	return time.Duration(n) * tick, ok && n < 1<<32
}

// discontinued says whether a port's counters suffered a discontinuity since
// the last sample, by ifCounterDiscontinuityTime (RFC 2863): the sysUpTime at
// which they did so last, 0 for never. One that lies behind this poll's first
// answer is left to the next poll: some agents give the time of the question. So
// is one between this read and that of the counters, which are lower then than in any sample before.
func (c *Context) discontinued(r *row) bool {
	ticks, ok := c.ticks()
	when := r.number(fieldDiscontinuity)
	if !ok || when == 0 || c.standing || c.Target.Since.IsZero() {
		return false
	}
	ago := time.Duration(int32(uint32(ticks/tick)-uint32(when))) * tick // both wrap
	return ago > 0 && ago < c.Uptime.At.Sub(c.Target.Since)
}

// breaks says whether the counters of a known port do not go on from its last
// sample, or may not: the agent or the port restarted, the port was away, or it has
// another number or name, so that it may be another one. What a port of another
// table than the IF-MIB is known by is its row: its ifIndex is only ours.
func (c *Context) breaks(p *port, known *device.Port) bool {
	return c.restarted || p.discontinued || p.lapsed || known.Vanished || known.Missed > 0 ||
		known.State.Row != p.state.Row || known.State.IfName != p.state.IfName ||
		p.state.Row == "" && known.State.IfIndex != p.state.IfIndex
}

// bound leaves octets of 32 bits out that may wrap more than once from one
// sample to the next, at the speed of their port: such a difference says nothing. When
// that is so only because the last sample is long ago, this one begins anew.
// A port of unknown speed is believed.
func (c *Context) bound(p *port) {
	const octets = 1<<inOctets | 1<<outOctets
	if p.narrow&octets == 0 || p.state.IfSpeed == 0 {
		return
	}
	interval := time.Duration(c.Target.Device.Interval) * time.Second
	switch {
	case mayWrapTwice(p.state.IfSpeed, interval):
		for _, i := range [...]int{inOctets, outOctets} {
			if p.narrow&(1<<i) != 0 {
				p.values[i] = measurement.Unknown()
			}
		}
		c.unbounded++
	case !c.Target.Sampled.IsZero() && mayWrapTwice(p.state.IfSpeed, p.at.Sub(c.Target.Sampled)):
		p.lapsed = true
	}
}

// mayWrapTwice says whether a port of ifSpeed bits per second can count 2^32 octets in a time.
func mayWrapTwice(ifSpeed uint64, d time.Duration) bool {
	return float64(ifSpeed)/8*d.Seconds() >= 1<<32
}

// tellUnbounded writes one event about the ports whose octets are left out: at
// the device's first poll, at the first one of a new interval, and after a restart.
func (c *Context) tellUnbounded() {
	d := &c.Target.Device
	if c.unbounded == 0 || !c.rebooted && !d.PolledAt.IsZero() && d.PolledSlot >= d.SlotFrom {
		return
	}
	c.event(c.Report.Poll.At, "interface", device.SeverityWarning, fmt.Sprintf(
		"%d ports have 32-bit octet counters that can wrap more than once in %d s at their speed: their octets are not recorded. "+
			"Use SNMP v2c or v3, which have 64-bit counters, or a shorter interval", c.unbounded, d.Interval))
}

// filed are the values as they go into the port's file.
func (p *port) filed() []measurement.Value {
	if p.narrow == 0 {
		return p.values
	}
	values := make([]measurement.Value, len(p.values))
	for i, value := range p.values {
		if n, ok := value.AsCounter(); ok && p.narrow&(1<<i) != 0 {
			value = measurement.Counter(narrowBase + n&(1<<32-1))
		}
		values[i] = value
	}
	return values
}
