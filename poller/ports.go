package poller

import (
	"context"
	"fmt"
	"time"

	"pollux/device"
)

// fixedEvery is how often the columns that hardly ever change are read at least.
const fixedEvery = time.Hour

// portsModule reads the interfaces group (IF-MIB, RFC 2863).
type portsModule struct{}

func (portsModule) Name() string { return "ports" }

// Run reads what describes the ports, then their counters, then what stands in
// for counters that a port lacks. When a table cannot be read to its end, the
// rows that are complete by then are still reported and measured.
func (portsModule) Run(ctx context.Context, c *Context) error {
	r := newReader(c.Session, present(c.Target.Ports))
	err := c.describe(ctx, r)
	if err != nil && hopeless(ctx, err) {
		return err
	}
	rows := r.portRows()
	narrow, counted := r.count(ctx, rows)
	if err == nil {
		err = counted
	}
	c.Report.Poll.PortsComplete = err == nil
	c.addPorts(r, rows, narrow, counted == nil)
	return err
}

func present(ports []device.Port) int {
	n := 0
	for i := range ports {
		if !ports[i].Vanished {
			n++
		}
	}
	return n
}

// describe reads what describes the ports.
func (c *Context) describe(ctx context.Context, r *reader) error {
	fields := liveFields
	recall := c.mayRecall()
	if !recall {
		fields = append(append([]field{}, liveFields...), fixedFields...)
	}
	if err := r.walk(ctx, fields, true); err != nil {
		return fmt.Errorf("read names and states: %w", err)
	}
	if !recall {
		return nil
	}
	if err := r.fetch(ctx, fixedFields, c.recall(r)); err != nil {
		return fmt.Errorf("read descriptions: %w", err)
	}
	return nil
}

// mayRecall says whether the fixed columns (ifDescr, ifType, ifMtu,
// ifPhysAddress: a fifth of a poll) may be taken from the inventory instead of
// the device. They are read from the device
//
//   - when its last poll was not complete, or this one does not know its facts;
//   - when it restarted since;
//   - once an hour, at a minute that the device's id decides;
//   - and for each row that the inventory does not know by ifIndex and ifName.
//
// So a change of ifMtu that comes without a restart is noticed within the hour.
func (c *Context) mayRecall() bool {
	d := &c.Target.Device
	return d.LastOutcome == device.OutcomeUp && c.Report.Poll.Facts != nil && !c.rebooted &&
		window(d.ID, d.PolledAt) == window(d.ID, c.Report.Poll.At)
}

// window numbers the hours of a device. They begin at another second for each
// id, so that the devices of a network do not read more all at once.
func window(id int64, at time.Time) int64 {
	const spread = 2_654_435_761 // 2^32 divided by the golden ratio: neighbours end up far apart
	every := int64(fixedEvery / time.Second)
	return (at.Unix() + int64(uint64(id)*spread%uint64(every))) / every
}

// recall notes for each row which port of the inventory it is by ifIndex and
// ifName, and returns the rows that are none.
func (c *Context) recall(r *reader) (strangers []int) {
	for k := range c.Target.Ports {
		port := &c.Target.Ports[k]
		i, ok := r.byIndex[port.State.IfIndex]
		if ok && !port.Vanished && port.State.IfName != "" && port.State.IfType != "" &&
			port.State.IfName == r.rows[i].text(fieldName) {
			r.rows[i].known = k
		}
	}
	for i := range r.rows {
		if r.rows[i].known < 0 && r.rows[i].number(fieldOperStatus) != operNotPresent {
			strangers = append(strangers, i)
		}
	}
	return strangers
}

// portRows returns the rows that are ports.
func (r *reader) portRows() []int {
	ports := make([]int, 0, len(r.rows))
	for i := range r.rows {
		if r.rows[i].isPort() {
			ports = append(ports, i)
		}
	}
	return ports
}

// count reads the counters that every port should have, and after that those
// of 32 bits that stand in for missing ones of 64. Only a column that was read
// to its end says that a counter is missing: a port must not change its width
// because a packet was lost.
func (r *reader) count(ctx context.Context, rows []int) (narrow bool, err error) {
	if len(rows) == 0 {
		return false, nil
	}
	if err := r.walk(ctx, counterFields, false); err != nil {
		return false, fmt.Errorf("read counters: %w", err)
	}
	return r.standIn(ctx, rows)
}

// standIn reads 32-bit columns for the ports that lack the 64-bit ones. When
// the 64-bit octets of all ports are zero although one of them is up, the agent
// only pretends to have them: the 32-bit ones are read for all ports, and
// returned true.
func (r *reader) standIn(ctx context.Context, rows []int) (narrow bool, err error) {
	narrow = r.pretends(rows)
	for _, family := range families {
		var need []int
		for _, i := range rows {
			if r.rows[i].lacks(family.wide) || narrow && family.wide[0] != fieldHighSpeed {
				need = append(need, i)
			}
		}
		if err := r.fetch(ctx, family.narrow, need); err != nil {
			return narrow, fmt.Errorf("read 32-bit counters: %w", err)
		}
	}
	return narrow, nil
}

func (r *reader) pretends(rows []int) bool {
	up := false
	for _, i := range rows {
		row := &r.rows[i]
		if row.number(wideInOctets) > 0 || row.number(wideOutOctets) > 0 {
			return false
		}
		up = up || row.has(wideInOctets) && row.number(fieldOperStatus) == operUp
	}
	return up
}

// operUp is the ifOperStatus of a port that works (RFC 2863).
const operUp = 1
