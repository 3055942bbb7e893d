package billing

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ChunkSeconds is how much time the slots that are packed together span.
const ChunkSeconds = 6 * 3600

// ChunkOf is the Unix second at which the chunk of a slot begins.
func ChunkOf(slot int64) int64 { return slot - slot%ChunkSeconds }

// Slot is what the ports of a bill carried in one slot.
type Slot struct {
	Begin   int64  // Unix second
	Width   int    // seconds
	In, Out uint64 // bit/s, added up over the ports
}

// Spread calls add for each slot that the sample's bytes are spread over, the
// last first, as far back as from; never for a sample without a span, which has no rate.
func (s Sample) Spread(from int64, add func(Slot)) {
	if s.Span <= 0 {
		return
	}
	in, out := s.Rates()
	for i := range int64(s.Slots) {
		begin := s.Slot - i*int64(s.Width)
		if begin < from {
			return
		}
		add(Slot{Begin: begin, Width: s.Width, In: in, Out: out})
	}
}

// Since is what of the sample counts in a bill to which its port came at a
// Unix second: all of it, unless its bytes are spread over slots that began
// before. Then it is the share of the slots since, rounded down, flagged as
// joined: when the bytes passed is not known.
func (s Sample) Since(from int64) Sample {
	first := s.Slot - int64(s.Slots-1)*int64(s.Width)
	if s.Slots < 2 || s.Width <= 0 || first >= from || s.Slot < from {
		return s
	}
	share, whole := (s.Slot-from)/int64(s.Width)+1, int64(s.Slots)
	s.In, s.Out = scale(s.In, uint64(share), uint64(whole)), scale(s.Out, uint64(share), uint64(whole))
	s.Span = s.Span / time.Duration(whole) * time.Duration(share)
	s.Slots = int(share)
	s.Flags |= Joined
	return s
}

// Chunk are the slots of a bill within 6 hours, in the order of time, each once.
type Chunk []Slot

// Add adds the rates of one port.
func (c *Chunk) Add(s Slot) {
	i, found := len(*c), false
	if i > 0 && (*c)[i-1].Begin >= s.Begin {
		i, found = slices.BinarySearchFunc(*c, s.Begin, func(at Slot, begin int64) int { return cmp.Compare(at.Begin, begin) })
	}
	if !found {
		*c = slices.Insert(*c, i, s)
		return
	}
	old := (*c)[i]
	(*c)[i] = Slot{Begin: s.Begin, Width: max(old.Width, s.Width), In: min(old.In+s.In, most), Out: min(old.Out+s.Out, most)}
}

// errChunk says that packed slots are not what Pack makes.
var errChunk = errors.New("packed slots of a bill are damaged; make them again: pollux bill recalculate BILL --anew")

const packing = 1

// Pack writes the slots of a chunk that begins at begin: runs of slots that
// follow each other, each its length, its offset in seconds, the slots' width, then their rates, as varints.
func (c Chunk) Pack(begin int64) []byte {
	all := c
	packed := append(make([]byte, 0, 8+10*len(all)), packing)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Width == all[0].Width && all[n].Begin == all[n-1].Begin+int64(all[0].Width) {
			n++
		}
		packed = binary.AppendUvarint(packed, uint64(n))
		packed = binary.AppendUvarint(packed, uint64(all[0].Begin-begin))
		packed = binary.AppendUvarint(packed, uint64(all[0].Width))
		for _, s := range all[:n] {
			packed = binary.AppendUvarint(binary.AppendUvarint(packed, s.In), s.Out)
		}
		all = all[n:]
	}
	return packed
}

// Unpack reads what Pack wrote of a chunk that begins at begin. It trusts nothing.
func Unpack(packed []byte, begin int64) (Chunk, error) {
	if len(packed) == 0 || packed[0] != packing {
		return nil, fmt.Errorf("%w (version)", errChunk)
	}
	c := make(Chunk, 0, ChunkSeconds/300)
	packed = packed[1:]
	next := func() uint64 {
		n, size := binary.Uvarint(packed)
		if size <= 0 {
			packed = nil
			return 1 << 63
		}
		packed = packed[size:]
		return n
	}
	for len(packed) > 0 {
		n, offset, width := next(), next(), next()
		if n == 0 || n > ChunkSeconds || offset >= ChunkSeconds || width == 0 || width > MaxInterval {
			return nil, errChunk
		}
		for i := range n {
			in, out := next(), next()
			if in > most || out > most {
				return nil, errChunk
			}
			s := Slot{Begin: begin + int64(offset+i*width), Width: int(width), In: in, Out: out}
			if len(c) > 0 && s.Begin <= c[len(c)-1].Begin {
				return nil, errChunk
			}
			c = append(c, s)
		}
	}
	return c, nil
}
