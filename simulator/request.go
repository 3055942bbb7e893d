package simulator

const (
	version1  = 0
	version2c = 1
	version3  = 3

	// maxRequest is the largest request that is read, in bytes; longer ones are dropped.
	maxRequest = 8192
	// maxAsked bounds the OIDs of one request.
	maxAsked = 1024
)

// Error-status values (RFC 3416 section 3).
const (
	noError            = 0
	errTooBig          = 1
	errNoSuchName      = 2
	errNotWritable     = 17
	errAuthorizationV3 = 16
)

// request is the PDU that was asked. It points into the message that it was read from.
type request struct {
	version int64
	pdu     byte
	id      int64
	// first and second are non-repeaters and max-repetitions of a GetBulk, else not used.
	first, second int64
	bindings      []byte   // content of the variable-bindings as asked
	oids          [][]byte // their OIDs; the slice is reused
}

// parse reads a PDU (RFC 3416 section 3). false = it is malformed, or none that an agent answers.
func (q *request) parse(version int64, b []byte) bool {
	tag, b, _, ok := readTLV(b)
	if !ok {
		return false
	}
	switch tag {
	case pduGet, pduGetNext, pduSet:
	case pduGetBulk:
		if version == version1 {
			return false
		}
	default:
		return false
	}
	q.version, q.pdu = version, tag
	if q.id, b, ok = readInteger(b); !ok {
		return false
	}
	if q.first, b, ok = readInteger(b); !ok {
		return false
	}
	if q.second, b, ok = readInteger(b); !ok {
		return false
	}
	if q.bindings, _, ok = readExpected(b, tagSequence); !ok {
		return false
	}
	return q.parseBindings()
}

func (q *request) parseBindings() bool {
	q.oids = q.oids[:0]
	for rest := q.bindings; len(rest) > 0; {
		binding, after, ok := readExpected(rest, tagSequence)
		if !ok || len(q.oids) == maxAsked {
			return false
		}
		oid, value, ok := readExpected(binding, tagOID)
		if !ok || !validOID(oid) {
			return false
		}
		if _, _, _, ok = readTLV(value); !ok {
			return false
		}
		q.oids = append(q.oids, oid)
		rest = after
	}
	return true
}
