package poller

import (
	"pollux/device"
	"pollux/poller/definitions"
)

// mempools adds the rows that are memory.
func (f *finder) mempools(m *definitions.Mempool, rows []definitions.Row) (count int) {
	for _, row := range rows {
		class := m.Class.Eval(row)
		if class == "" {
			continue
		}
		if c, ok := f.amount(device.KindMempool, &m.Entry, &m.Amounts, row); ok {
			c.Class = class
			f.add(c, &count)
		}
	}
	return count
}

// storage adds the rows that are storage.
func (f *finder) storage(s *definitions.Storage, rows []definitions.Row) (count int) {
	for _, row := range rows {
		if c, ok := f.amount(device.KindStorage, &s.Entry, &s.Amounts, row); ok {
			c.Label = clean([]byte(s.Kind.Expand(row)), maxText, " ")
			f.add(c, &count)
		}
	}
	return count
}

// amount is a row that says how much there is and how much of it is used. It is
// false for a row that is none, or whose numbers cannot be: those are counted.
func (f *finder) amount(kind device.ComponentKind, e *definitions.Entry, a *definitions.Amounts, row definitions.Row) (device.Component, bool) {
	for _, n := range []definitions.Num{a.Used, a.Free, a.Percent, a.PercentFree, a.Total} {
		if n.Column() != "" {
			row.Value = n.Column()
			break
		}
	}
	if !e.Counts(row) {
		return device.Component{}, false
	}
	m := amountReader{entry: e, row: row, percent: a.Percent}
	if m.percent.IsZero() {
		m.percent, m.reading.Inverted = a.PercentFree, true
	}
	var ok bool
	m.reading.Unit, ok = a.Unit.Eval(row, 1)
	if m.reading.TotalUnit, m.known = a.TotalUnit.Eval(row, m.reading.Unit); !ok {
		m.known = false
	}
	m.used, m.reading.Used = m.read(a.Used, m.reading.Unit)
	m.free, m.reading.Free = m.read(a.Free, m.reading.Unit)
	m.total, m.reading.Total = m.read(a.Total, m.reading.TotalUnit)
	if m.used == nil && m.free == nil && m.percent.IsZero() {
		return device.Component{}, false // the row does not have it
	}
	if !m.known || !m.complete() {
		f.found.Refused++
		return device.Component{}, false
	}
	m.reading.Skip = skips(e, row.Value)
	c := component(kind, e, row)
	c.Reading, c.Value, c.Used, c.Total, c.Limits.HighWarn = m.reading, m.share, m.used, m.total, warnAt(a.Warn, row)
	return c, true
}

// amountReader reads the amounts of a row.
type amountReader struct {
	entry             *definitions.Entry
	row               definitions.Row
	known             bool // the units are
	percent           definitions.Num
	used, free, total *float64 // bytes; nil where the row has none
	share             float64  // used, in percent
	reading           device.Reading
}

// read is one amount in bytes and the OID that it is read from, "" for a constant.
func (m *amountReader) read(n definitions.Num, unit float64) (*float64, string) {
	if n.IsZero() {
		return nil, ""
	}
	value, ok := n.Eval(m.row, 0)
	if !ok {
		return nil, ""
	}
	value *= unit
	return &value, oidOf(m.entry, n.Column(), m.row)
}

// complete computes what the others make, and says whether it can be: nothing
// negative, and no more used than there is.
func (m *amountReader) complete() bool {
	if m.total != nil && m.reading.Total == "" {
		m.reading.Constant = *m.total
	}
	switch {
	case m.used != nil && m.free != nil && m.total == nil:
		m.total = sum(*m.used, *m.free)
	case m.used != nil && m.total != nil && m.free == nil:
		m.free = sum(*m.total, -*m.used)
	case m.free != nil && m.total != nil && m.used == nil:
		m.used = sum(*m.total, -*m.free)
	case m.used != nil && m.free != nil:
	default:
		return m.completeByShare()
	}
	if *m.total <= 0 || *m.total > maxAmount || *m.used < 0 || *m.free < 0 || *m.used > *m.total {
		return false
	}
	m.share = 100 * *m.used / *m.total
	m.reading.Inverted = false
	return true
}

// completeByShare takes the used share that the device gives in percent.
func (m *amountReader) completeByShare() bool {
	share, ok := m.percent.Eval(m.row, 0)
	if m.percent.IsZero() || !ok || !isPercent(share) {
		return false
	}
	if m.reading.Inverted {
		share = 100 - share
	}
	m.share, m.reading.Value = share, oidOf(m.entry, m.percent.Column(), m.row)
	m.used, m.free = nil, nil
	m.reading.Used, m.reading.Free = "", ""
	if m.total == nil {
		return true
	}
	m.used = sum(*m.total*share/100, 0)
	return *m.total > 0 && *m.total <= maxAmount
}

func sum(a, b float64) *float64 {
	n := a + b
	return &n
}
