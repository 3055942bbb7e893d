package poller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/snmp"
)

// What the core module asks in one GET: the system group of SNMPv2-MIB
// (RFC 3418) and snmpEngineTime of SNMP-FRAMEWORK-MIB (RFC 3411).
const (
	oidSysDescr       snmp.OID = "1.3.6.1.2.1.1.1.0"
	oidSysObjectID    snmp.OID = "1.3.6.1.2.1.1.2.0"
	oidSysContact     snmp.OID = "1.3.6.1.2.1.1.4.0"
	oidSysName        snmp.OID = "1.3.6.1.2.1.1.5.0"
	oidSysLocation    snmp.OID = "1.3.6.1.2.1.1.6.0"
	oidSnmpEngineTime snmp.OID = "1.3.6.1.6.3.10.2.1.3.0"
)

// coreModule reads what a device says of itself, and how long it is up.
type coreModule struct{}

func (coreModule) Name() string { return "core" }

// Run fills in the facts. What the inventory knows and this module does not
// read (operating system, hardware, version, serial) is kept. A failed GET
// leaves no facts, but the uptime of the first request is filed all the same.
func (coreModule) Run(ctx context.Context, c *Context) error {
	oids := []snmp.OID{oidSysDescr, oidSysObjectID, oidSysContact, oidSysName, oidSysLocation}
	if !slices.Contains(c.Target.Device.Lacks, nameEngineTime) {
		oids = append(oids, oidSnmpEngineTime)
	}
	vars, err := c.Session.Get(ctx, oids...)
	answers := make(map[snmp.OID]snmp.Variable, len(vars))
	for _, v := range vars {
		answers[v.OID] = v
	}
	uptime, at, known := uptimeOf(c.Uptime, answers[oidSnmpEngineTime])
	old := c.Target.Device.Facts
	if known {
		c.noteRestart(uptime, at)
	}
	if known {
		c.Report.Measurements = append(c.Report.Measurements, measurement.Measurement{
			Kind: measurement.KindUptime, Generation: c.Target.Device.Generation, Time: at,
			Values: []measurement.Value{measurement.Gauge(uptime.Seconds())},
		})
	}
	if err != nil {
		return fmt.Errorf("get the system group: %w", err)
	}
	if known && c.newlyUp(uptime, at) {
		c.event(at, "reboot", device.SeverityWarning,
			fmt.Sprintf("Device rebooted after %s: uptime is %s", old.Uptime.Round(time.Second), uptime.Round(time.Second)))
	}
	facts := old
	facts.SysDescr = textOf(answers[oidSysDescr], maxDescr)
	facts.SysName = textOf(answers[oidSysName], maxText)
	facts.SysLocation = textOf(answers[oidSysLocation], maxText)
	facts.SysContact = textOf(answers[oidSysContact], maxText)
	facts.SysObjectID = ""
	if oid, ok := answers[oidSysObjectID].Value.OID(); ok {
		facts.SysObjectID = cut(string(oid), maxText)
	}
	if known {
		facts.Uptime = uptime
	}
	c.Report.Poll.Facts = &facts
	c.noteChanges(old, facts)
	return nil
}

func textOf(v snmp.Variable, limit int) string { return clean(v.Value.Bytes(), limit, " ") }

// noteChanges writes an event for each fact that differs from the inventory's.
// A device that was never polled has nothing to differ from.
func (c *Context) noteChanges(old, found device.Facts) {
	if c.Target.Device.PolledAt.IsZero() {
		return
	}
	for _, fact := range []struct{ name, old, found string }{
		{"sysName", old.SysName, found.SysName},
		{"sysDescr", old.SysDescr, found.SysDescr},
		{"sysObjectID", old.SysObjectID, found.SysObjectID},
		{"sysLocation", old.SysLocation, found.SysLocation},
		{"sysContact", old.SysContact, found.SysContact},
	} {
		if fact.old != fact.found {
			c.event(c.Report.Poll.At, "system", device.SeverityNotice,
				fmt.Sprintf("%s: %s -> %s", fact.name, cut(fact.old, maxText), cut(fact.found, maxText)))
		}
	}
}

func (c *Context) event(at time.Time, kind string, severity device.Severity, message string) {
	c.Report.Poll.Events = append(c.Report.Poll.Events, device.Event{
		Time: at, DeviceID: c.Target.Device.ID, Type: kind, Severity: severity, Message: message,
	})
}
