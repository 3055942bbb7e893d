package poller

import (
	"context"
	"errors"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// What the first request of a poll is (SNMPv2-MIB), and how often a device is
// asked that was down before: one request, 2 tries of 1 s.
const (
	oidSysUpTime snmp.OID = "1.3.6.1.2.1.1.3.0"

	downTries      = 2
	downTimeout    = time.Second
	defaultTimeout = time.Second
)

// tries is how often the first request is sent and how long each try waits.
// Only a device that is known to be down is asked less: two lost packets must
// not take down one that was up.
func (t Target) tries() (int, time.Duration) {
	if t.Device.Status == device.StatusDown {
		return downTries, downTimeout
	}
	timeout := t.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return 1 + max(t.Retries, 0), timeout
}

// alive sends the first request. Any answer means that the device is up, an
// SNMP error or an answer without a value included. Otherwise the outcome of
// the poll is set and alive returns false.
func (c *Context) alive(ctx context.Context) bool {
	p := &c.Report.Poll
	tries, timeout := c.Target.tries()
	if c.greets(tries) {
		if c.greet(ctx, timeout) {
			return true
		}
		if c.unheard {
			tries-- // a device that is down must not be waited for any longer
		}
	}
	v, err := c.Session.Probe(ctx, oidSysUpTime, tries, timeout)
	if !v.At.IsZero() {
		p.At = v.At
	}
	var status *snmp.StatusError
	switch {
	case err == nil:
		c.Uptime = v
		return true
	case errors.As(err, &status), errors.Is(err, snmp.ErrUnexpected):
		return true
	case errors.Is(err, snmp.ErrAuth):
		p.Outcome = device.OutcomeAuth
	case ctx.Err() != nil:
		p.Outcome = interrupted(ctx, time.Since(c.Report.FirstRequest), tries, timeout)
	default:
		p.Outcome = device.OutcomeDown
	}
	p.Reason = oneLine(err.Error())
	return false
}

// interrupted is the outcome of a poll whose context ended before the first
// answer. A stop of the node says nothing about the device. When the poll's
// own deadline ended it, the device is down if it had at least the time that
// a device gets that was down before; a poll that began too late decides nothing.
func interrupted(ctx context.Context, waited time.Duration, tries int, timeout time.Duration) device.Outcome {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && waited >= time.Duration(min(tries, downTries))*timeout {
		return device.OutcomeDown
	}
	return device.OutcomeSkipped
}

// greets says whether the first request is to bring the facts, too, and with them
// what components there is room for: of a device that answered at once last time.
// Should it not answer this, it is asked for sysUpTime.0 alone.
func (c *Context) greets(tries int) bool {
	d := &c.Target.Device
	return c.finder == nil && tries > 1 && d.Status == device.StatusUp && d.LastOutcome == device.OutcomeUp && c.Target.Memory.quickly()
}

// greet asks once for all of that.
func (c *Context) greet(ctx context.Context, timeout time.Duration) bool {
	d := &c.Target.Device
	brief := window(d.ID, d.PolledAt) == window(d.ID, c.Report.FirstRequest)
	texts := len(d.Facts.SysName)
	if !brief {
		texts = c.textSize()
	}
	oids := append([]snmp.OID{oidSysUpTime}, c.system(brief)...)
	began := time.Now()
	vars, err := c.Session.Greet(ctx, 1, timeout, c.withComponents(oids, texts)...)
	if err != nil {
		c.unheard = errors.Is(err, snmp.ErrTimeout)
		return false
	}
	c.Uptime, c.Report.Poll.At, c.greeting, c.greeted = vars[0], vars[0].At, vars, time.Since(began)
	c.answers.take(vars, oidsOf(vars[len(oids):]))
	return true
}

func oidsOf(vars []snmp.Variable) []snmp.OID {
	oids := make([]snmp.OID, len(vars))
	for i, v := range vars {
		oids[i] = v.OID
	}
	return oids
}
