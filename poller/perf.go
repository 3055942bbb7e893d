package poller

import (
	"strconv"
	"time"

	"pollux/device"
	"pollux/measurement"
)

// availabilityEvery is how often availability is filed at most. It changes little from poll to poll,
// and its files take the last value for up to 600 s.
const availabilityEvery = 2 * time.Minute

// finish ends a poll: it notes how long it took, and files that and what follows from its result.
func (c *Context) finish(start time.Time) {
	p := &c.Report.Poll
	p.Duration = time.Since(start)
	if c.finder != nil || !p.Outcome.Finished() {
		return
	}
	if p.Outcome == device.OutcomeUp || p.Outcome == device.OutcomePartial {
		c.measurePerf("", p.Duration)
		for _, module := range c.Report.Modules {
			c.measurePerf(module.Name, module.Duration)
		}
	}
	if c.runs(device.ModuleAvailability) && crosses(c.Target.Filed, p.At, availabilityEvery) {
		c.measureAvailability()
	}
}

// measurePerf files how long a module took, in seconds; "" is the whole poll.
func (c *Context) measurePerf(module string, took time.Duration) {
	c.Report.Measurements = append(c.Report.Measurements,
		c.own(measurement.KindPollerPerf, module, c.Report.Poll.At, measurement.Gauge(took.Seconds())))
}

// measureAvailability files how long the device was not down, in percent of each period before this poll.
func (c *Context) measureAvailability() {
	d, at := &c.Target.Device, c.Report.Poll.At
	for _, period := range device.AvailabilityPeriods() {
		percent, known := device.Availability(c.Target.Outages, d.CreatedAt, at, period)
		if known {
			c.Report.Measurements = append(c.Report.Measurements,
				c.own(measurement.KindAvailability, strconv.Itoa(int(period.Seconds())), at, measurement.Gauge(percent)))
		}
	}
}

// crosses says whether a multiple of every lies between two times; a time that never was lies before all.
func crosses(from, to time.Time, every time.Duration) bool {
	return from.IsZero() || to.Truncate(every).After(from)
}
