package journal_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
)

// traffic is a poll of ports of which a share is active, with counters as 300 s intervals make them.
func traffic(ports int, active float64) journal.Entry {
	random := rand.New(rand.NewPCG(1, 2))
	e := portEntry(4711, 1_795_340_100, time.UnixMilli(1_795_340_123_456), ports)
	for i := range e.Measurements {
		values := e.Measurements[i].Values
		for k := range values {
			values[k] = measurement.Counter(0)
			if random.Float64() < active && k < 8 {
				values[k] = measurement.Counter(random.Uint64N(1 << (20 + 3*uint(8-k))))
			}
		}
	}
	return e
}

func roundTrip(t *testing.T, e journal.Entry) journal.Entry {
	t.Helper()
	payload, err := journal.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.DecodeEntry(payload)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	mixed := portEntry(1, 5, time.UnixMilli(1_795_340_123_456), 3)
	mixed.Outcome = device.OutcomePartial
	mixed.Measurements[1].Values[14] = measurement.Unknown()
	mixed.Measurements[1].Values[3] = measurement.Gauge(-2.5e-300)
	mixed.Measurements[1].Values[4] = measurement.Counter(math.MaxUint64)
	mixed.Measurements[1].Generation = 7
	mixed.Measurements[2].Max = math.MaxUint64
	mixed.Measurements[2].Time = time.UnixMilli(1_795_340_000_001) // earlier than the others
	mixed.Measurements = append(mixed.Measurements, measurement.Measurement{
		Kind: measurement.KindUptime, Time: time.UnixMilli(1_795_340_123_999), Values: []measurement.Value{measurement.Gauge(12.75)},
	})
	for name, e := range map[string]journal.Entry{
		"mixed": mixed, "traffic": traffic(48, 0.6), "large": traffic(5000, 1),
		"nothing": {DeviceID: math.MaxInt64, Slot: 1, Outcome: device.OutcomeDown},
	} {
		if got := roundTrip(t, e); !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v, want %+v", name, got, e)
		}
	}
}

func TestEntriesAreSmall(t *testing.T) {
	t.Parallel()
	for active, limit := range map[float64]int{1: 3100, 0.3: 1500} {
		payload, err := journal.EncodeEntry(traffic(48, active))
		if err != nil || len(payload) > limit {
			t.Errorf("48 ports, %.0f %% active: %d bytes, at most %d wanted (%v)", active*100, len(payload), limit, err)
		}
	}
}

func TestDamagedEntriesAreRefused(t *testing.T) {
	t.Parallel()
	good, err := journal.EncodeEntry(traffic(4, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	body, err := s2.Decode(nil, good[1:])
	if err != nil {
		t.Fatal(err)
	}
	packed := func(body []byte) []byte { return append([]byte{1}, s2.Encode(nil, body)...) }
	for name, payload := range map[string][]byte{
		"nothing": nil, "one byte": good[:1], "version": append([]byte{16}, good[1:]...), "version 0": append([]byte{0}, good[1:]...), "cut": good[:len(good)-3],
		"too long":    packed(append(body[:len(body):len(body)], 0)),
		"a huge size": {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"9 MiB":       packed(make([]byte, 9<<20)),
	} {
		if _, err := journal.DecodeEntry(payload); !errors.Is(err, journal.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, version := range []byte{5, 15} {
		if _, err := journal.DecodeEntry(append([]byte{version}, "what a later program writes"...)); !errors.Is(err, journal.ErrNewer) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	for n := range len(body) {
		if _, err := journal.DecodeEntry(packed(body[:n])); !errors.Is(err, journal.ErrEntry) {
			t.Errorf("body cut at %d: %v", n, err)
		}
	}
	e := traffic(journal.MaxMeasurements, 0.1)
	if _, err := journal.EncodeEntry(e); err != nil {
		t.Errorf("as many ports as it may have: %v", err)
	}
	for i := range e.Measurements {
		for k := range e.Measurements[i].Values {
			e.Measurements[i].Values[k] = measurement.Counter(math.MaxUint64)
		}
	}
	if _, err := journal.EncodeEntry(e); !errors.Is(err, journal.ErrEntry) {
		t.Errorf("more than 8 MiB: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	own := traffic(1, 0.5) // of version 4
	own.Measurements = append(own.Measurements,
		measurement.Measurement{Kind: measurement.KindICMP, Name: "icmp-perf", Time: time.UnixMilli(1_795_340_123_000), Values: []measurement.Value{
			measurement.Gauge(1.5), measurement.Gauge(3), measurement.Gauge(2), measurement.Gauge(1), measurement.Unknown(),
		}},
		measurement.Measurement{Kind: measurement.KindPollerPerf, Name: "poller-perf-ports", Time: time.UnixMilli(1_795_340_123_000), Values: []measurement.Value{measurement.Gauge(0.25)}},
		measurement.Measurement{Kind: measurement.KindAvailability, Name: "availability-86400", Time: time.UnixMilli(1_795_340_123_000), Values: []measurement.Value{measurement.Gauge(99.5)}})
	for _, e := range []journal.Entry{traffic(3, 0.5), traffic(1, 0), own, {DeviceID: 1, Outcome: device.OutcomeDown}} {
		payload, err := journal.EncodeEntry(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
		body, err := s2.Decode(nil, payload[1:])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	check := func(t *testing.T, payload []byte) {
		e, err := journal.DecodeEntry(payload)
		if err != nil {
			if !errors.Is(err, journal.ErrEntry) && !errors.Is(err, journal.ErrNewer) {
				t.Fatalf("%v is neither ErrEntry nor ErrNewer", err)
			}
			return
		}
		// What is accepted can be written again, and means the same.
		if again := roundTrip(t, e); !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v became %+v", e, again)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, data)
		check(t, append([]byte{1}, s2.Encode(nil, data)...)) // the body behind the compression
	})
}

// What an entry can make a recorder allocate is bounded, however small it is when it comes.
func TestDecodingIsBounded(t *testing.T) {
	entry := traffic(journal.MaxMeasurements, 0)
	for i := range entry.Measurements {
		entry.Measurements[i].Values = make([]measurement.Value, 15) // all unknown: the fewest bytes for the most memory
	}
	good, err := journal.EncodeEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s2.Decode(nil, good[1:])
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{
		"a full entry": good, "nothing but zeros": append([]byte{1}, s2.Encode(nil, make([]byte, 8<<20))...),
		"a full entry with rubbish behind it": append([]byte{1}, s2.Encode(nil, append(body, make([]byte, 1<<19)...))...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := journal.DecodeEntry(payload)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 || (err == nil) != (name == "a full entry") {
			t.Errorf("%s: %d bytes allocated for %d, %v", name, used, len(payload), err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := traffic(48, 0.6)
	encode := journal.Encoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(&e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	payload, err := journal.EncodeEntry(traffic(48, 0.6))
	if err != nil {
		b.Fatal(err)
	}
	decode := journal.Decoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
