package simulator

import "bytes"

// tallTree is the layout with more rows in its tables than anybody could keep:
// its objects are made when they are asked for.
type tallTree struct {
	*layout
	rows        int // of each column
	first, last int // where the columns of the tables begin and end in the layout
	ports       int
}

func newTallTree(l *layout, rows int) *tallTree {
	t := &tallTree{layout: l, rows: rows, ports: int(l.model.ports)}
	inTable := func(o *object) bool { return o.port > 0 }
	for t.first < len(l.objects) && !inTable(&l.objects[t.first]) {
		t.first++
	}
	for t.last = t.first; t.last < len(l.objects) && inTable(&l.objects[t.last]); {
		t.last++
	}
	return t
}

// tall is how many objects the tables have.
func (t *tallTree) tall() int { return (t.last - t.first) / t.ports * t.rows }

func (t *tallTree) size() int { return len(t.objects) - (t.last - t.first) + t.tall() }

// find returns the object of the layout that stands for object i, and its row; 0 when it is no row of a table.
func (t *tallTree) find(i int) (o *object, row int) {
	switch tall := t.tall(); {
	case i < t.first:
		return &t.objects[i], 0
	case i < t.first+tall:
		column, row := (i-t.first)/t.rows, (i-t.first)%t.rows
		return &t.objects[t.first+column*t.ports+row%t.ports], row + 1
	default:
		return &t.objects[i-tall+t.last-t.first], 0
	}
}

func (t *tallTree) oid(i int) []byte {
	o, row := t.find(i)
	if row == 0 {
		return o.oid
	}
	return appendSubidentifier(o.oid[:o.prefix:o.prefix], uint64(row))
}

func (t *tallTree) wide(i int) bool {
	o, _ := t.find(i)
	return o.kind == kindCounter64
}

// pastWide steps over a whole column: one row after the other would take SNMPv1 for ever.
func (t *tallTree) pastWide(i int) int {
	if _, row := t.find(i); row > 0 {
		return i + t.rows - row + 1
	}
	return i + 1
}

func (t *tallTree) sameType(i int, oid []byte) bool {
	o, _ := t.find(i)
	return o.names(oid)
}

func (t *tallTree) appendObject(dst []byte, i int, at *moment) []byte {
	o, row := t.find(i)
	if row == 0 {
		return t.appendOne(dst, o, at)
	}
	return appendBinding(dst, t.oid(i), t.value(o, at))
}

// hugeTree is the layout with texts as long as a datagram can carry, of bytes that are no text.
type hugeTree struct {
	*layout
	filler []byte
}

func newHugeTree(l *layout) hugeTree {
	junk := []byte(" \x00\x1b[31m\u202e\xff\xfe<script>'\n\r%s")
	return hugeTree{layout: l, filler: bytes.Repeat(junk, hugeText/len(junk)+1)}
}

func (t hugeTree) appendObject(dst []byte, i int, at *moment) []byte {
	o := &t.objects[i]
	if o.kind == kindCounter32 || o.kind == kindCounter64 {
		return t.appendOne(dst, o, at) // the log of answers gets it once
	}
	text, _, ok := readExpected(t.value(o, at), tagOctetString)
	if !ok {
		return t.appendOne(dst, o, at)
	}
	// The honest text comes first, so that ports keep names of their own.
	text = append(append(make([]byte, 0, hugeText), text...), t.filler[:hugeText-len(text)]...)
	return appendBinding(dst, o.oid, appendBytes(nil, tagOctetString, text))
}
