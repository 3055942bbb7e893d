package snmp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// The caps of a table whose request names none.
const (
	defaultMaxRows  = 100_000
	defaultMaxBytes = 16 << 20
)

// TableRequest names the columns of a table.
type TableRequest struct {
	Columns []OID // for instance 1.3.6.1.2.1.2.2.1.10, without a row
	// ExpectedRows, when known from an earlier read, saves requests. It need not be right.
	ExpectedRows int
	// FirstRows, when above 0, ends each column after so many rows, which is no error: to learn whether an agent has a column.
	FirstRows int
	MaxRows   int // rows of a column; 0: 100,000
	MaxBytes  int // of all replies together; 0: 16 MiB
}

// Cell is one value of a table.
type Cell struct {
	Column int    // position in TableRequest.Columns
	Index  string // the row: what follows the column in the name, such as "10101"
	Value  Value
	At     time.Time // middle between sending and receiving its PDU, with the monotonic clock
}

// column is one column while it is read.
type column struct {
	number int
	prefix string // dotted, with a dot before and after
	next   string // the name to ask for: the last one read, as the agent wrote it
	rows   int
	done   bool
}

// reader is one table read.
type reader struct {
	s       *Session
	request TableRequest
	each    func(Cell)
	bytes   int
	ramp    int       // rows to ask for while the number of rows is not known
	open    []*column // of the group being read; finished columns leave
}

// Table reads columns and calls each for every value that exists, in rising
// order of rows within a column; columns may interleave. nil means that every
// column was read to its end: an error-status, a timeout or a cap in the middle is
// an error and never a shorter table; the values delivered before it are right.
//
// It asks with GETBULK, several columns in a request; with GETNEXT in v1 and
// when the agent fails at GETBULK and not at GETNEXT.
func (s *Session) Table(ctx context.Context, r TableRequest, each func(Cell)) error {
	if r.MaxRows <= 0 {
		r.MaxRows = defaultMaxRows
	}
	if r.MaxBytes <= 0 {
		r.MaxBytes = defaultMaxBytes
	}
	columns := make([]column, len(r.Columns))
	for i, oid := range r.Columns {
		if !oid.Valid() {
			return fmt.Errorf("snmp table: %q is not an object identifier", shortName(string(oid)))
		}
		prefix := "." + string(oid) + "."
		columns[i] = column{number: i, prefix: prefix, next: prefix[:len(prefix)-1]}
	}
	defer s.conn.watch(ctx)()
	t := reader{s: s, request: r, each: each}
	for len(columns) > 0 {
		n := min(t.batch(len(columns)), s.target.MaxObjects)
		t.open, t.ramp = t.open[:0], firstRows
		for i := range columns[:n] {
			t.open = append(t.open, &columns[i])
		}
		if err := t.readGroup(ctx); err != nil {
			return fmt.Errorf("snmp table: %w", err)
		}
		columns = columns[n:]
	}
	return nil
}

// batch says how many of the columns to read together.
func (t *reader) batch(columns int) int {
	if t.request.FirstRows > 0 {
		return min(columns, t.s.bulk.variables())
	}
	return t.s.bulk.batch(columns, t.request.ExpectedRows, t.s.onlyNext())
}

// readGroup reads the open columns to their ends.
func (t *reader) readGroup(ctx context.Context) error {
	for len(t.open) > 0 {
		asked := t.open[:min(len(t.open), t.s.bulk.variables())]
		a, rows, err := t.ask(ctx, asked)
		if err != nil {
			return err
		}
		switch {
		case a.status == int(gosnmp.NoError):
			if err := t.take(&a, asked, rows); err != nil {
				return err
			}
		case a.status == int(gosnmp.TooBig) && len(asked)*rows > 1:
			t.s.bulk.halve(len(asked) * rows)
		case a.status == int(gosnmp.NoSuchName) && t.s.isV1() && a.index <= len(asked) && (a.index > 0 || len(asked) == 1):
			asked[max(a.index, 1)-1].done = true // v1 has no other way to say "end of the MIB"
		case a.status == int(gosnmp.NoSuchName) && t.s.isV1() && len(asked) > 1:
			t.s.bulk.halve(len(asked)) // it does not say whose end: ask for fewer
		default:
			return a.failure()
		}
		t.dropFinished()
	}
	return nil
}

// dropFinished takes finished columns out of the group.
func (t *reader) dropFinished() {
	open := t.open[:0]
	for _, c := range t.open {
		if !c.done {
			open = append(open, c)
		}
	}
	t.open = open
}

// ask sends one request for the next rows of columns and returns the rows asked
// for. When GETBULK fails, by a timeout or an error-status, GETNEXT is tried: some
// agents cannot do the one, or not for all of their tables, and can do the other.
func (t *reader) ask(ctx context.Context, columns []*column) (answer, int, error) {
	s := t.s
	s.names = s.names[:0]
	for _, c := range columns {
		s.names = append(s.names, c.next)
	}
	next := query{op: "getnext", pdu: gosnmp.GetNextRequest, names: s.names, tries: 1 + s.target.Retries, timeout: s.target.Timeout}
	if s.onlyNext() {
		a, err := s.ask(ctx, next)
		return a, 1, err
	}
	rows := s.bulk.repetitions(len(columns), t.missing(columns), t.ramp, s.target.MaxRepetitions)
	q := next
	q.op, q.pdu, q.repetitions = "getbulk", gosnmp.GetBulkRequest, uint32(rows)
	a, err := s.ask(ctx, q)
	if err == nil && (a.status == int(gosnmp.NoError) || a.status == int(gosnmp.TooBig)) {
		s.bulk.answered = s.bulk.answered || a.status == int(gosnmp.NoError)
		return a, rows, nil
	}
	if err != nil && !errors.Is(err, ErrTimeout) {
		return a, rows, err
	}
	next.tries = min(next.tries, 2) // a dead agent must not cost all tries twice
	second, secondErr := s.ask(ctx, next)
	switch {
	case secondErr == nil && second.status == int(gosnmp.NoError):
		s.bulk.failed(len(columns) * rows)
		return second, 1, nil
	case secondErr == nil:
		return second, 1, nil // its index belongs to the columns, GETBULK's may not
	case err != nil:
		return a, rows, err
	}
	return a, rows, secondErr
}

// onlyNext says that the agent is not asked with GETBULK: v1 has none.
func (s *Session) onlyNext() bool { return s.isV1() || s.bulk.broken() }

// missing is how many rows are still to come, with one more to show the end; 0
// when that is not known or already passed.
func (t *reader) missing(columns []*column) int {
	if t.request.FirstRows > 0 {
		return t.request.FirstRows - columns[0].rows // all of them are as far, or an agent cut its reply
	}
	if t.request.ExpectedRows <= 0 {
		return 0
	}
	most := 0
	for _, c := range columns {
		most = max(most, t.request.ExpectedRows-c.rows+1)
	}
	return most
}

// take delivers an answer. Its variables are rows of the columns asked, one after
// the other; the agent may cut it anywhere, so each column goes on from its own last row.
func (t *reader) take(a *answer, asked []*column, rows int) error {
	if len(a.variables) == 0 || len(a.variables) > len(asked)*rows {
		return fmt.Errorf("%w: %d variables for %d columns of %d rows", ErrUnexpected, len(a.variables), len(asked), rows)
	}
	if t.bytes += a.bytes; t.bytes > t.request.MaxBytes {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, t.request.MaxBytes)
	}
	for i := range a.variables {
		c := asked[i%len(asked)]
		if c.done {
			continue // what follows the end of a column is no business of ours
		}
		if err := t.takeOne(c, &a.variables[i], a.at); err != nil {
			return err
		}
	}
	open := false
	for _, c := range asked {
		open = open || !c.done
	}
	t.s.bulk.learn(a.bytes, len(a.variables), open && len(a.variables) < len(asked)*rows)
	t.ramp = min(2*t.ramp, tcpVariables) // a reply never has more rows
	return nil
}

// takeOne delivers one variable of a column, or finds the column's end.
func (t *reader) takeOne(c *column, v *gosnmp.SnmpPDU, at time.Time) error {
	value := newValue(v)
	order := compareNames(v.Name, c.next)
	switch {
	case value.kind == TypeEndOfMibView: // with whatever name
		c.done = true
		return nil
	case value.kind >= TypeNoSuchObject && order == 0 && c.rows == 0:
		c.done = true // how some agents say that they have no such column
		return nil
	case order <= 0:
		return fmt.Errorf("%w: %s after %s", ErrNotIncreasing, shortName(v.Name), shortName(c.next))
	case !strings.HasPrefix(v.Name, c.prefix):
		c.done = true
		return nil
	}
	if len(v.Name) > 2*maxArcs && strings.Count(v.Name, ".") > maxArcs {
		return fmt.Errorf("%w: a name of more than %d arcs", ErrUnexpected, maxArcs)
	}
	if c.rows++; c.rows > t.request.MaxRows {
		return fmt.Errorf("%w: more than %d rows", ErrTooLarge, t.request.MaxRows)
	}
	c.next, c.done = v.Name, c.rows == t.request.FirstRows
	if value.Exists() {
		t.each(Cell{Column: c.number, Index: v.Name[len(c.prefix):], Value: value, At: at})
	}
	return nil
}
