package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/ping"
)

// Pinger asks the device of a poll by ICMP: some requests, and their replies. Its error is
// ping.ErrSilent when the device answered none. Any other one says nothing about the device.
type Pinger interface {
	Echo(ctx context.Context) (ping.Result, error)
}

// echoed is how ICMP went.
type echoed struct {
	result ping.Result
	err    error
	at     time.Time // just before the first request
	took   time.Duration
}

// startICMP asks the device by ICMP, beside what is asked by SNMP. The channel gives one result, and is nil when it is not asked.
func (c *Context) startICMP(ctx context.Context) <-chan echoed {
	if c.Target.Pinger == nil || !c.runs(device.ModuleICMP) {
		return nil
	}
	done := make(chan echoed, 1)
	go func() { done <- askICMP(ctx, c.Target.Pinger) }()
	return done
}

// askICMP turns a panic into an error, as guarded does: it may run beside a poll, whose caller would not get it.
func askICMP(ctx context.Context, p Pinger) (e echoed) {
	e.at = time.Now()
	defer func() {
		if r := recover(); r != nil {
			e.err = errors.New(oneLine(fmt.Sprintf("panic: %v", r)))
		}
		e.took = time.Since(e.at)
	}()
	e.result, e.err = p.Echo(ctx)
	return e
}

// joinICMP waits for the result and adds it to the report. A device that answers no
// request is down, as LibreNMS has it; what it answered by SNMP is kept.
func (c *Context) joinICMP(done <-chan echoed) {
	if done == nil {
		return
	}
	e := <-done
	silent := errors.Is(e.err, ping.ErrSilent)
	if e.err == nil || silent {
		c.measureICMP(e)
	}
	p := &c.Report.Poll
	switch {
	case !p.Outcome.Finished(): // it was interrupted, and says nothing
	case silent:
		p.Outcome, p.Reason = device.OutcomeDown, oneLine("icmp: "+e.err.Error())
		c.Report.Modules = append(c.Report.Modules, device.ModuleResult{Name: device.ModuleICMP, Duration: e.took})
	case p.Outcome == device.OutcomeUp, p.Outcome == device.OutcomePartial:
		c.note(device.ModuleResult{Name: device.ModuleICMP, Duration: e.took, Err: e.err})
	}
}

// measureICMP files the requests and replies, and the times of those that were answered in milliseconds.
func (c *Context) measureICMP(e echoed) {
	sent, received := measurement.Gauge(float64(e.result.Sent)), measurement.Gauge(float64(e.result.Received))
	values := []measurement.Value{{}, sent, received, {}, {}}
	if e.result.Received > 0 {
		values[0], values[3], values[4] = millis(e.result.Avg), millis(e.result.Min), millis(e.result.Max)
	}
	c.Report.Measurements = append(c.Report.Measurements, c.own(measurement.KindICMP, "", e.at, values...))
}

func millis(d time.Duration) measurement.Value {
	return measurement.Gauge(float64(d) / float64(time.Millisecond))
}

// own is a measurement of what is known of the device without its help.
func (c *Context) own(kind measurement.Kind, of string, at time.Time, values ...measurement.Value) measurement.Measurement {
	return measurement.Measurement{
		Kind: kind, Name: measurement.OwnName(kind, of), Generation: c.Target.Device.Generation, Time: at, Values: values,
	}
}

// PollPing polls a device that is asked by ICMP only: it is up when it answers
// a request, else down. No SNMP request is sent to it.
func PollPing(ctx context.Context, t Target) Report {
	start := time.Now()
	report := Report{FirstRequest: start, Poll: device.Poll{DeviceID: t.Device.ID, At: start}}
	c := &Context{Target: t, Report: &report}
	e := askICMP(ctx, t.Pinger)
	p := &report.Poll
	switch {
	case e.err == nil:
		p.Outcome = device.OutcomeUp
		c.note(device.ModuleResult{Name: device.ModuleICMP, Duration: e.took})
	case ctx.Err() != nil:
		p.Outcome = interrupted(ctx, e.took, downTries, downTimeout)
	case errors.Is(e.err, ping.ErrBusy), errors.Is(e.err, ping.ErrOff):
		p.Outcome = device.OutcomeSkipped // it was not asked
	default:
		p.Outcome = device.OutcomeDown
	}
	if e.err != nil {
		p.Reason = oneLine("icmp: " + e.err.Error())
	}
	if e.err == nil || errors.Is(e.err, ping.ErrSilent) && p.Outcome.Finished() {
		c.measureICMP(e)
	}
	c.finish(start)
	return report
}
