package poller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// Session is what a poll needs of an SNMP session; *snmp.Session is one.
type Session interface {
	Get(ctx context.Context, oids ...snmp.OID) ([]snmp.Variable, error)
	Probe(ctx context.Context, oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error)
	Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error)
	Table(ctx context.Context, request snmp.TableRequest, each func(snmp.Cell)) error
}

// Target is what is polled: the device and its ports as the inventory holds them.
type Target struct {
	Device device.Device
	Ports  []device.Port // all of them, disabled and vanished ones too
	// Components are those that discoveries found, disabled and vanished ones too.
	Components []device.Component
	Timeout    time.Duration // of one try of the first request; 1 s when it is not positive
	Retries    int           // tries of the first request after the first try
	// Definitions say which rows of the interface table are no ports on the device's OS; nil leaves it to the usual filters.
	Definitions *definitions.Set
	// Pinger asks the device by ICMP beside SNMP; nil when it is asked by SNMP only.
	Pinger Pinger
	// ModulesOff are the modules of a discovery, or of a poll, that do not run. Those of a discovery that the device goes without are none of them.
	ModulesOff []string
	// Since is a local time before which the last samples of all ports were not taken yet; zero when there were none.
	// What restarted after it does not go on from them. It need not be exact: an earlier time costs a slot of a port that restarted shortly before.
	Since time.Time
	// Outages are those of the device before this poll, in local times, ordered by their begin.
	Outages []device.Outage
	// Selection says whether the counters of ports are read one by one; "" is SelectNever.
	Selection device.Selection
	SkipDown  bool // one by one, ports that are down and were down at the last poll are left out
	// Memory is that of the device's last Report, nil when it is not known.
	Memory *Memory
	// Sampled is the local time of the device's latest sample, zero when there was none.
	Sampled time.Time
	// Filed is the local time of the device's latest entry in the journal, zero when it has none.
	Filed time.Time
}

// Report is what one poll found.
type Report struct {
	// Poll is what the store keeps. The caller adds Slot and Node and corrects the clock of At and of the events.
	// At is the time of the first answer, or of the first request when there was none.
	Poll device.Poll
	// Measurements hold local times: each the middle between sending and receiving the PDU that carried it.
	Measurements []measurement.Measurement
	// Modules are the modules that ran, in their order; at most ICMP when the device did not answer.
	Modules []device.ModuleResult
	// Memory is for the target of the device's next poll; nil when it was not polled to that point.
	Memory *Memory
	// FirstRequest is the local time just before the first request.
	FirstRequest time.Time
}

// Module reads one part of a device and adds what it found to the report of
// its Context. An error means that the part is incomplete; what the module
// added before stays.
type Module interface {
	Name() string
	Run(ctx context.Context, c *Context) error
}

// Context is what a module works on during one poll.
type Context struct {
	Session Session
	Target  Target
	Report  *Report
	Uptime  snmp.Variable // sysUpTime.0 as the first request brought it; it need not exist

	rebooted  bool            // the agent started anew since the last poll that the inventory knows
	restarted bool            // it did so since the last samples
	standing  bool            // its uptime does not go on: it says nothing about what restarted
	unbounded int             // ports whose octets say nothing, see bound
	ports     []port          // every port of the device that passed the filters, with what was read of it
	finder    *finder         // of a discovery; nil in a poll
	answers   answers         // of components
	greeting  []snmp.Variable // what the first request brought when it asked for more than sysUpTime.0
	greeted   time.Duration   // what that took
	unheard   bool            // the agent was silent about such a request
	ifNumber  snmp.Variable   // of a device without ports
}

// Poll polls one device: the first request, then the modules core and ports, and those of the components that it has. ICMP runs beside them.
// It ends when ctx does; what was read by then is in the report.
func Poll(ctx context.Context, s Session, t Target) Report {
	report, _ := poll(ctx, s, t, nil, modules())
	return report
}

func modules() []Module { return append([]Module{coreModule{}, portsModule{}}, componentsModules()...) }

func poll(ctx context.Context, s Session, t Target, f *finder, modules []Module) (Report, *Context) {
	start := time.Now()
	report := Report{FirstRequest: start, Poll: device.Poll{DeviceID: t.Device.ID, At: start}}
	c := &Context{Session: s, Target: t, Report: &report, finder: f}
	icmp := c.startICMP(ctx)
	if c.alive(ctx) {
		report.Poll.Outcome = device.OutcomeUp
		for _, module := range modules {
			if c.runs(module.Name()) && !c.idle(module) {
				c.runModule(ctx, module)
			}
		}
		c.shareOut()
		c.settle(ctx)
	}
	c.joinICMP(icmp)
	c.finish(start)
	return report, c
}

// idle says whether a module has nothing to do on the device.
func (c *Context) idle(module Module) bool {
	m, may := module.(interface{ idle(c *Context) bool })
	return may && m.idle(c)
}

// runModule runs one module apart from the others: its error, or its panic, is noted and makes the poll partial.
func (c *Context) runModule(ctx context.Context, module Module) {
	start := time.Now()
	err := ctx.Err()
	if err == nil {
		err = guarded(ctx, module, c)
	}
	c.note(device.ModuleResult{Name: module.Name(), Duration: time.Since(start), Err: err})
}

// note notes how a module went.
func (c *Context) note(result device.ModuleResult) {
	c.Report.Modules = append(c.Report.Modules, result)
	err := result.Err
	if err == nil {
		return
	}
	reason := "module " + result.Name + ": " + err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		reason = strings.ReplaceAll(reason, context.DeadlineExceeded.Error(), "the device is too slow for its interval")
	}
	if c.Report.Poll.Outcome == device.OutcomePartial {
		reason = c.Report.Poll.Reason + "; " + reason
	}
	c.Report.Poll.Outcome = device.OutcomePartial
	c.Report.Poll.Reason = oneLine(reason)
}

// guarded turns a panic of a module into its error. The text of a panic may
// hold what a device sent, so it is cleaned and cut as a reason is.
func guarded(ctx context.Context, module Module, c *Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New(oneLine(fmt.Sprintf("panic: %v", r)))
		}
	}()
	return module.Run(ctx, c)
}
