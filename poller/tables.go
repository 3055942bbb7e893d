package poller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pollux/poller/definitions"
	"pollux/snmp"
)

const (
	// maxTableRows bounds the rows of one table of a definition: a chassis with subscriber interfaces names tens of thousands.
	maxTableRows = 30_000
	// maxKept bounds what is kept of all tables of a device, in bytes: discoveries
	// run side by side, and a device may send as much as it likes.
	maxKept  = 32 << 20
	cellSize = 100 // of a value without its octets, about
)

// tableReader reads the columns that definitions name, each once.
type tableReader struct {
	session Session
	columns map[snmp.OID]map[string]snmp.Value // by column without index, then by index
	single  map[snmp.OID]snmp.Value            // what was asked for by its whole name
	kept    int                                // bytes of all of it, about
	failed  map[snmp.OID]error                 // why a column may lack rows, or why a single object was not read
}

func newTableReader(s Session) *tableReader {
	return &tableReader{
		session: s, columns: make(map[snmp.OID]map[string]snmp.Value), single: make(map[snmp.OID]snmp.Value), failed: make(map[snmp.OID]error),
	}
}

// load reads what entries need: first the columns of their tables, then those of
// other tables for the entries that have rows. An error says that a column may lack rows.
func (t *tableReader) load(ctx context.Context, entries []*definitions.Entry) error {
	var near, scalars, far []snmp.OID
	for _, e := range entries {
		for _, c := range e.Columns {
			switch {
			case c.OID != "":
			case e.Scalars.OID != "":
				scalars = append(scalars, e.OIDOf(c)+".0")
			default:
				near = append(near, e.OIDOf(c))
			}
		}
	}
	failed := t.walk(ctx, near)
	if _, err := t.scalars(ctx, scalars); failed == nil {
		failed = err
	}
	for _, e := range entries {
		if len(t.indexes(e)) == 0 {
			continue
		}
		for _, c := range e.Columns {
			if c.OID != "" {
				far = append(far, c.OID)
			}
		}
	}
	if err := t.walk(ctx, far); failed == nil {
		failed = err
	}
	return failed
}

// walk reads those of the columns that were not read yet. When that fails for a
// reason that may be one column's, each half is read alone, so that an agent that
// fails at one column loses that one only; the first error is returned all the
// same. So is that of a column that another module has read in vain.
func (t *tableReader) walk(ctx context.Context, oids []snmp.OID) error {
	var missing []snmp.OID
	var before error
	for _, oid := range oids {
		if t.columns[oid] == nil && !slices.Contains(missing, oid) {
			missing = append(missing, oid)
		}
		before = first(before, t.failed[oid])
	}
	if len(missing) == 0 {
		return before
	}
	if err := t.tooMuch(); err != nil {
		return err
	}
	read := make([]map[string]snmp.Value, len(missing))
	for i := range read {
		read[i] = make(map[string]snmp.Value)
	}
	err := t.session.Table(ctx, snmp.TableRequest{Columns: missing, MaxRows: maxTableRows, MaxBytes: maxBytes}, func(cell snmp.Cell) {
		if cell.Column >= 0 && cell.Column < len(read) && t.kept <= maxKept {
			t.kept += cellSize + len(cell.Index) + len(cell.Value.Bytes())
			read[cell.Column][cell.Index] = cell.Value.Kept()
		}
	})
	err = first(err, t.tooMuch()) // what came beyond it was not kept
	if err != nil && len(missing) > 1 && t.kept <= maxKept && (!hopeless(ctx, err) || errors.Is(err, snmp.ErrTooLarge)) {
		half := len(missing) / 2
		return errors.Join(before, t.walk(ctx, missing[:half]), t.walk(ctx, missing[half:]))
	}
	for i, oid := range missing {
		t.columns[oid] = read[i] // after an error: what was read before it
		if err != nil {
			t.failed[oid] = err
		}
	}
	return first(before, err)
}

// tooMuch is an error when more came than is kept.
func (t *tableReader) tooMuch() error {
	if t.kept <= maxKept {
		return nil
	}
	return fmt.Errorf("%w: tables of more than %d MB", snmp.ErrTooLarge, maxKept>>20)
}

// scalars gets single objects, each once.
func (t *tableReader) scalars(ctx context.Context, oids []snmp.OID) (map[snmp.OID]snmp.Value, error) {
	var missing []snmp.OID
	for _, oid := range oids {
		if _, asked := t.single[oid]; !asked && !slices.Contains(missing, oid) {
			missing = append(missing, oid)
		}
	}
	var failed error
	if len(missing) > 0 {
		var vars []snmp.Variable
		vars, failed = getEach(ctx, t.session, missing)
		for _, v := range vars {
			t.single[v.OID] = v.Value.Kept() // also what does not exist: it is not asked again
		}
		for _, oid := range missing {
			if _, read := t.single[oid]; !read {
				t.failed[oid] = failed
			}
		}
	}
	answers := make(map[snmp.OID]snmp.Value, len(oids))
	for _, oid := range oids {
		if v := t.single[oid]; v.Exists() {
			answers[oid] = v
		}
	}
	return answers, failed
}

// getEach gets objects, in halves where that fails, so that an agent that fails
// at one object loses that one only; the first error is returned all the same.
func getEach(ctx context.Context, s Session, oids []snmp.OID) ([]snmp.Variable, error) {
	vars, err := s.Get(ctx, oids...)
	if err == nil || hopeless(ctx, err) || len(oids) < 2 {
		return vars, err
	}
	half := len(oids) / 2
	first, err := getEach(ctx, s, oids[:half])
	second, after := getEach(ctx, s, oids[half:])
	if err == nil {
		err = after
	}
	return append(first, second...), err
}

// indexes are the rows of an entry in the order of the agent's tree.
func (t *tableReader) indexes(e *definitions.Entry) []string {
	seen := make(map[string]struct{})
	for _, c := range e.Columns {
		switch {
		case c.OID != "":
		case e.Scalars.OID != "":
			if t.single[e.OIDOf(c)+".0"].Exists() {
				return []string{"0"}
			}
		default:
			for index := range t.columns[e.OIDOf(c)] {
				seen[index] = struct{}{}
			}
		}
	}
	indexes := slices.Collect(maps.Keys(seen))
	slices.SortFunc(indexes, snmp.CompareIndexes)
	return indexes[:min(len(indexes), maxTableRows)]
}

// unjudged says whether the conditions of an entry name a column that the device
// did not answer in time: which rows count is not known then. A column at which an agent fails for another
// reason is one that it does not have.
func (t *tableReader) unjudged(e *definitions.Entry) bool {
	return slices.ContainsFunc(slices.Concat(e.When, e.Skip), func(condition definitions.Condition) bool {
		c, ok := e.Find(condition.Of)
		oid := e.OIDOf(c)
		if c.OID == "" && e.Scalars.OID != "" {
			oid += ".0"
		}
		err := t.failed[oid]
		return ok && (errors.Is(err, snmp.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
	})
}

// rows are the rows of an entry with all of their columns.
func (t *tableReader) rows(e *definitions.Entry) []definitions.Row {
	indexes := t.indexes(e)
	rows := make([]definitions.Row, 0, len(indexes))
	for _, index := range indexes {
		row := definitions.Row{Index: index, Values: make(map[string]snmp.Value, len(e.Columns))}
		for _, c := range e.Columns {
			v, ok := t.columns[e.OIDOf(c)][instance(c, row)]
			if c.OID == "" && e.Scalars.OID != "" {
				v, ok = t.single[e.OIDOf(c)+".0"]
			}
			if ok {
				row.Values[c.Name] = v
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// instance is the index at which a column is read for a row.
func instance(c definitions.Column, row definitions.Row) string {
	if c.OID == "" || c.Index.IsZero() {
		return row.Index
	}
	return c.Index.Expand(row)
}

// oidOf is the whole OID of a row's column, "" for a name that is no column.
func oidOf(e *definitions.Entry, name string, row definitions.Row) string {
	c, ok := e.Find(name)
	if !ok {
		return ""
	}
	return string(e.OIDOf(c)) + "." + instance(c, row)
}
