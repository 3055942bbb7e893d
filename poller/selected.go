package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// selects says whether this poll reads the counters of chosen ports one by one.
func (c *Context) selects() bool {
	if len(c.Target.Ports) == 0 {
		return false
	}
	switch c.Target.Selection {
	case device.SelectAlways:
		return true
	case device.SelectAuto: // in v1 each object that is not there takes an answer of its own (RFC 1157, 4.1.2)
		return c.Target.Device.Credentials.Version != snmp.V1 && c.Target.Memory.prefersSelected()
	default:
		return false
	}
}

// readSelected reads states and names of all ports, so that those that come, go
// or come up are seen, and then the counters of the chosen ones.
func (c *Context) readSelected(ctx context.Context, r *reader) (err, counted error) {
	states := append(slices.Clone(liveFields), fieldName)
	if r.lacks&(1<<fieldName) != 0 {
		states = append(states, fieldDescr)
	}
	err = r.walk(ctx, slices.Concat(states, families[3].standIns(r.lacks)), true)
	r.dropStateless()
	if err != nil {
		err = fmt.Errorf("read states: %w", err)
		if hopeless(ctx, err) {
			return err, err
		}
	}
	c.choose(r)
	if counted = r.countChosen(ctx, counters(r.lacks)); counted != nil {
		counted = fmt.Errorf("read counters: %w", counted)
	}
	return first(err, counted), counted
}

// choose marks the rows whose counters are not read: ports that are not
// measured, rows that are no ports, and with SkipDown ports that are down and
// were down at the last poll. One that went down since is read a last time.
func (c *Context) choose(r *reader) {
	for k := range c.Target.Ports {
		port := &c.Target.Ports[k]
		i, ok := r.byIndex[port.State.IfIndex]
		if !ok || port.Vanished || port.State.Row != "" || port.State.IfName != r.rows[i].identity() {
			continue
		}
		was := port.State.IfAdminStatus == "down" || port.State.IfOperStatus == "down" || port.State.IfOperStatus == "lowerLayerDown"
		r.rows[i].skipped = port.Disabled || c.Target.SkipDown && was && r.rows[i].down()
	}
	for i := range r.rows {
		row := &r.rows[i]
		row.skipped = row.skipped || row.number(fieldOperStatus) == operNotPresent || c.Target.Memory.hides(row)
	}
}

// down says whether a port is down by choice or by its state (RFC 2863).
func (r *row) down() bool {
	const adminDown, operDown, lowerLayerDown = 2, 2, 7
	oper := r.number(fieldOperStatus)
	return r.number(fieldAdminStatus) == adminDown || oper == operDown || oper == lowerLayerDown
}

// countChosen reads fields of the rows that are not skipped, whole rows in a
// request, so that a port's octets and its name come in one PDU. An agent that refuses is asked for the columns.
func (r *reader) countChosen(ctx context.Context, fields []field) error {
	if fields = without(fields, r.lacks); len(fields) == 0 {
		return nil
	}
	var oids []snmp.OID
	var rows []int
	size := 0
	flush := func() error {
		vars, err := r.session.Get(ctx, oids...)
		if err != nil {
			return err
		}
		if len(vars) != len(oids) {
			return fmt.Errorf("%w: %d values for %d objects", snmp.ErrUnexpected, len(vars), len(oids))
		}
		for k, v := range vars {
			r.set(rows[k/len(fields)], fields[k%len(fields)], v.Value, v.At)
		}
		oids, rows, size = nil, nil, 0
		return nil
	}
	for i := range r.rows {
		if r.rows[i].skipped {
			continue
		}
		from := len(oids)
		for _, f := range fields {
			oids = append(oids, r.oid(f, &r.rows[i]))
			size += snmp.VariableSize(oids[len(oids)-1], snmp.Value{}) + likelyValue
		}
		if rows = append(rows, i); from > 0 && (size > fullReply || len(oids) > fullRequest) {
			last := slices.Clone(oids[from:])
			oids, rows = oids[:from], rows[:len(rows)-1]
			if walked, err := r.refusedOr(ctx, flush(), fields); walked || err != nil {
				return err
			}
			for _, oid := range last {
				size += snmp.VariableSize(oid, snmp.Value{}) + likelyValue
			}
			oids, rows = append(oids, last...), append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := r.refusedOr(ctx, flush(), fields)
	return err
}

// refusedOr walks the columns when the agent refused a GET.
func (r *reader) refusedOr(ctx context.Context, err error, fields []field) (walked bool, _ error) {
	var status *snmp.StatusError
	if errors.As(err, &status) {
		return true, r.walk(ctx, fields, false)
	}
	return false, err
}

// cost is how long the last polls of a device took for its ports, the latest first.
type cost [3]time.Duration

func (c *cost) add(d time.Duration) { c[2], c[1], c[0] = c[1], c[0], d }

// known says whether there are enough to compare.
func (c *cost) known() bool { return c[2] > 0 }

// median is not misled by one poll that was held up.
func (c *cost) median() time.Duration {
	sorted := *c
	slices.Sort(sorted[:])
	return sorted[1]
}

const (
	// worthwhile is what the other way must take at most of the time of this one, in percent, to be changed to.
	worthwhile = 80
	// retestEvery is after how many polls the other way is tried once.
	retestEvery = 100
)

// costs are what a device's ports took either way.
type costs struct {
	walked, selected cost
	now              bool // one by one
	polls            int  // since the other way was tried
}

// next says whether the next poll reads ports one by one: each way is tried three
// times, then the one that takes clearly less time stays; the other is tried now and then.
func (s *costs) next() bool {
	switch {
	case !s.walked.known():
		return false
	case !s.selected.known():
		return true
	case s.polls >= retestEvery:
		return !s.now
	default:
		return s.now
	}
}

// spent notes what a poll took.
func (s *costs) spent(selected bool, d time.Duration) {
	d = max(d, 1)
	if s.polls++; selected != s.now {
		s.polls = 0
	}
	if selected {
		s.selected.add(d)
	} else {
		s.walked.add(d)
	}
	if !s.walked.known() || !s.selected.known() {
		return
	}
	this, other := &s.walked, &s.selected
	if s.now {
		this, other = other, this
	}
	if other.median()*100 < this.median()*worthwhile {
		s.now = !s.now
	}
}

// failed notes that ports were read one by one, and not completely, which took so
// long: one such poll is enough, or a device for which it does not work is tried for ever.
func (s *costs) failed(d time.Duration) {
	d = max(d, 2*s.walked.median(), 1)
	s.selected, s.now, s.polls = cost{d, d, d}, false, 0
}

// prefersSelected says what the measured costs of the device are for.
func (m *Memory) prefersSelected() bool {
	if m == nil {
		return false
	}
	s := m.costs
	return s.next()
}
