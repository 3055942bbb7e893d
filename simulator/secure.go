package simulator

// seal is the security of a message that goes out.
type seal struct {
	flags          byte
	engine         []byte
	boots, seconds int64
	keys           *localKeys
}

// secure answers an SNMPv3 message; body is what follows the version in it.
func (r *responder) secure(message, body []byte) []byte {
	var e envelope
	if !e.parse(body) {
		return nil
	}
	keys, err := r.usm.keys.local(r.at.device)
	if err != nil {
		return nil
	}
	model := &r.layout.model
	s := seal{
		flags: e.flags & (flagAuth | flagPriv), engine: engineID(r.at.device), keys: keys,
		boots: model.boots(r.at.device, r.at.now), seconds: model.running(r.at.device, r.at.now) / 1_000_000_000,
	}
	if r.part.engine != nil {
		r.part.engine(r, &e, &s)
	}
	report := r.usm.verify(&e, message, s.engine, keys, s.boots, s.seconds)
	if r.part.judge != nil {
		report = r.part.judge(r, &e, &s, report)
	}
	if report != reports {
		if s.flags &= flagAuth; report != notInTimeWindows {
			s.flags = 0
		}
		return r.report(&e, s, report)
	}
	scoped, _, ok := readExpected(e.data, tagSequence)
	if !ok {
		if s.flags&flagPriv != 0 { // decrypted with another key
			s.flags = 0
			return r.report(&e, s, decryptionErrors)
		}
		return nil
	}
	return r.scoped(&e, s, scoped)
}

// scoped answers the content of a ScopedPDU (RFC 3412 section 6.8).
func (r *responder) scoped(e *envelope, s seal, b []byte) []byte {
	engine, b, ok := readExpected(b, tagOctetString)
	if !ok {
		return nil
	}
	if e.context, b, ok = readExpected(b, tagOctetString); !ok || len(e.context) > maxCommunity {
		return nil
	}
	if string(engine) != string(s.engine) {
		return r.report(e, s, unknownPDUHandlers)
	}
	tree, limit := r.tree(e.context, len(e.context) == 0)
	if tree == nil {
		return r.report(e, s, unknownContexts)
	}
	if !r.asked.parse(version3, b) {
		return nil
	}
	digest := 0
	if s.flags&flagAuth != 0 {
		digest = r.usm.keys.auth.digest
	}
	overhead := secureHeaders + 2*len(s.engine) + len(e.user) + len(e.context) + digest
	r.answer.room = min(max(r.limit, r.part.limit), int(e.maxSize)) - overhead
	r.answer.alone = min(max(limit, r.part.limit), int(e.maxSize)) - overhead
	if s.flags&flagAuth == 0 && r.usm.keys.auth != nil || s.flags&flagPriv == 0 && r.usm.keys.priv != nil {
		// The user exists, but below its security level it may see nothing (RFC 3415).
		r.answer.fail(&r.asked, errAuthorizationV3, 0)
		return r.enclose(e, s, r.answer.finish(&r.asked, pduResponse))
	}
	return r.enclose(e, s, r.respond(tree))
}

// report makes a Report PDU, if the sender can take one.
func (r *responder) report(e *envelope, s seal, which int) []byte {
	count := r.usm.reports[which].Add(1)
	if e.flags&flagReportable == 0 {
		return nil
	}
	r.asked.id = 0
	if e.flags&flagPriv == 0 {
		r.asked.id = plainRequestID(e.data)
	}
	oid, _ := appendOID(nil, reportNames[which])
	r.answer.buf = appendBinding(r.answer.buf, oid, appendUnsigned(nil, tagCounter32, uint64(count)))
	if which != unknownContexts {
		e.context = nil
	}
	return r.enclose(e, s, r.answer.finish(&r.asked, pduReport))
}

// plainRequestID reads the request-id of an unencrypted ScopedPDU, 0 if there is none.
func plainRequestID(data []byte) int64 {
	b, _, ok := readExpected(data, tagSequence)
	for range 2 {
		if ok {
			_, b, ok = readExpected(b, tagOctetString)
		}
	}
	if !ok {
		return 0
	}
	if _, b, _, ok = readTLV(b); !ok {
		return 0
	}
	id, _, _ := readInteger(b)
	return id
}

// enclose puts ScopedPDU, security parameters and header around a PDU, encrypts and signs.
func (r *responder) enclose(e *envelope, s seal, w backward) []byte {
	w.bytes(tagOctetString, e.context)
	w.bytes(tagOctetString, s.engine)
	w.wrap(tagSequence)
	var salt []byte
	if s.flags&flagPriv != 0 {
		salt = r.usm.nextSalt()
		w = r.encrypted(s, salt, w)
	}
	var digest []byte
	if s.flags&flagAuth != 0 {
		digest = make([]byte, r.usm.keys.auth.digest)
	}
	data := w.start
	w.bytes(tagOctetString, salt)
	digestEnd := w.start
	w.bytes(tagOctetString, digest)
	w.bytes(tagOctetString, e.user)
	w.integer(s.seconds)
	w.integer(s.boots)
	w.bytes(tagOctetString, s.engine)
	w.header(tagSequence, data-w.start)
	w.header(tagOctetString, data-w.start)
	global := w.start
	w.integer(securityModelUSM)
	w.bytes(tagOctetString, []byte{s.flags})
	w.integer(maxRequest)
	w.integer(e.id)
	w.header(tagSequence, global-w.start)
	w.integer(version3)
	w.wrap(tagSequence)
	if len(digest) > 0 {
		copy(w.buf[digestEnd-len(digest):digestEnd], r.usm.keys.sign(s.keys, w.buf[w.start:w.end]))
	}
	return w.buf[w.start:w.end]
}

// encrypted makes the ScopedPDU in w an OCTET STRING of cipher text. DES pads
// it to whole blocks; the padding follows the ScopedPDU, whose length tells it apart.
func (r *responder) encrypted(s seal, salt []byte, w backward) backward {
	priv := r.usm.keys.priv
	if priv.des {
		for (w.end-w.start)%8 != 0 {
			w.buf = append(w.buf[:w.end], 0)
			w.end++
		}
		r.answer.buf = w.buf
	}
	priv.encrypt(s.keys, s.boots, s.seconds, salt, w.buf[w.start:w.end])
	w.wrap(tagOctetString)
	return w
}
