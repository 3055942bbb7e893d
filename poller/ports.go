package poller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// fixedEvery is how often the columns that hardly ever change are read at least.
const fixedEvery = time.Hour

// portsModule reads the interfaces group (IF-MIB, RFC 2863), and the tables of ports that an OS has beside it.
type portsModule struct{}

func (portsModule) Name() string { return "ports" }

// Run reads the states of the ports, then their counters with their names, then what
// stands in for counters that a port lacks, and the ports beside the IF-MIB. When a table cannot be read to its end, the
// rows that are complete by then are still reported and measured. Ports that the
// tables lack are asked for, before the read counts as complete.
func (portsModule) Run(ctx context.Context, c *Context) error {
	r := newReader(c.Session, present(c.Target.Ports), c.expects(), c.lacking())
	recall := c.mayRecall() || c.late()
	memory := c.Target.Memory
	if !recall {
		memory = nil
	}
	began := time.Now()
	err, counted := c.readTables(ctx, r, recall)
	took := time.Since(began)
	if err != nil && hopeless(ctx, err) && len(r.rows) == 0 {
		return err
	}
	if recall {
		strangers := c.recall(r)
		if counted == nil || !hopeless(ctx, counted) {
			err = first(err, r.describeRows(ctx, strangers))
		}
	}
	rows, narrow := c.portRows(r), false
	if counted == nil {
		if counted = c.welcome(ctx, r, rows); counted == nil {
			narrow, counted = r.standIn(ctx, rows, memory)
		}
		err = first(err, counted)
	}
	if c.late() && (err == nil || !hopeless(ctx, err)) {
		err = first(err, r.refresh(ctx))
	}
	var others further
	if err == nil || !hopeless(ctx, err) {
		var failed error
		others, failed = c.readFurther(ctx, r, recall, err == nil)
		err = first(err, failed)
	}
	all := together(r, rows, others.rows)
	whole := slices.DeleteFunc(slices.Clone(all), func(row *row) bool { return row.torn })
	if len(whole) < len(all) {
		err = first(err, errRenumbered)
	}
	err = first(err, c.addPorts(ctx, r, &others, whole, narrow, counted == nil, err == nil))
	c.Report.Poll.PortsComplete = err == nil
	c.remember(r, rows, memory)
	if recall && !c.late() && len(c.Target.Ports) > 0 {
		switch costs, selected := &c.Report.Memory.costs, c.selects(); {
		case err == nil:
			costs.spent(selected, took)
		case selected:
			costs.failed(took)
		}
	}
	return err
}

// readTables reads what each poll reads of all ports. counted is why the counters
// may be incomplete, err why any of it may be. Of a device whose last poll was
// complete all columns are read side by side, which takes the fewest replies; else
// those that tell of the ports come first, since there may not be time for all.
func (c *Context) readTables(ctx context.Context, r *reader, recall bool) (err, counted error) {
	if recall && len(c.Target.Ports) == 0 {
		if n, _ := c.ifNumber.Value.Uint(); n == 0 && c.Target.Memory.portless() {
			return nil, nil // once an hour it is looked at all the same
		}
		// Most likely it has none: the others are not asked for.
		if err = r.walk(ctx, []field{fieldOperStatus, fieldName}, true); err != nil || len(r.rows) == 0 {
			return err, err
		}
	}
	if recall && !c.late() && c.selects() {
		return c.readSelected(ctx, r)
	}
	if recall && !c.late() {
		counted := counters(r.lacks)
		err = r.walk(ctx, slices.Concat(counted, liveFields, families[3].standIns(r.lacks)), true)
		r.dropStateless()
		if err == nil {
			return nil, nil
		}
		err = fmt.Errorf("read states and counters: %w", err)
		if r.failed&maskOf(counted) == 0 {
			return err, nil
		}
		return err, err
	}
	if err = r.describe(ctx, recall); err != nil && hopeless(ctx, err) {
		return err, err
	}
	counted = r.count(ctx)
	return first(err, counted), counted
}

// first is the first of two errors that is one.
func first(err, next error) error {
	if err != nil {
		return err
	}
	return next
}

// errRenumbered says that ports changed their numbers while they were read.
// Those are left out; the next poll finds them under their new ones.
var errRenumbered = errors.New("ports were renumbered or renamed while they were read")

func present(ports []device.Port) int {
	n := 0
	for i := range ports {
		if !ports[i].Vanished {
			n++
		}
	}
	return n
}

// describe reads what describes the ports, but for their names: those come with their octets.
func (r *reader) describe(ctx context.Context, recall bool) error {
	fields := liveFields
	if !recall {
		fields = append(append([]field{}, liveFields...), fixedFields...)
	}
	if err := r.walk(ctx, fields, true); err != nil {
		return fmt.Errorf("read states: %w", err)
	}
	return nil
}

// describeRows reads the columns that hardly ever change for some rows.
func (r *reader) describeRows(ctx context.Context, rows []int) error {
	if err := r.fetch(ctx, fixedFields, rows); err != nil {
		return fmt.Errorf("read descriptions: %w", err)
	}
	return nil
}

// late says that the fixed columns are to be read after the counters: the last
// poll did not get to its end. A device that is too slow for its interval would
// lose its counters to what hardly ever changes, at each poll.
func (c *Context) late() bool {
	d := &c.Target.Device
	return d.LastOutcome == device.OutcomePartial && len(c.Target.Ports) > 0 && c.Report.Poll.Facts != nil && !c.rebooted
}

// refresh reads the fixed columns of the rows for which the inventory stood so far.
func (r *reader) refresh(ctx context.Context) error {
	if err := r.walk(ctx, fixedFields, false); err != nil {
		return fmt.Errorf("read descriptions: %w", err)
	}
	for i := range r.rows {
		r.rows[i].known = -1
	}
	return nil
}

// absent are the objects to ask for to learn whether the device has ports that
// no row was found to be. found is what MatchPorts says of the rows.
func (c *Context) absent(r *reader, others *further, found []int) (oids []snmp.OID) {
	matched := make([]bool, len(c.Target.Ports))
	for _, k := range found {
		if k >= 0 {
			matched[k] = true
		}
	}
	for k := range c.Target.Ports {
		index := c.Target.Ports[k].State.IfIndex
		if c.Target.Ports[k].State.Row != "" || matched[k] || c.Target.Ports[k].Vanished || index <= 0 || index > math.MaxUint32 || len(oids) >= 2*maxConfirmed {
			continue
		}
		i, read := r.byIndex[index]
		if read && (r.rows[i].has(fieldName) || r.rows[i].has(fieldDescr)) {
			continue // the row is no port any more, or another port
		}
		oids = append(oids, columns[fieldOperStatus].Append(uint32(index)), columns[fieldName].Append(uint32(index)))
	}
	return append(oids, c.absentOf(others, matched, maxConfirmed)...)
}

// maxConfirmed is how many absent ports are asked for; an agent that hides ports hides some of these.
const maxConfirmed = 8

// confirmAbsent asks for ports that the tables lacked by their own names. An agent
// that answers table requests wrongly (with a row left out, or with the name of
// something else, which looks like the end of a column) still has them, and so
// the tables were not read to their end. One that refuses to say is believed.
func (c *Context) confirmAbsent(ctx context.Context, r *reader, others *further, found []int) error {
	oids := c.absent(r, others, found)
	if len(oids) == 0 {
		return nil
	}
	answers, err := c.Session.Get(ctx, oids...)
	var status *snmp.StatusError
	switch {
	case errors.As(err, &status):
		return nil
	case err != nil:
		return fmt.Errorf("ask for ports that the tables lack: %w", err)
	}
	for _, a := range answers {
		if a.Value.Exists() {
			return fmt.Errorf("%w: the tables lack %s, which the device has", snmp.ErrUnexpected, a.OID)
		}
	}
	return nil
}

// mayRecall says whether the fixed columns (ifDescr, ifType, ifMtu,
// ifPhysAddress: a fifth of a poll) may be taken from the inventory instead of
// the device. They are read from the device
//
//   - when its last poll was not complete (then after the counters), or this one does not know its facts;
//   - when it restarted since;
//   - once an hour, at a minute that the device's id decides;
//   - and for each row that the inventory does not know by ifIndex and ifName;
//   - at each poll of a device that has no other column to find its ports by.
//
// So a change of ifMtu that comes without a restart is noticed within the hour.
func (c *Context) mayRecall() bool {
	d := &c.Target.Device
	return d.LastOutcome == device.OutcomeUp && len(without(liveFields, c.lacking())) > 0 && c.Report.Poll.Facts != nil && !c.rebooted &&
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
		if ok && !port.Vanished && port.State.Row == "" && port.State.IfName != "" && port.State.IfType != "" &&
			port.State.IfName == r.rows[i].identity() {
			r.rows[i].known = k
		}
	}
	for i := range r.rows {
		r.rows[i].hidden = r.rows[i].known < 0 && c.Target.Memory.hides(&r.rows[i])
		if !r.rows[i].hidden && r.rows[i].known < 0 && r.rows[i].number(fieldOperStatus) != operNotPresent {
			strangers = append(strangers, i)
		}
	}
	return strangers
}

// portRows returns the rows that are ports, by ifIndex.
func (c *Context) portRows(r *reader) []int {
	rules := c.portRules()
	ports := make([]int, 0, len(r.rows))
	for i := range r.rows {
		row := &r.rows[i]
		var known *device.PortState
		if row.known >= 0 {
			known = &c.Target.Ports[row.known].State
		}
		if row.isPort(known, rules) {
			ports = append(ports, i)
		}
	}
	slices.SortFunc(ports, func(a, b int) int { return cmp.Compare(r.rows[a].index, r.rows[b].index) })
	return ports
}

// portRules are the OS's own rules of what is a port, nil when it has none or is
// not known. A device that was not discovered yet is known by what it says of
// itself, as far as that tells: else rows would become ports until then.
func (c *Context) portRules() *definitions.Ports {
	var found *definitions.OS
	facts, set := c.Report.Poll.Facts, c.Target.Definitions
	switch {
	case c.finder != nil && c.finder.os != nil:
		found = c.finder.os
	case set == nil:
	case c.Target.Device.Facts.OS != "":
		found = set.Find(c.Target.Device.Facts.OS)
	case facts != nil:
		found = set.Detect(snmp.OID(facts.SysObjectID), facts.SysDescr, nil)
	}
	if found == nil {
		return nil
	}
	return &found.Ports
}
