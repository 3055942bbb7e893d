package journal

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/measurement"
)

// slabValues is how many values are allocated at a time.
const slabValues = 1024

// decoder turns bytes into entries. Its buffer is reused; the entries do not share memory with it.
type decoder struct {
	newest byte // in tests, the version that another program knows; 0 is version
	body   []byte
	slab   []measurement.Value
}

// decode reads what encode wrote. Everything is bounded, and anything else is
// ErrEntry, or errNewer when a later program may be able to read it.
func (c *decoder) decode(payload []byte) (Entry, error) {
	if len(payload) < 2 {
		return Entry{}, bad("%d bytes", len(payload))
	}
	switch known := cmp.Or(c.newest, version); {
	case payload[0] > known && payload[0] <= maxVersion:
		return Entry{}, fmt.Errorf("%w: version %d, this program knows %d", errNewer, payload[0], known)
	case payload[0] < 1 || payload[0] > known:
		return Entry{}, bad("version %d, this program knows %d", payload[0], known)
	}
	size, err := s2.DecodedLen(payload[1:])
	if err != nil || size > maxBody {
		return Entry{}, bad("a block of %d bytes: %v", size, err)
	}
	if c.body, err = s2.Decode(c.body[:cap(c.body)], payload[1:]); err != nil {
		return Entry{}, bad("its block: %v", err)
	}
	r := reader{rest: c.body}
	entry := r.head()
	count := r.number(MaxMeasurements)
	if r.failed || count > uint64(len(r.rest)) {
		return Entry{}, bad("it is cut short")
	}
	if count > 0 {
		entry.Measurements = make([]measurement.Measurement, 0, count)
	}
	var before measurement.Measurement
	var at int64
	for range count {
		at = c.measurement(&r, &before, at)
		if r.failed {
			return Entry{}, bad("it is cut short or out of bounds")
		}
		entry.Measurements = append(entry.Measurements, before)
	}
	if len(r.rest) > 0 {
		return Entry{}, bad("%d bytes too many", len(r.rest))
	}
	return entry, entry.check()
}

// measurement reads one measurement over the one before it, and returns its time in Unix milliseconds.
func (c *decoder) measurement(r *reader, m *measurement.Measurement, at int64) int64 {
	m.Kind = measurement.Kind(r.byte())
	m.Instance += r.signed()
	m.Generation = int(r.number(maxGeneration))
	if m.Name = ""; m.Kind.Named() {
		m.Name = string(r.bytes(int(r.number(maxName))))
	}
	m.Max ^= r.number(math.MaxUint64)
	at += r.signed()
	m.Time = time.UnixMilli(at)
	sources := len(m.Kind.Sources())
	if r.failed || sources == 0 {
		r.failed = true
		return at
	}
	if len(c.slab) < sources {
		c.slab = make([]measurement.Value, max(slabValues, sources))
	}
	m.Values, c.slab = c.slab[:sources:sources], c.slab[sources:]
	r.values(m.Values)
	return at
}

// reader takes bytes off the front. After a failure it returns zeros.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) head() Entry {
	var e Entry
	e.DeviceID = int64(r.number(math.MaxInt64))
	e.Slot = int64(r.number(maxSeconds))
	if outcome := r.byte(); int(outcome) < len(outcomes) {
		e.Outcome = outcomes[outcome]
	}
	e.Step = int(r.number(maxStep))
	e.Heartbeat = int(r.number(maxHeartbeat))
	e.Dir = string(r.bytes(int(r.number(maxDir))))
	return e
}

func (r *reader) values(into []measurement.Value) {
	switch r.byte() {
	case shapeCounters:
		for i := range into {
			into[i] = measurement.Counter(r.number(math.MaxUint64))
		}
	case shapeMixed:
		forms := r.bytes((len(into) + 3) / 4)
		for i := range into {
			if r.failed {
				return
			}
			into[i] = r.value(forms[i/4] >> (i % 4 * 2) & 3)
		}
	default:
		r.failed = true
	}
}

func (r *reader) value(form byte) measurement.Value {
	switch form {
	case formUnknown:
		return measurement.Unknown()
	case formCounter:
		return measurement.Counter(r.number(math.MaxUint64))
	case formGauge:
		if b := r.bytes(8); !r.failed {
			return measurement.Gauge(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	r.failed = true
	return measurement.Unknown()
}

func (r *reader) byte() byte {
	if b := r.bytes(1); !r.failed {
		return b[0]
	}
	return 0
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads a uvarint of at most limit.
func (r *reader) number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size <= 0 || n > limit {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if r.failed || size <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}
