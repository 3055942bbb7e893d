package snmp

import "github.com/gosnmp/gosnmp"

// envelope is what must be right about a message before it is decoded: to whom
// it belongs, and that every length in it keeps within its parent. The decoder
// trusts lengths that it should not (one crafted varbind makes it panic), and it
// accepts replies with another community or request id 0.
type envelope struct {
	version   int
	id        uint32 // request-id; v3: msgID
	pdu       byte   // tag; 0 when encrypted or unreadable
	firstName []byte // encoded name of the first variable, nil when encrypted or none
	sound     bool   // every length keeps within its parent, down to the variables' names
	length    int    // bytes of the message; agents may pad the datagram behind it

	community []byte // v1, v2c

	flags     byte // v3 from here on: msgFlags (RFC 3412, section 6)
	model     int
	engineID  []byte // msgSecurityParameters (RFC 3414, section 2.4)
	boots     uint32
	time      uint32
	user      []byte
	mac       []byte // msgAuthenticationParameters, in place
	encrypted bool
}

// cursor reads BER elements one after the other; once one is out of bounds, all further ones are.
type cursor struct {
	rest []byte
	bad  bool
}

// next takes the next element: its tag and its content, which lies inside the rest.
func (c *cursor) next() (tag byte, content []byte) {
	if c.bad || len(c.rest) < 2 {
		c.bad = true
		return 0, nil
	}
	tag, length, header := c.rest[0], int(c.rest[1]), 2
	if length >= 0x80 {
		octets := length & 0x7f
		if octets == 0 || octets > 4 || len(c.rest) < 2+octets {
			c.bad = true
			return 0, nil
		}
		length, header = 0, 2+octets
		for _, octet := range c.rest[2:header] {
			length = length<<8 | int(octet)
		}
	}
	if length < 0 || length > len(c.rest)-header {
		c.bad = true
		return 0, nil
	}
	content, c.rest = c.rest[header:header+length], c.rest[header+length:]
	return tag, content
}

// expect takes the next element, which must have the given tag.
func (c *cursor) expect(want byte) []byte {
	tag, content := c.next()
	if tag != want {
		c.bad = true
		return nil
	}
	return content
}

// number takes an INTEGER from 0 to 2^32-1.
func (c *cursor) number() uint32 {
	content := c.expect(byte(gosnmp.Integer))
	if len(content) == 0 || len(content) > 5 || len(content) == 5 && content[0] != 0 {
		c.bad = true
		return 0
	}
	value := uint32(0)
	for _, octet := range content {
		value = value<<8 | uint32(octet)
	}
	return value
}

// parseEnvelope reads a message as far as the envelope needs. False means that
// it cannot even be told to which request it belongs.
func parseEnvelope(message []byte) (envelope, bool) {
	e := envelope{sound: true}
	outer := cursor{rest: message}
	body := cursor{rest: outer.expect(byte(gosnmp.Sequence))}
	e.length = len(message) - len(outer.rest)
	e.version = int(body.number())
	if outer.bad || body.bad {
		return e, false
	}
	if e.version == int(gosnmp.Version3) {
		return e, e.parseV3(&body)
	}
	e.community = body.expect(byte(gosnmp.OctetString))
	tag, content := body.next()
	e.pdu = tag
	pdu := cursor{rest: content}
	e.id = pdu.number()
	if body.bad || pdu.bad {
		return e, false
	}
	e.checkVariables(&pdu)
	e.sound = e.sound && len(body.rest) == 0
	return e, true
}

// parseV3 reads header, security parameters and, unless it is encrypted, the PDU.
func (e *envelope) parseV3(body *cursor) bool {
	header := cursor{rest: body.expect(byte(gosnmp.Sequence))}
	e.id = header.number()
	header.number() // msgMaxSize
	flags := header.expect(byte(gosnmp.OctetString))
	e.model = int(header.number())

	wrapped := cursor{rest: body.expect(byte(gosnmp.OctetString))}
	security := cursor{rest: wrapped.expect(byte(gosnmp.Sequence))}
	e.engineID = security.expect(byte(gosnmp.OctetString))
	e.boots = security.number()
	e.time = security.number()
	e.user = security.expect(byte(gosnmp.OctetString))
	e.mac = security.expect(byte(gosnmp.OctetString))
	security.expect(byte(gosnmp.OctetString)) // msgPrivacyParameters
	if header.bad || wrapped.bad || security.bad || len(flags) != 1 {
		return false
	}
	e.flags = flags[0]

	tag, content := body.next()
	switch {
	case body.bad || len(body.rest) > 0:
		return false
	case tag == byte(gosnmp.OctetString):
		e.encrypted = true
		return true
	case tag != byte(gosnmp.Sequence):
		return false
	}
	scoped := cursor{rest: content}
	scoped.expect(byte(gosnmp.OctetString)) // contextEngineID
	scoped.expect(byte(gosnmp.OctetString)) // contextName
	e.pdu, content = scoped.next()
	pdu := cursor{rest: content}
	pdu.number() // request-id; the decoder's is compared after decoding
	e.checkVariables(&pdu)
	e.sound = e.sound && !scoped.bad && len(scoped.rest) == 0
	return true
}

// checkVariables goes over the rest of a PDU: error-status, error-index and the variable bindings.
func (e *envelope) checkVariables(pdu *cursor) {
	pdu.expect(byte(gosnmp.Integer))
	pdu.expect(byte(gosnmp.Integer))
	list := cursor{rest: pdu.expect(byte(gosnmp.Sequence))}
	for len(list.rest) > 0 && !list.bad {
		binding := cursor{rest: list.expect(byte(gosnmp.Sequence))}
		name := binding.expect(byte(gosnmp.ObjectIdentifier))
		if binding.bad {
			list.bad = true
		}
		if e.firstName == nil {
			e.firstName = name
		}
	}
	e.sound = !pdu.bad && !list.bad && len(pdu.rest) == 0
}

// decodeName turns an encoded name into an OID; "" when it is none. It is for
// reports only, whose names are short; all others are the decoder's work.
func decodeName(encoded []byte) OID {
	if len(encoded) == 0 || len(encoded) > maxArcs {
		return ""
	}
	name := OID("").Append(uint32(encoded[0]/40), uint32(encoded[0]%40))
	arc := uint32(0)
	for _, octet := range encoded[1:] {
		arc = arc<<7 | uint32(octet&0x7f)
		if octet < 0x80 {
			name, arc = name.Append(arc), 0
		}
	}
	return name
}
