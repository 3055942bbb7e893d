package poller

import (
	"context"
	"strconv"
	"time"

	"pollux/device"
	"pollux/measurement"
)

// portValues is the number of sources of a port's file.
const portValues = 15

// The sources of a port's octets.
const (
	inOctets  = 0
	outOctets = 1
)

// maxGeneration bounds the files that a change of speed may open: a device that
// claims a higher speed at each poll must not fill the disk.
const maxGeneration = 100

// port is one port as it was read: its state, the values of its sources in
// their order, and when its octets were read.
type port struct {
	state  device.PortState
	values []measurement.Value
	at     time.Time
	narrow uint16 // a bit for each source whose value is a 32-bit counter that stands in for a 64-bit one

	skipped      bool // its counters were left out
	discontinued bool // its counters began anew since the last sample
	lapsed       bool // the last sample is too long ago for a difference
}

// addPorts adds the given rows to the report. After a read of the counters that
// ended early, rows without octets are left out. If all columns were read to
// their ends, ports that no row is are asked for; the error says that the device has one.
func (c *Context) addPorts(ctx context.Context, r *reader, others *further, rows []*row, narrow, counted, ended bool) (err error) {
	values := make([]measurement.Value, len(rows)*portValues)
	c.ports = make([]port, 0, len(rows))
	states := make([]device.PortState, 0, len(rows))
	read, unread := make([]*row, 0, len(rows)), uint64(0) // of those that are added
	for _, row := range rows {
		p := port{values: values[:portValues:portValues]}
		p.at, p.narrow = row.counters(p.values, narrow)
		if p.skipped = row.skipped; p.skipped && row.seen&maskOf(liveFields) != 0 {
			p.at = c.Report.Poll.At // nothing is known from here on: what comes later must not go on from before
		}
		p.discontinued = c.discontinued(row)
		if !counted && !p.skipped && p.values[0].IsUnknown() && p.values[1].IsUnknown() {
			clear(p.values)
			continue
		}
		values = values[portValues:]
		c.ports = append(c.ports, p)
		states = append(states, c.state(row))
		read, unread = append(read, row), unread|row.unread
	}
	c.Report.Poll.Ports = make([]device.PortReading, 0, len(c.ports))
	var found []int
	if ended {
		found = device.MatchPorts(c.Target.Ports, readings(states))
		if err = c.confirmAbsent(ctx, r, others, found); err != nil {
			r.failed |= maskOf(liveFields) | maskOf(fixedFields) // cells may be missing too
		}
	}
	if r.failed|unread != 0 {
		c.keepUnread(r, read, states)
		found = nil
	}
	if found == nil {
		found = device.MatchPorts(c.Target.Ports, readings(states))
	}
	for i, k := range found {
		c.ports[i].state = states[i]
		c.addPort(&c.ports[i], k)
	}
	c.tellUnbounded()
	return err
}

// readings are states as MatchPorts takes them, of ports whose ids are not known yet.
func readings(states []device.PortState) []device.PortReading {
	all := make([]device.PortReading, len(states))
	for i := range states {
		all[i].State = states[i]
	}
	return all
}

// keepUnread leaves in place what the inventory holds of a port where a column
// could not be read, so that a fault of the agent does not look like a change. rows are those of the states.
func (c *Context) keepUnread(r *reader, rows []*row, states []device.PortState) {
	known := make(map[int64]*device.PortState, len(c.Target.Ports))
	placed := make(map[string]*device.PortState)
	for k := range c.Target.Ports {
		switch port := &c.Target.Ports[k]; {
		case port.Vanished:
		case port.State.Row != "":
			placed[port.State.Row] = &port.State
		default:
			known[port.State.IfIndex] = &port.State
		}
	}
	for i := range states {
		s, row := &states[i], rows[i]
		failed := r.failed
		old, ok := known[s.IfIndex]
		if s.Row != "" {
			failed = row.unread
			old, ok = placed[s.Row]
		}
		lost := func(f field) bool { return failed&^row.seen&(1<<f) != 0 }
		switch {
		case !ok:
			continue
		case lost(fieldName) && old.IfDescr == s.IfDescr:
			s.IfName = old.IfName
		case old.IfName != s.IfName:
			continue
		}
		keepLost(s, old, lost)
		if lost(fieldDescr) && row.text(fieldAlias) == "" {
			s.IfAlias = old.IfAlias // it was filled from ifDescr
		}
	}
}

func keepLost(s, old *device.PortState, lost func(field) bool) {
	if lost(fieldDescr) {
		s.IfDescr = old.IfDescr
	}
	if lost(fieldAlias) {
		s.IfAlias = old.IfAlias
	}
	if lost(fieldType) {
		s.IfType = old.IfType
	}
	if lost(fieldMTU) {
		s.IfMTU = old.IfMTU
	}
	if lost(fieldHighSpeed) {
		s.IfSpeed = old.IfSpeed
	}
	if lost(fieldAdminStatus) {
		s.IfAdminStatus = old.IfAdminStatus
	}
	if lost(fieldOperStatus) {
		s.IfOperStatus = old.IfOperStatus
	}
	if lost(fieldLastChange) {
		s.IfLastChange = old.IfLastChange
	}
	if lost(fieldPhysAddress) {
		s.IfPhysAddress = old.IfPhysAddress
	}
}

// addPort adds one port, which is the k-th of the inventory or, with k < 0, a new one.
func (c *Context) addPort(p *port, k int) {
	reading := device.PortReading{State: p.state}
	reading.InOctets, _ = p.values[inOctets].AsCounter()
	reading.OutOctets, _ = p.values[outOctets].AsCounter()
	c.bound(p)
	if k >= 0 {
		known := &c.Target.Ports[k]
		reading.PortID, reading.Generation, reading.RRDMax = known.ID, known.Generation, known.RRDMax
		if !known.Disabled && known.ID != 0 && !p.at.IsZero() {
			reading.Generation, reading.RRDMax = file(known, p.state.IfSpeed)
			c.Report.Measurements = append(c.Report.Measurements, measurement.Measurement{
				Kind: measurement.KindPort, Instance: known.ID, Generation: reading.Generation, Max: reading.RRDMax,
				Time: p.at, Values: p.filed(), Break: c.breaks(p, known),
			})
		}
	}
	c.Report.Poll.Ports = append(c.Report.Poll.Ports, reading)
}

// file says which file of a port takes its values: the one it has, or a new
// generation when the port's speed has outgrown the maximum of that one.
func file(known *device.Port, speed uint64) (generation int, limit uint64) {
	limit = measurement.PortMax(speed)
	switch {
	case known.RRDMax == 0:
		return known.Generation, limit
	case limit > known.RRDMax && known.Generation < maxGeneration:
		return known.Generation + 1, limit
	default:
		return known.Generation, known.RRDMax
	}
}

// counters fills the 15 values of a port in the order of its sources. It
// returns when its octets were read, or the other counters when it has no
// octets; zero when it has no counter at all. stands has a bit for each value
// that a 32-bit counter stands in for.
func (r *row) counters(values []measurement.Value, narrow bool) (at time.Time, stands uint16) {
	_ = values[portValues-1]
	pick := func(source int, wide, stand field) {
		switch {
		case r.has(wide) && (r.number(wide) > 0 || !narrow || !r.has(stand)):
			values[source] = measurement.Counter(r.number(wide))
		case r.has(stand):
			values[source] = measurement.Counter(r.number(stand))
			stands |= 1 << source
		}
	}
	only := func(source int, f field) {
		if r.has(f) {
			values[source] = measurement.Counter(r.number(f))
		}
	}
	pick(inOctets, wideInOctets, narrowInOctets)
	pick(outOctets, wideOutOctets, narrowOutOctets)
	only(2, inErrors)
	only(3, outErrors)
	pick(4, wideInUcast, narrowInUcast)
	pick(5, wideOutUcast, narrowOutUcast)
	only(8, inDiscards)
	only(9, outDiscards)
	only(10, inUnknownProtos)
	pick(11, wideInBroadcast, narrowInBroadcast)
	pick(12, wideOutBroadcast, narrowOutBroadcast)
	pick(13, wideInMulticast, narrowInMulticast)
	pick(14, wideOutMulticast, narrowOutMulticast)
	// ifInNUcastPkts counts what these count: it is filed only where they are missing.
	if values[11].IsUnknown() && values[13].IsUnknown() {
		only(6, narrowInNUcast)
	}
	if values[12].IsUnknown() && values[14].IsUnknown() {
		only(7, narrowOutNUcast)
	}
	return r.countedAt(narrow), stands
}

// countedAt is when the counters were read that stand for a row's octets.
func (r *row) countedAt(narrow bool) time.Time {
	switch {
	case !r.narrowAt.IsZero() && (narrow || r.wideAt.IsZero()):
		return r.narrowAt
	case !r.wideAt.IsZero():
		return r.wideAt
	}
	return r.sharedAt
}

// state is what the inventory keeps of a row. Empty names are filled from the
// others, as LibreNMS does. A port that reports ifHighSpeed 0 has speed 0,
// whatever its ifSpeed says.
func (c *Context) state(r *row) device.PortState {
	s := device.PortState{
		IfIndex: r.index, Row: r.place, IfName: r.text(fieldName), IfAlias: r.text(fieldAlias),
		IfSpeed:       r.number(fieldSpeed),
		IfAdminStatus: statusName(adminStatus[:], r.number(fieldAdminStatus)),
		IfOperStatus:  statusName(operStatus[:], r.number(fieldOperStatus)),
		IfLastChange:  int64(r.number(fieldLastChange) & (1<<32 - 1)),
	}
	if r.has(fieldHighSpeed) {
		s.IfSpeed = min(r.number(fieldHighSpeed), 1<<32-1) * 1_000_000
	}
	if r.known >= 0 {
		known := &c.Target.Ports[r.known].State
		s.IfDescr, s.IfType, s.IfMTU, s.IfPhysAddress = known.IfDescr, known.IfType, known.IfMTU, known.IfPhysAddress
	} else {
		s.IfDescr, s.IfPhysAddress = r.text(fieldDescr), r.text(fieldPhysAddress)
		s.IfMTU = int64(min(r.number(fieldMTU), 1<<31-1))
		if r.has(fieldType) {
			s.IfType = r.typeName()
		}
	}
	if s.IfDescr == "" {
		s.IfDescr = s.IfName
	}
	if s.IfName == "" {
		s.IfName = s.IfDescr
	}
	if s.IfAlias == "" {
		s.IfAlias = s.IfDescr
	}
	return s
}

// The names of ifAdminStatus and ifOperStatus by number (RFC 2863).
var (
	adminStatus = [...]string{1: "up", 2: "down", 3: "testing"}
	operStatus  = [...]string{1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent", 7: "lowerLayerDown"}
)

// statusName is a status by name; a number that has none stays a number, and 0 (not read) is "".
func statusName(names []string, n uint64) string {
	switch {
	case n < uint64(len(names)):
		return names[n]
	default:
		return strconv.FormatUint(n, 10)
	}
}
