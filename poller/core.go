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
	oidIfNumber       snmp.OID = "1.3.6.1.2.1.2.1.0" // IF-MIB (RFC 2863)
	oidSnmpEngineTime snmp.OID = "1.3.6.1.6.3.10.2.1.3.0"
)

// coreModule reads what a device says of itself, and how long it is up.
type coreModule struct{}

func (coreModule) Name() string { return "core" }

// Run fills in the facts. What the inventory knows and this module does not
// read (operating system, hardware, version, serial) is kept. A failed GET
// leaves no facts, but the uptime of the first request is filed all the same.
func (coreModule) Run(ctx context.Context, c *Context) error {
	old := c.Target.Device.Facts
	vars, err := c.greeting, error(nil)
	if vars == nil {
		vars, err = c.open(ctx, c.system(false))
	}
	answers := make(map[snmp.OID]snmp.Variable, len(vars))
	for _, v := range vars {
		answers[v.OID] = v
	}
	c.ifNumber = answers[oidIfNumber]
	uptime, at, known := uptimeOf(c.Uptime, answers[oidSnmpEngineTime])
	if known {
		c.noteRestart(uptime, at)
	}
	if c.rebooted && c.greeting != nil { // it may have become another device
		vars, err = c.Session.Get(ctx, c.system(false)...)
		for _, v := range vars {
			answers[v.OID] = v
		}
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
	for _, text := range []struct {
		fact  *string
		oid   snmp.OID
		limit int
	}{
		{&facts.SysDescr, oidSysDescr, maxDescr}, {&facts.SysName, oidSysName, maxText},
		{&facts.SysLocation, oidSysLocation, maxText}, {&facts.SysContact, oidSysContact, maxText},
	} {
		if v, asked := answers[text.oid]; asked {
			*text.fact = textOf(v, text.limit)
		}
	}
	if v, asked := answers[oidSysObjectID]; asked {
		oid, _ := v.Value.OID()
		facts.SysObjectID = cut(string(oid), maxText)
	}
	if known {
		facts.Uptime = uptime
	}
	c.Report.Poll.Facts = &facts
	c.noteChanges(old, facts)
	return nil
}

// system are the objects that the core module asks for; brief leaves out what
// hardly ever changes. A device that had no ports at its last poll is asked how many it has.
func (c *Context) system(brief bool) []snmp.OID {
	oids := []snmp.OID{oidSysName}
	if !brief {
		oids = []snmp.OID{oidSysDescr, oidSysObjectID, oidSysContact, oidSysName, oidSysLocation}
	}
	if !slices.Contains(c.Target.Device.Lacks, nameEngineTime) {
		oids = append(oids, oidSnmpEngineTime)
	}
	if c.finder == nil && c.Target.Memory.portless() {
		oids = append(oids, oidIfNumber)
	}
	return oids
}

// textSize is what the texts of the system group are likely to take: what they took last.
func (c *Context) textSize() int {
	f := &c.Target.Device.Facts
	return len(f.SysDescr) + len(f.SysObjectID) + len(f.SysContact) + len(f.SysName) + len(f.SysLocation)
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
