package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/klauspost/compress/s2"

	"pollux/measurement"
)

// version is the highest first byte of an entry that this program knows; what
// follows is an s2 block of the body. It goes up with every change that an older program
// cannot read: an entry that holds a new kind of measurement carries a higher version
// too. A program leaves entries of later versions to others, see errNewer. So an entry carries
// the lowest version that can hold it: 1; 2, which differs in its bounds only; 3, which holds files with names; 4, which holds
// those of what is known of a device without its help.
const version = 4

// maxVersion is the last version that there can be; a byte beyond it is damage.
const maxVersion = 15

// How the values of a measurement are written.
const (
	shapeCounters = 0 // all are counters: uvarints
	shapeMixed    = 1 // two bits of form per value first, then those that have a number
)

// Forms of a value in shapeMixed.
const (
	formUnknown = 0
	formCounter = 1 // uvarint
	formGauge   = 2 // IEEE 754, little endian
)

// encoder turns entries into bytes. Its buffers are reused: what encode returns is valid until the next call.
type encoder struct {
	body   []byte
	packed []byte
}

// encode checks the entry and writes it. Numbers that repeat from one
// measurement to the next (maximum, sample time, instance) are written as differences.
func (c *encoder) encode(e *Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(c.body[:0], uint64(e.DeviceID))
	b = binary.AppendUvarint(b, uint64(e.Slot))
	b = append(b, outcomeNumber(e.Outcome))
	b = binary.AppendUvarint(b, uint64(e.Step))
	b = binary.AppendUvarint(b, uint64(e.Heartbeat))
	b = binary.AppendUvarint(b, uint64(len(e.Dir)))
	b = append(b, e.Dir...)
	b = binary.AppendUvarint(b, uint64(len(e.Measurements)))
	var instance, at int64
	var limit uint64
	newest := measurement.KindPort
	for i := range e.Measurements {
		m := &e.Measurements[i]
		ms := m.Time.UnixMilli()
		b = append(b, byte(m.Kind))
		b = binary.AppendVarint(b, m.Instance-instance)
		b = binary.AppendUvarint(b, uint64(m.Generation))
		newest = max(newest, m.Kind)
		if m.Kind.Named() {
			b = append(binary.AppendUvarint(b, uint64(len(m.Name))), m.Name...)
		}
		b = binary.AppendUvarint(b, m.Max^limit)
		b = binary.AppendVarint(b, ms-at)
		b = appendValues(b, m.Values)
		instance, at, limit = m.Instance, ms, m.Max
		if len(b) > maxBody {
			break
		}
	}
	c.body = b
	if len(b) > maxBody {
		return nil, bad("more than %d bytes", maxBody)
	}
	if room := 1 + s2.MaxEncodedLen(len(b)); cap(c.packed) < room {
		c.packed = make([]byte, room)
	}
	c.packed = c.packed[:cap(c.packed)]
	c.packed[0] = versionOf(len(e.Measurements), len(b), newest)
	block := s2.Encode(c.packed[1:], b)
	return c.packed[:1+len(block)], nil
}

// versionOf is the lowest version that holds so many measurements in so many bytes, of kinds up to newest.
func versionOf(measurements, body int, newest measurement.Kind) byte {
	switch {
	case newest >= measurement.KindICMP:
		return 4
	case newest.Named():
		return 3
	case measurements > measurements1 || body > body1:
		return 2
	default:
		return 1
	}
}

// checksums are made with CRC-32C, which processors compute.
var checksums = crc32.MakeTable(crc32.Castagnoli)

// checksum is what stands beside an entry in the log. It is no part of the entry,
// so that a program which does not know it reads the entry all the same.
func checksum(payload []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(payload, checksums)), 10)
}

func appendValues(b []byte, values []measurement.Value) []byte {
	start := len(b)
	b = append(b, shapeCounters)
	for _, value := range values {
		n, ok := value.AsCounter()
		if !ok {
			return appendMixed(b[:start], values)
		}
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendMixed(b []byte, values []measurement.Value) []byte {
	b = append(b, shapeMixed)
	forms := len(b)
	for range (len(values) + 3) / 4 {
		b = append(b, 0)
	}
	for i, value := range values {
		form := byte(formUnknown)
		if n, ok := value.AsCounter(); ok {
			form, b = formCounter, binary.AppendUvarint(b, n)
		} else if x, ok := value.AsGauge(); ok {
			form, b = formGauge, binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		b[forms+i/4] |= form << (i % 4 * 2)
	}
	return b
}
