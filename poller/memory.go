package poller

import (
	"context"
	"time"
)

// Memory is what a poll leaves to the next poll of its device, if the same
// process does that one, too. It saves requests, and nothing depends on it.
type Memory struct {
	rows   int              // of the tables of ports, when they were last read to their ends; -1 when they never were
	hidden map[int64]string // ifName of the rows that are no ports, by ifIndex
	bare   map[int64]uint64 // fields that ports do not have, by ifIndex
	costs  costs            // of its ports, read either way
	quick  bool             // the first request was answered at once
	mute   int              // polls in a row whose first request asked for more than sysUpTime.0, in vain
	silent bool             // the agent was silent about objects of components that were asked for together
}

// maxHidden bounds what is remembered of rows that are no ports; each of the others is judged anew by each poll.
const maxHidden = 2000

// Size is what it takes in memory, in units of about 100 bytes.
func (m *Memory) Size() int {
	if m == nil {
		return 0
	}
	return 1 + len(m.hidden) + len(m.bare)/4
}

func (m *Memory) apart() bool { return m != nil && m.silent }

// quickly says whether the first request may ask for more than sysUpTime.0.
func (m *Memory) quickly() bool { return m != nil && m.quick && m.mute < maxMute }

// portless says whether the device had no port at an earlier poll.
func (m *Memory) portless() bool { return m != nil && m.rows == 0 && len(m.hidden) == 0 }

// formerRows is how many rows the tables of ports had when they were read to their ends; -1 when that is not known.
func (m *Memory) formerRows() int {
	if m == nil {
		return -1
	}
	return m.rows
}

// AfterDiscovery is what is left of a memory when its device was discovered anew.
func (m *Memory) AfterDiscovery() *Memory {
	if m == nil {
		return nil
	}
	kept := *m
	kept.hidden, kept.bare = nil, nil
	return &kept
}

// hides says whether a row was no port at an earlier poll, under the same name.
func (m *Memory) hides(r *row) bool {
	if m == nil {
		return false
	}
	name, ok := m.hidden[r.index]
	return ok && name == r.identity()
}

// absent are the fields that a row did not have at an earlier poll.
func (m *Memory) absent(r *row) uint64 {
	if m == nil {
		return 0
	}
	return m.bare[r.index]
}

// remember is what the next poll is to know. rows are those that are ports; a row is
// only judged for good when what it was judged by was read.
func (c *Context) remember(r *reader, ports []int, recalled *Memory) {
	m := &Memory{rows: len(r.rows), hidden: make(map[int64]string), bare: make(map[int64]uint64)}
	if r.failed != 0 { // of an agent without end each poll would expect more than the one before
		m.rows = c.Target.Memory.formerRows()
	}
	isPort := make(map[int]bool, len(ports))
	for _, i := range ports {
		isPort[i] = true
	}
	for i := range r.rows {
		row := &r.rows[i]
		judged := row.hidden || r.failed == 0 && row.number(fieldOperStatus) != operNotPresent
		if !isPort[i] && judged && len(m.hidden) < maxHidden {
			m.hidden[row.index] = row.identity()
		}
		if absent := row.absent | recalled.absent(row); absent != 0 && isPort[i] {
			m.bare[row.index] = absent &^ row.seen
		}
	}
	if c.Target.Memory != nil {
		m.costs = c.Target.Memory.costs
	}
	c.Report.Memory = m
}

// identity is the name by which a row is known again: its ifName, or its ifDescr where the device has no names.
func (r *row) identity() string {
	if r.has(fieldName) {
		return r.text(fieldName)
	}
	return r.text(fieldDescr)
}

// expects is how many rows the tables of ports are likely to have.
func (c *Context) expects() int {
	if m := c.Target.Memory; m != nil && m.rows > 0 {
		return m.rows
	}
	return present(c.Target.Ports)
}

// maxMute is after how many of them the agent is taken for one that cannot answer: one packet may get lost.
const maxMute = 2

// quickAnswer is how soon an agent answers that is asked for more with the first request.
const quickAnswer = 200 * time.Millisecond

// settle notes how the agent answered. A fault is not forgotten as long as the memory lasts.
func (c *Context) settle(ctx context.Context) {
	m := c.Report.Memory
	if m == nil {
		m = &Memory{rows: -1}
		c.Report.Memory = m
	}
	former := c.Target.Memory
	m.quick = c.Report.Poll.At.Sub(c.Report.FirstRequest) < quickAnswer
	if former != nil && c.greeting == nil {
		m.mute = former.mute
	}
	if c.unheard {
		m.mute++
	}
	m.silent = former.apart() || c.answers.apart && ctx.Err() == nil
}
