package simulator

// answer is the response PDU that is being made: buf[front:] holds its VarBinds so far.
type answer struct {
	buf    []byte
	front  int // where VarBinds begin; before it there is room for all headers
	room   int // bytes that the VarBinds may take
	alone  int // bytes that a single VarBind may take
	count  int // VarBinds
	mark   int // length of the truth before this answer
	status int64
	index  int64
	at     *moment
}

// fits says whether the VarBinds do not take too much.
func (a *answer) fits() bool {
	size := len(a.buf) - a.front
	return size <= a.room || a.count == 1 && size <= a.alone
}

// object appends object i of t.
func (a *answer) object(t tree, i int) {
	a.buf = t.appendObject(a.buf, i, a.at)
	a.count++
}

// exception appends what stands for an object that does not exist.
func (a *answer) exception(oid []byte, tag byte) {
	a.buf = appendBinding(a.buf, oid, []byte{tag, 0})
	a.count++
}

// fail makes the answer an error: SNMPv1 repeats the request's VarBinds, and so does
// SNMPv2 but for tooBig (RFC 1157 section 4.1.2, RFC 3416 section 4.2.1).
func (a *answer) fail(q *request, status int64, index int) {
	a.buf = a.buf[:a.front]
	a.at.truth.cut(a.mark)
	a.status, a.index = status, int64(index)
	if (status != errTooBig || q.version == version1) && len(q.bindings) <= a.room {
		a.buf = append(a.buf, q.bindings...)
	}
}

// respond fills in the answer of tree t to q.
func (a *answer) respond(q *request, t tree) {
	switch q.pdu {
	case pduGet:
		a.get(q, t)
	case pduGetNext:
		a.getNext(q, t)
	case pduGetBulk:
		a.getBulk(q, t)
	case pduSet:
		a.refuse(q)
	}
}

func (a *answer) get(q *request, t tree) {
	for k, oid := range q.oids {
		i, exact := seek(t, oid)
		switch {
		case exact && (q.version != version1 || !t.wide(i)):
			a.object(t, i)
		case q.version == version1:
			a.fail(q, errNoSuchName, k+1)
			return
		default:
			a.exception(oid, missing(t, i, oid))
		}
		if !a.fits() {
			a.fail(q, errTooBig, 0)
			return
		}
	}
}

func (a *answer) getNext(q *request, t tree) {
	for k, oid := range q.oids {
		i := after(t, oid, q.version)
		switch {
		case i < t.size():
			a.object(t, i)
		case q.version == version1:
			a.fail(q, errNoSuchName, k+1)
			return
		default:
			a.exception(oid, tagEndOfMibView)
		}
		if !a.fits() {
			a.fail(q, errTooBig, 0)
			return
		}
	}
}

// getBulk answers as many VarBinds as fit (RFC 3416 section 4.2.3), and tooBig
// if not one does, since an empty reply would have a manager ask for ever.
func (a *answer) getBulk(q *request, t tree) {
	single := int(min(max(q.first, 0), int64(len(q.oids))))
	put := func(oid []byte, i int) bool {
		mark, truthMark := len(a.buf), a.at.truth.length()
		if i < t.size() {
			a.object(t, i)
		} else {
			a.exception(oid, tagEndOfMibView)
		}
		if !a.fits() {
			a.buf = a.buf[:mark]
			a.at.truth.cut(truthMark)
			a.count--
			return false
		}
		return true
	}
	for _, oid := range q.oids[:single] {
		if !put(oid, after(t, oid, q.version)) {
			a.full(q)
			return
		}
	}
	a.repeat(q, t, q.oids[single:], put)
	a.full(q)
}

// full makes an answer that has no room for its first object an error.
func (a *answer) full(q *request) {
	if a.count == 0 && len(q.oids) > 0 && q.second > 0 {
		a.fail(q, errTooBig, 0)
	}
}

// repeat walks the repeaters in parallel until put says that the reply is full
// or all of them are at the end. An endOfMibView repeats the last name that was there.
func (a *answer) repeat(q *request, t tree, oids [][]byte, put func(oid []byte, i int) bool) {
	var few [64]int
	next := few[:0]
	for range min(q.second, 1) {
		for _, oid := range oids {
			next = append(next, after(t, oid, q.version))
		}
	}
	for row := int64(0); row < q.second; row++ {
		ended := true
		for k, i := range next {
			oid := oids[k]
			if i == t.size() && row > 0 && i > 0 && compareOID(t.oid(i-1), oid) > 0 {
				oid = t.oid(i - 1)
			}
			if !put(oid, i) {
				return
			}
			if i < t.size() {
				next[k] = i + 1
				ended = false
			}
		}
		if ended {
			return
		}
	}
}

// refuse answers a SET: nothing here is writable (RFC 3416 section 4.2.5; in SNMPv1 noSuchName, RFC 1157 section 4.1.5).
func (a *answer) refuse(q *request) {
	switch {
	case len(q.oids) == 0:
	case q.version == version1:
		a.fail(q, errNoSuchName, 1)
	default:
		a.fail(q, errNotWritable, 1)
	}
}

// finish puts the PDU's headers before the VarBinds.
func (a *answer) finish(q *request, pdu byte) backward {
	w := backward{buf: a.buf, start: a.front, end: len(a.buf)}
	w.wrap(tagSequence)
	w.integer(a.index)
	w.integer(a.status)
	w.integer(q.id)
	w.wrap(pdu)
	return w
}
