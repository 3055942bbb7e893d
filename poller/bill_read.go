package poller

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"pollux/billing"
	"pollux/snmp"
)

const (
	maxBillObjects = 50   // of one request, unless the target says otherwise
	maxBillReply   = 1400 // bytes: what one Ethernet frame carries, and a little spare
	billHeaders    = 150  // bytes of a reply beside what it says of ports: SNMPv3's headers and sysUpTime

	wideBits, narrowBits = 64, 32
	// widthKept is for how many slots a port that had 64-bit counters is not read by its 32-bit ones: an agent
	// that has just started may bring out the former later. The two cannot be compared, so that a change costs the
	// bytes of a slot, while a slot that is missing costs none.
	widthKept = 3

	// What a port takes in a reply, in bytes: two Counter64, one TimeTicks, one Gauge32 of ifHighSpeed and a name
	// without its text; and what its 32-bit counters, ifDescr and ifSpeed add.
	billPortSize   = 117
	billNarrowSize = 87
	billCounter    = 9 // a Counter64, without its tag and length
)

// What is asked of each port, and of one that may lack the wide counters, or its ifName. What was
// asked before is asked again then: all that a reading holds must be in one PDU. So must the speed that
// judges the counters: the inventory's is as old as the last poll.
var (
	billFields       = []field{fieldName, wideInOctets, wideOutOctets, fieldDiscontinuity, fieldHighSpeed}
	billNarrowFields = []field{
		fieldName, wideInOctets, wideOutOctets, fieldDiscontinuity, fieldHighSpeed, fieldDescr, narrowInOctets, narrowOutOctets, fieldSpeed,
	}
	// Ports of other tables have 64-bit counters or none that are read for bills.
	billTableFields = []field{fieldName, wideInOctets, wideOutOctets, fieldDiscontinuity, fieldHighSpeed, fieldSpeed}
	// SNMPv1 refuses a whole request for one object that the agent does not have, and has no Counter64.
	billFieldsV1 = []field{fieldName, fieldDiscontinuity, fieldDescr, narrowInOctets, narrowOutOctets, fieldSpeed}
)

func isIndex(index int64) bool { return index > 0 && index <= math.MaxUint32 }

// fields are those that are asked of a port.
func (b *billReader) fields(p *billed) []field {
	switch {
	case p.table != nil:
		return without(billTableFields, ^p.table.has)
	case !p.narrow:
		return billFields
	case b.target.Device.Credentials.Version == snmp.V1:
		return billFieldsV1
	default:
		return billNarrowFields
	}
}

// readPorts reads ports, as many in one request as fit into a reply.
func (b *billReader) readPorts(ctx context.Context, ports []*billed) {
	for len(ports) > 0 && !b.ended {
		n := b.fit(ports)
		b.readGroup(ctx, ports[:n])
		ports = ports[n:]
	}
}

// fit says how many of the first ports one request asks for, at least one.
func (b *billReader) fit(ports []*billed) int {
	size, objects := billHeaders, 1 // sysUpTime.0
	for n, p := range ports {
		size += b.size(p)
		objects += len(b.fields(p))
		if n > 0 && (size > maxBillReply || objects > b.objects || b.most > 0 && n >= b.most) {
			return n
		}
	}
	return len(ports)
}

// size is about how many bytes a port takes in a reply.
func (b *billReader) size(p *billed) int {
	size := billPortSize + len(p.Name)
	if p.table != nil {
		size = len(p.Name)
		for _, f := range b.fields(p) {
			size += snmp.VariableSize(p.oid(f), snmp.Value{}) + billCounter
		}
	}
	if p.narrow {
		size += billNarrowSize + len(p.Name)
	}
	return size
}

// oid is the object of a field of a port.
func (p *billed) oid(f field) snmp.OID {
	if p.table != nil {
		return p.table.columns[f] + snmp.OID("."+p.at)
	}
	return columns[f].Append(uint32(p.index))
}

// readGroup reads some ports in one request. What the agent does not answer in
// one PDU, because it is too big or because of one of them, is asked for in halves.
func (b *billReader) readGroup(ctx context.Context, group []*billed) {
	oids := []snmp.OID{oidSysUpTime}
	for _, p := range group {
		for _, f := range b.fields(p) {
			oids = append(oids, p.oid(f))
		}
	}
	b.report.Requests++
	vars, err := b.session.Get(ctx, oids...)
	if err == nil && len(vars) != len(oids) {
		err = fmt.Errorf("%w: %d values for %d objects", snmp.ErrUnexpected, len(vars), len(oids))
	}
	switch {
	case err != nil && (hopeless(ctx, err) || errors.Is(err, snmp.ErrAuth)):
		b.end(ctx, err)
		return
	case err != nil:
		b.report.Reason = oneLine(err.Error())
		b.halve(ctx, group)
		return
	}
	var torn []*billed
	uptime, rest := vars[0], vars[1:]
	for _, p := range group {
		n := len(b.fields(p))
		if !b.take(p, uptime, rest[:n]) {
			torn = append(torn, p)
		}
		rest = rest[n:]
	}
	if len(torn) > 0 {
		b.most = max(len(group)/2, 1) // the session has split the request: the agent does not take as many
		b.halve(ctx, torn)
	}
}

// halve reads each half of some ports alone. A single one is given up.
func (b *billReader) halve(ctx context.Context, group []*billed) {
	if len(group) == 1 {
		group[0].miss = BillRefused
		return
	}
	half := (len(group) + 1) / 2
	b.readPorts(ctx, group[:half:half])
	b.readPorts(ctx, group[half:])
}

// answered is what one PDU said of a port.
type answered struct {
	row
	at time.Time
}

// take takes over what was answered for a port. false says that it came in more than one PDU, so that its
// parts need not belong together.
func (b *billReader) take(p *billed, uptime snmp.Variable, vars []snmp.Variable) bool {
	var a answered
	for i, f := range b.fields(p) {
		v := vars[i]
		if !v.Value.Exists() {
			continue
		}
		if uptime.Value.Exists() && !v.At.Equal(uptime.At) || !a.at.IsZero() && !v.At.Equal(a.at) {
			return false
		}
		a.at = v.At
		if f != wideInOctets && f != wideOutOctets || v.Value.Type() == snmp.TypeCounter64 {
			a.set(f, v.Value, v.At) // a wide counter of another type would wrap where nobody knows
		}
	}
	if p.table != nil {
		b.takeFurther(p, &a, uptime)
		return true
	}
	name := a.text(fieldName)
	if name == "" && p.narrow {
		name = a.text(fieldDescr)
	}
	wide := a.has(wideInOctets) && a.has(wideOutOctets)
	switch {
	case name == "" && !p.narrow:
		p.narrow = true // it has no ifName: ifDescr says whose the counters are
	case name != p.Name:
		p.lost = true
	case wide && (p.narrow && !a.pretends() || a.number(wideInOctets)|a.number(wideOutOctets) != 0):
		p.reading = b.reading(p, &a, uptime, wideBits)
	case !p.narrow:
		p.narrow = true // it lacks wide counters, or they stand at 0, as those do that an agent only pretends to have
	case !a.has(narrowInOctets) || !a.has(narrowOutOctets):
		p.miss = BillRefused
	case p.Bits == wideBits && b.target.Slot-p.Last <= widthKept*int64(b.target.Interval):
		p.miss = BillNarrow
	default:
		p.reading = b.reading(p, &a, uptime, narrowBits)
	}
	return true
}

// pretends says that the agent has wide counters in name only: the narrow ones of the same PDU count.
func (a *answered) pretends() bool {
	return a.number(wideInOctets)|a.number(wideOutOctets) == 0 && a.number(narrowInOctets)|a.number(narrowOutOctets) != 0 &&
		a.has(narrowInOctets) && a.has(narrowOutOctets)
}

// speed is what the agent says of the port's speed, in bit/s; 0 when it says nothing. ifHighSpeed is in
// Mbit/s; ifSpeed is asked for beside 32-bit counters only, and ends at 4.29 Gbit/s (RFC 2863). That of another table may have 64 bits.
func (a *answered) speed(beside bool) uint64 {
	limit := uint64(math.MaxUint32)
	if beside {
		limit = maxSpeed
	}
	return max(min(a.number(fieldHighSpeed), math.MaxUint32)*1_000_000, min(a.number(fieldSpeed), limit))
}

// reading is what is kept. A device that does not say when it started, or when its counters did, has 0 there.
func (b *billReader) reading(p *billed, a *answered, uptime snmp.Variable, width int) *billing.Reading {
	r := &billing.Reading{
		Port: p.ID, Slot: b.target.Slot, Interval: b.target.Interval, Read: a.at, Index: p.index, Speed: max(p.Speed, a.speed(p.table != nil)), Bits: width,
		In: a.number(wideInOctets), Out: a.number(wideOutOctets),
	}
	if width == narrowBits {
		r.In, r.Out = a.number(narrowInOctets), a.number(narrowOutOctets)
	}
	if ticks, ok := uptime.Value.Uint(); ok && ticks <= math.MaxUint32 {
		r.Uptime = uint32(ticks)
	}
	if ticks := a.number(fieldDiscontinuity); ticks <= math.MaxUint32 {
		r.Discontinuity = uint32(ticks)
	}
	return r
}
