package simulator

import "sync/atomic"

const (
	// headroom is kept before the VarBinds for the headers of the message: at most about
	// 100 bytes, two engine IDs, user, digest and a community or context of at most 255 bytes.
	headroom = 640
	// plainHeaders is what the headers of a v1 or v2c message take without the community, at most.
	plainHeaders = 34
	// secureHeaders is the same of a v3 message without names, engine IDs and digest: three
	// more sequences, global data, boots, time, salt and DES padding.
	secureHeaders = plainHeaders + 70
)

// Stats counts what an Agent did since it was made.
type Stats struct {
	// Requests is the packets that came in, Replies the ones that went out.
	Requests, Replies uint64
	// Dropped is the requests that got no reply: outside the range, lost or dead on
	// purpose, of a wrong community, or malformed.
	Dropped uint64
	// Damaged is the replies that the script Mutate has damaged.
	Damaged uint64
}

// responder turns requests into replies. It holds what one worker reuses.
type responder struct {
	community string
	limit     int // largest reply in bytes
	layout    *layout
	narrow    *layout // nil = none
	library   *library
	usm       *usm
	cast      *cast
	part      part // of the device that answers
	mutated   mutation
	asked     request
	at        moment
	answer    answer
}

// reply answers one message that came for a device, as it is at a time (Unix ns). It
// returns the bytes to send, nil for none, and buf, in which they lie, for reuse.
func (r *responder) reply(message []byte, device int, now int64, buf []byte) (out, grown []byte) {
	if cap(buf) < headroom+minMessage {
		buf = make([]byte, headroom, headroom+r.limit+64)
	}
	body, _, ok := readExpected(message, tagSequence)
	if !ok {
		return nil, buf
	}
	version, body, ok := readInteger(body)
	if !ok {
		return nil, buf
	}
	r.at.device, r.at.now = device, now
	r.part, r.mutated = r.cast.of(device, now), mutation{}
	if r.part.mutates {
		r.mutated = newMutation(r.cast.seed, message)
	}
	r.answer = answer{buf: buf[:headroom], front: headroom, mark: r.at.truth.length(), at: &r.at}
	switch version {
	case version1, version2c:
		out = r.plain(version, body)
	case version3:
		if r.usm != nil {
			out = r.secure(message, body)
		}
	}
	if r.part.lies {
		r.at.truth.cut(r.answer.mark)
	}
	if out != nil {
		out = r.mutated.message(out)
	}
	if cap(r.answer.buf) > headroom+2*maxMessage {
		return out, nil // one huge recorded value must not be paid for ever after
	}
	return out, r.answer.buf[:headroom]
}

// plain answers SNMPv1 (RFC 1157) and SNMPv2c (RFC 1901).
func (r *responder) plain(version int64, body []byte) []byte {
	community, body, ok := readExpected(body, tagOctetString)
	if !ok || len(community) > maxCommunity {
		return nil
	}
	tree, limit := r.tree(community, string(community) == r.community)
	if tree == nil || !r.asked.parse(version, body) {
		return nil
	}
	if r.part.community != "" {
		community = []byte(r.part.community)
	}
	overhead := plainHeaders + len(community)
	r.answer.room, r.answer.alone = max(r.limit, r.part.limit)-overhead, max(limit, r.part.limit)-overhead
	w := r.respond(tree)
	w.bytes(tagOctetString, community)
	w.integer(version)
	w.wrap(tagSequence)
	return w.buf[w.start:w.end]
}

// respond makes the PDU of an answer, as the device's script wants it.
func (r *responder) respond(t tree) backward {
	if r.part.answer != nil {
		r.part.answer(r, t)
	} else {
		r.answer.respond(&r.asked, t)
	}
	if r.part.alter != nil {
		r.part.alter(r)
	}
	w := r.answer.finish(&r.asked, pduResponse)
	r.mutated.pdu(w)
	return w
}

// tree returns the synthesised device or the recording of a name, nil if there is none,
// and the size of a reply with a single object: recorded values may be longer than a packet.
func (r *responder) tree(name []byte, synthesised bool) (tree, int) {
	if synthesised && r.part.objects != nil {
		return r.part.objects, r.limit
	}
	if synthesised {
		if r.narrow != nil && r.layout.model.narrow(r.at.device, r.at.now) {
			return r.narrow, r.limit
		}
		return r.layout, r.limit
	}
	if recording := r.library.find(name); recording != nil {
		return recording, maxMessage
	}
	return nil, 0
}

// counters are the Stats while the agent runs.
type counters struct {
	requests, replies, dropped, damaged atomic.Uint64
}
