package poller

import (
	"context"
	"time"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// Cost is what reading a device takes.
type Cost struct {
	Asked   int `json:"asked"`   // objects asked for: of tables those that came, and one for the end of each column
	Bytes   int `json:"bytes"`   // of these objects and their values in replies
	Replies int `json:"replies"` // that brought them
	Fewest  int `json:"fewest"`  // replies of one Ethernet frame each that they would fill
}

// Costs are those of a discovery of a device and of the poll after it.
type Costs struct {
	Discovery Cost `json:"discovery"`
	Poll      Cost `json:"poll"`
	// Ports and Measurements are those of the poll that was measured; the First ones, of a poll that knew nothing before, are as many unless less was read than is there.
	Ports             int `json:"ports"`
	FirstPorts        int `json:"first_ports"`
	Measurements      int `json:"measurements"`
	FirstMeasurements int `json:"first_measurements"`
}

// Metered is a session that counts its messages; *snmp.Session is one.
type Metered interface {
	Session
	Stats() snmp.Stats
}

// MeasureCosts discovers and polls a device that no inventory knows, and then
// measures a poll of it as one that is known, in a session of its own: what its
// polls cost from then on. The Report is that of this poll.
func MeasureCosts(ctx context.Context, s, fresh Metered, t Target, set *definitions.Set) (Costs, Report) {
	var costs Costs
	t.Definitions = set
	m := &meter{Metered: s, before: s.Stats().Replies}
	found, _ := Discover(ctx, m, t, set)
	costs.Discovery = m.cost()
	if found.Facts != nil {
		t.Device.Facts = *found.Facts
	}
	t.Device.Lacks, t.Components = found.Lacks, found.Components
	first := Poll(ctx, s, t)
	if first.Poll.Facts != nil {
		t = asKnown(t, first)
		first = Poll(ctx, s, forgotten(t))
	}
	costs.FirstPorts, costs.FirstMeasurements = len(first.Poll.Ports), len(first.Measurements)
	m = &meter{Metered: fresh, before: fresh.Stats().Replies}
	report := Poll(ctx, m, t)
	costs.Poll = m.cost()
	costs.Ports, costs.Measurements = len(report.Poll.Ports), len(report.Measurements)
	return costs, report
}

// asKnown is the target of the next poll after a report, as the inventory would hold it.
func asKnown(t Target, r Report) Target {
	d := &t.Device
	d.Status, d.LastOutcome, d.PolledAt, d.Facts = device.StatusUp, r.Poll.Outcome, r.Poll.At, *r.Poll.Facts
	// No hour of the device begins before the next poll: the columns that hardly change are not due.
	for window(d.ID, d.PolledAt) != window(d.ID, d.PolledAt.Add(fixedEvery/60)) {
		d.ID++
	}
	t.Memory = r.Memory
	t.Ports = make([]device.Port, len(r.Poll.Ports))
	for i, p := range r.Poll.Ports {
		t.Ports[i] = device.Port{ID: int64(i + 1), DeviceID: d.ID, State: p.State}
	}
	for i := range t.Components {
		t.Components[i].ID = int64(i + 1)
	}
	return t
}

// forgotten is a target of which a poll reads everything.
func forgotten(t Target) Target {
	t.Memory, t.Device.Lacks, t.Device.PolledAt = nil, nil, time.Time{}
	return t
}

// meter is a session that counts what is asked for.
type meter struct {
	Metered
	before int // replies before it
	count  Cost
}

// frame is what a reply of one Ethernet frame holds beside the header of an SNMP message: 1,472 bytes less the least that RFC 3416 lets a header take.
const frame = 1472 - 32

func (m *meter) cost() Cost {
	c := m.count
	c.Replies = m.Stats().Replies - m.before
	c.Fewest = (c.Bytes + frame - 1) / frame
	return c
}

func (m *meter) add(size int) {
	m.count.Asked++
	m.count.Bytes += size
}

// Greet implements Session.
func (m *meter) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars, err := m.Metered.Greet(ctx, tries, timeout, oids...)
	for _, v := range vars {
		m.add(snmp.VariableSize(v.OID, v.Value))
	}
	return vars, err
}

// Get implements Session.
func (m *meter) Get(ctx context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars, err := m.Metered.Get(ctx, oids...)
	for _, v := range vars {
		m.add(snmp.VariableSize(v.OID, v.Value))
	}
	return vars, err
}

// Table implements Session.
func (m *meter) Table(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
	last := make([]int, len(r.Columns))
	for i, oid := range r.Columns {
		last[i] = snmp.VariableSize(oid, snmp.Value{})
	}
	err := m.Metered.Table(ctx, r, func(c snmp.Cell) {
		if c.Column >= 0 && c.Column < len(last) {
			last[c.Column] = snmp.VariableSize(r.Columns[c.Column]+snmp.OID("."+c.Index), c.Value)
			m.add(last[c.Column])
		}
		each(c)
	})
	if r.FirstRows == 0 {
		for _, size := range last { // what shows the end of a column is about as long as its last row
			m.add(size)
		}
	}
	return err
}
