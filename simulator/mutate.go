package simulator

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
)

// maxDamages is how many places of a reply are damaged at most.
const maxDamages = 8

// extremes are bytes that are lengths, signs or ends to a decoder.
var extremes = []byte{0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xfe, 0xff, tagSequence, pduResponse, pduReport}

// chance is what is random in the answer to a message: the same for the same seed and message, whatever came before.
func chance(seed uint64, message []byte) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write(message) // it never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// damage changes bytes in place. An empty b stays as it is.
func damage(random *rand.Rand, b []byte) {
	if len(b) == 0 {
		return
	}
	for range 1 + random.IntN(maxDamages) {
		at := random.IntN(len(b))
		switch random.IntN(5) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b[at] = byte(random.Uint32())
		case 2:
			b[at] = extremes[random.IntN(len(extremes))]
		case 3: // a piece from elsewhere
			copy(b[at:], b[random.IntN(len(b)):])
		default: // a large number, such as a length
			var number [8]byte
			binary.BigEndian.PutUint64(number[:], random.Uint64()|1<<63)
			copy(b[at:], number[:1+random.IntN(8)])
		}
	}
}

// rearrange returns a message that lacks a piece, has one twice, or has one too many.
func rearrange(random *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	from := random.IntN(len(b))
	to := from + random.IntN(len(b)-from)
	out := append([]byte(nil), b[:from]...)
	switch random.IntN(4) {
	case 0: // the end is lost
	case 1:
		out = append(out, b[to:]...)
	case 2:
		out = append(append(out, b[from:to]...), b[from:]...)
	default:
		junk := make([]byte, random.IntN(64))
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		out = append(append(out, junk...), b[from:]...)
	}
	return out[:min(len(out), maxMessage)]
}

// mutation is what happens to one reply of a device that mutates.
type mutation struct {
	random        *rand.Rand
	inside, whole bool // damage the PDU before it is encrypted and signed; the finished message
}

// newMutation decides about the reply to a message. The zero mutation leaves it as it is.
func newMutation(seed uint64, message []byte) mutation {
	m := mutation{random: chance(seed, message)}
	if m.random.Float64() < mutatedShare {
		m.inside = m.random.IntN(2) == 0
		m.whole = !m.inside
	}
	return m
}

// pdu damages the PDU that w holds, in place.
func (m mutation) pdu(w backward) {
	if m.inside {
		damage(m.random, w.buf[w.start:w.end])
	}
}

// message damages a finished message.
func (m mutation) message(b []byte) []byte {
	if !m.whole {
		return b
	}
	if m.random.IntN(3) == 0 {
		return rearrange(m.random, b)
	}
	damage(m.random, b)
	return b
}
