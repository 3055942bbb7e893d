package simulator

// isTable says whether a request asks for what follows its names.
func (q *request) isTable() bool { return q.pdu == pduGetNext || q.pdu == pduGetBulk }

// rows is how many rows a table request asks for. Non-repeaters are not told apart: hostile agents need not be right.
func (q *request) rows() int64 {
	if q.pdu == pduGetNext {
		return 1
	}
	return max(q.second, 0)
}

// table answers a table request with the objects that pick finds for each row
// and name, as many as fit; others are answered honestly.
func (r *responder) table(t tree, pick func(oid []byte, row int) int) {
	a, q := &r.answer, &r.asked
	if !q.isTable() {
		a.respond(q, t)
		return
	}
	for row := range q.rows() {
		for k, oid := range q.oids {
			mark, truthMark := len(a.buf), a.at.truth.length()
			switch i := pick(oid, int(row)); {
			case i >= 0 && i < t.size():
				a.object(t, i)
			case q.version == version1:
				a.fail(q, errNoSuchName, k+1)
				return
			default:
				a.exception(oid, tagEndOfMibView)
			}
			if !a.fits() {
				a.buf = a.buf[:mark]
				a.at.truth.cut(truthMark)
				a.count--
				return
			}
		}
	}
}

// falling answers with the object before the one asked; for a whole column that is its last row.
func (r *responder) falling(t tree) {
	r.table(t, func(oid []byte, row int) int {
		i, exact := seek(t, oid)
		for !exact && i < t.size() && t.sameType(i, oid) {
			i++
		}
		return i - 1 - row
	})
}

// repeated answers with the object asked, and each row twice.
func (r *responder) repeated(t tree) {
	r.table(t, func(oid []byte, row int) int {
		i, _ := seek(t, oid)
		return i + row/2
	})
}

// skipped leaves out the first row of a GETBULK's answer.
func (r *responder) skipped(t tree) {
	q := &r.asked
	r.table(t, func(oid []byte, row int) int {
		i := after(t, oid, q.version)
		if q.pdu == pduGetBulk {
			i++
		}
		return i + row
	})
}

// failing answers the begin of a table, and then genErr.
func (r *responder) failing(t tree) {
	q := &r.asked
	if q.isTable() && len(q.oids) > 0 {
		if _, within := seek(t, q.oids[0]); within {
			r.answer.fail(q, errGeneric, 1)
			return
		}
		q.second = min(q.second, rowsBefore)
	}
	r.answer.respond(q, t)
}

// pingPong answers every other request with tooBig, as most managers count their requests.
func (r *responder) pingPong(t tree) {
	if r.asked.id%2 != 0 {
		r.answer.fail(&r.asked, errTooBig, 0)
		return
	}
	r.answer.respond(&r.asked, t)
}

// rename puts other names before the values.
func (r *responder) rename() {
	a := &r.answer
	oid, _ := appendOID(nil, otherName)
	var out []byte
	number := uint64(0)
	for rest := a.buf[a.front:]; len(rest) > 0; {
		binding, after, ok := readExpected(rest, tagSequence)
		if !ok {
			return
		}
		_, value, ok := readExpected(binding, tagOID)
		if !ok {
			return
		}
		number++
		out = appendBinding(out, appendSubidentifier(oid[:len(oid):len(oid)], number), value)
		rest = after
	}
	a.buf = append(a.buf[:a.front], out...)
}

// craft makes the header of the first VarBind one whose length overflows in decoders that add to it before they check.
func (r *responder) craft() {
	a := &r.answer
	_, content, others, ok := readTLV(a.buf[a.front:])
	if !ok {
		return
	}
	crafted := []byte{tagSequence, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}
	crafted = append(append(crafted, content...), others...)
	a.buf = append(a.buf[:a.front], crafted...)
}
