package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pollux/snmp"
)

// Bounds of what one table may bring. A chassis with subscriber interfaces has
// tens of thousands of rows; beyond that it is taken for a fault of the agent.
const (
	maxRows  = 30_000
	maxBytes = 16 << 20
	// likelyRows is how many rows a table may have beyond twice those that are
	// known, before they are counted: rows are kept, and counting costs no memory.
	likelyRows = 1024
	// maxAsked is how many single objects are asked for before a walk of their
	// columns is cheaper: about what fits into one reply of 1,472 bytes.
	maxAsked = 48
)

// row is what was read of one ifIndex, or of one row of another table. A bit of seen says that the field was read.
type row struct {
	index    int64
	seen     uint64
	texts    [textCount]string
	numbers  [int(fieldCount) - textCount]uint64
	wideAt   time.Time // when its 64-bit octets were read
	narrowAt time.Time // when its 32-bit octets were read
	sharedAt time.Time // when its other counters were read
	known    int       // index of the inventory's port whose fixed fields stand for the row's; -1 for none
	hidden   bool      // it was no port when it was judged last
	skipped  bool      // its counters are not read
	absent   uint64    // a bit for each field that was asked for and is not there
	torn     bool      // its name changed while it was read: what was read belongs to two ports
	at       string    // its index in a table beside the IF-MIB; "" for a row of the IF-MIB
	place    string    // that with the table's name, as the inventory has it
	kind     string    // the name of its type where the table has names of its own
	unread   uint64    // a bit for each field whose column may have been read in part, in such a table
}

func (r *row) has(f field) bool            { return r.seen&(1<<f) != 0 }
func (r *row) text(f field) string         { return r.texts[f] }
func (r *row) number(f field) uint64       { return r.numbers[int(f)-textCount] }
func (r *row) setNumber(f field, n uint64) { r.numbers[int(f)-textCount] = n }

func maskOf(fields []field) uint64 {
	mask := uint64(0)
	for _, f := range fields {
		mask |= 1 << f
	}
	return mask
}

// set takes over one value. One of a wrong type, a negative or an oversized number counts as not read.
func (r *row) set(f field, v snmp.Value, at time.Time) {
	switch {
	case !v.Exists():
		return
	case f == fieldPhysAddress:
		r.texts[f] = hardwareAddress(v.Bytes())
	case int(f) < textCount:
		text := clean(v.Bytes(), maxText, "") // a name is one word: line breaks in it are an accident
		r.torn = r.torn || f == fieldName && r.has(f) && r.texts[f] != text
		r.texts[f] = text
	default:
		n, ok := v.Uint()
		if !ok {
			return
		}
		r.setNumber(f, n)
	}
	r.seen |= 1 << f
	switch {
	case f == wideInOctets, f == wideOutOctets && r.wideAt.IsZero():
		r.wideAt = at
	case f == narrowInOctets, f == narrowOutOctets && r.narrowAt.IsZero():
		r.narrowAt = at
	case f >= wideInUcast:
		r.sharedAt = at
	}
}

// reader reads the interface tables of one device into rows: those of the IF-MIB, or one beside it.
type reader struct {
	session  Session
	table    *portTable            // beside the IF-MIB; nil for the IF-MIB
	columns  *[fieldCount]snmp.OID // "" for a field that the table does not have: it is among lacks
	expected int                   // rows that the inventory knows of; 0 when it is not known
	most     int                   // rows that a column may have for now
	rows     []row
	byIndex  map[int64]int  // of the IF-MIB, by ifIndex
	byAt     map[string]int // of another table, by the row's index
	failed   uint64         // a bit for each field whose column was not read to its end
	lacks    uint64         // a bit for each field that the device is known not to have
	walked   uint64         // a bit for each field whose column was read to its end
}

// likely is how many rows a table may have of which so many are known.
func likely(known int) int { return min(maxRows, 2*known+likelyRows) }

func newReader(s Session, known, expected int, lacks uint64) *reader {
	return &reader{
		session: s, columns: &columns, expected: expected, most: likely(max(known, expected)), lacks: lacks,
		rows: make([]row, 0, expected+expected/8+4), byIndex: make(map[int64]int, expected+4),
	}
}

// walk reads whole columns side by side. When that fails for another reason
// than silence or size, each column is read alone, so that an agent that loops
// in one column loses that one only; the error is returned all the same. What
// was read before an error stays. Only a walk that describes ports makes rows:
// what has no name is no port. Columns that the device lacks are not asked for.
func (r *reader) walk(ctx context.Context, fields []field, describes bool) error {
	if fields = without(fields, r.lacks); len(fields) == 0 {
		return nil
	}
	err := r.read(ctx, fields, describes)
	if describes && errors.Is(err, snmp.ErrTooLarge) && r.most < maxRows {
		err = r.recount(ctx, fields, err)
	}
	if err == nil {
		r.walked |= maskOf(fields)
		return nil
	}
	r.failed |= maskOf(fields)
	if hopeless(ctx, err) || len(fields) == 1 {
		return err
	}
	err = nil
	for _, f := range fields {
		alone := r.read(ctx, []field{f}, describes)
		switch {
		case alone == nil:
			r.failed &^= 1 << f
			r.walked |= 1 << f
		case hopeless(ctx, alone):
			return alone
		case err == nil:
			err = alone
		}
	}
	return err
}

// recount counts the rows of a table that has far more of them than the inventory
// knows, and reads it again if it is no larger than a poll takes. tooLarge is why the first read ended.
func (r *reader) recount(ctx context.Context, fields []field, tooLarge error) error {
	counted := 0
	sign := fieldOperStatus
	if r.table != nil {
		sign = fieldName
	}
	err := r.session.Table(ctx, snmp.TableRequest{
		Columns: []snmp.OID{r.columns[sign]}, MaxRows: maxRows, MaxBytes: maxBytes,
	}, func(snmp.Cell) { counted++ })
	if err != nil {
		return err
	}
	if counted <= r.most {
		return tooLarge // another column, or too many bytes
	}
	r.expected, r.most = counted, likely(counted)
	return r.read(ctx, fields, true)
}

// hopeless says that asking further is no use: the device is silent, the poll
// is over, or there is more than a poll takes.
func hopeless(ctx context.Context, err error) bool {
	// The session looks at the deadline itself, a moment before the context's own error is there.
	return errors.Is(err, snmp.ErrTimeout) || errors.Is(err, snmp.ErrTooLarge) || ctx.Err() != nil ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// read reads whole columns in one table request.
func (r *reader) read(ctx context.Context, fields []field, describes bool) error {
	request := snmp.TableRequest{
		Columns: make([]snmp.OID, len(fields)), ExpectedRows: r.expected, MaxRows: r.most, MaxBytes: maxBytes,
	}
	for i, f := range fields {
		request.Columns[i] = r.columns[f]
	}
	return r.session.Table(ctx, request, func(cell snmp.Cell) {
		if cell.Column < 0 || cell.Column >= len(fields) {
			return
		}
		if i, ok := r.row(cell.Index, describes); ok {
			r.set(i, fields[cell.Column], cell.Value, cell.At)
		}
	})
}

// row finds the row of an index as it stands behind a column's OID, or makes it.
func (r *reader) row(index string, make bool) (int, bool) {
	if r.table != nil {
		return r.rowAt(index, make)
	}
	n, err := strconv.ParseUint(index, 10, 32)
	if err != nil || n == 0 {
		return 0, false
	}
	i, ok := r.byIndex[int64(n)]
	if !ok && make && len(r.rows) < maxRows {
		i, ok = len(r.rows), true
		r.rows = append(r.rows, row{index: int64(n), known: -1})
		r.byIndex[int64(n)] = i
	}
	return i, ok
}

// set takes over one value of a row.
func (r *reader) set(i int, f field, v snmp.Value, at time.Time) {
	r.rows[i].set(f, v, at)
	if r.table != nil {
		r.table.translate(&r.rows[i], f)
	}
}

// oid is the object of a field of a row.
func (r *reader) oid(f field, row *row) snmp.OID {
	if r.table != nil {
		return r.columns[f] + snmp.OID("."+row.at)
	}
	return r.columns[f].Append(uint32(row.index))
}

// dropStateless takes away rows of which no state was read: what has none is no port.
func (r *reader) dropStateless() {
	states := maskOf(liveFields) | maskOf(fixedFields)
	r.rows = slices.DeleteFunc(r.rows, func(row row) bool { return row.seen&states == 0 })
	clear(r.byIndex)
	for i := range r.rows {
		r.byIndex[r.rows[i].index] = i
	}
}

// fetch reads some fields of some rows: one GET when they are few, else a walk
// of the columns, as also when the agent refuses the GET.
func (r *reader) fetch(ctx context.Context, fields []field, rows []int) error {
	if fields = without(fields, r.lacks); len(rows) == 0 || len(fields) == 0 {
		return nil
	}
	if len(rows)*len(fields) > maxAsked {
		return r.walk(ctx, fields, false)
	}
	oids := make([]snmp.OID, 0, maxAsked)
	for _, i := range rows {
		for _, f := range fields {
			oids = append(oids, r.oid(f, &r.rows[i]))
		}
	}
	vars, err := r.session.Get(ctx, oids...)
	var status *snmp.StatusError
	if errors.As(err, &status) {
		return r.walk(ctx, fields, false)
	}
	if err != nil {
		return err
	}
	if len(vars) != len(oids) {
		return fmt.Errorf("%w: %d values for %d objects", snmp.ErrUnexpected, len(vars), len(oids))
	}
	for k, v := range vars {
		r.set(rows[k/len(fields)], fields[k%len(fields)], v.Value, v.At)
	}
	return nil
}

// hardwareAddress is ifPhysAddress in hexadecimal; nothing but zeros is none.
func hardwareAddress(raw []byte) string {
	const digits = "0123456789abcdef"
	if len(raw) > maxHardwareAddress {
		return ""
	}
	var text [2 * maxHardwareAddress]byte
	zero := true
	for i, b := range raw {
		text[2*i], text[2*i+1] = digits[b>>4], digits[b&15]
		zero = zero && b == 0
	}
	if zero {
		return ""
	}
	return string(text[:2*len(raw)])
}

// maxHardwareAddress is the longest ifPhysAddress in bytes that is kept: InfiniBand's 20.
const maxHardwareAddress = 20
