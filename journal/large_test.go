package journal_test

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pollux/journal"
	"pollux/measurement"
)

// mostPorts are as many as are read of a device.
const mostPorts = 30_000

// narrow is a poll of ports whose counters all have 32 bits, which are filed 2^63
// higher: no other number is as long. A reply brings a hundred ports.
func narrow(id, slot int64, at time.Time, ports int) journal.Entry {
	random := rand.New(rand.NewPCG(uint64(slot), 22))
	e := portEntry(id, slot, at, ports)
	for i := range e.Measurements {
		e.Measurements[i].Instance = int64(i)
		e.Measurements[i].Time = at.Add(time.Duration(i/100) * time.Millisecond)
		for k := range e.Measurements[i].Values {
			e.Measurements[i].Values[k] = measurement.Counter(1<<63 + uint64(random.Uint32()))
		}
	}
	return e
}

// The largest device that is read fits into an entry, even when each of its ports has a break.
func TestTheLargestPollFitsIntoAnEntry(t *testing.T) {
	t.Parallel()
	e := narrow(7, 1_795_340_100, time.UnixMilli(1_795_340_123_456), mostPorts)
	plain, err := journal.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Measurements {
		e.Measurements[i].Break = true
	}
	e.Measurements = append(measurement.Part(e.Measurements, time.Time{}, journal.MaxMeasurements-1), measurement.Measurement{
		Kind: measurement.KindUptime, Time: time.UnixMilli(1_795_340_123_999), Values: []measurement.Value{measurement.Gauge(12.75)},
	})
	if n := len(e.Measurements); n != 2*mostPorts+1 {
		t.Errorf("%d measurements", n)
	}
	broken, err := journal.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d ports: %d bytes, with a break each %d", mostPorts, len(plain), len(broken))
	if got := roundTrip(t, e); !reflect.DeepEqual(got, e) {
		t.Error("it does not come back as it was")
	}
}

// An entry carries the lowest version that holds it: a program that knows only that reads it.
func TestAnEntryCarriesTheLowestVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry journal.Entry
		want  byte
	}{
		"48 ports":              {traffic(48, 0.6), 1},
		"10,000 measurements":   {traffic(10_000, 0), 1},
		"one more":              {traffic(10_001, 0), 2},
		"9,000 long ones":       {narrow(7, 1_795_340_100, time.UnixMilli(1_795_340_123_456), 9000), 2},
		"the largest there are": {narrow(7, 1_795_340_100, time.UnixMilli(1_795_340_123_456), mostPorts), 2},
	} {
		payload, err := journal.EncodeEntry(c.entry)
		if err != nil || payload[0] != c.want {
			t.Errorf("%s: %.1q, %v", name, payload, err)
		}
	}
}

// Entries as large as that of the largest device are recorded, several at once and others between them. Of the same size are
// a hundred samples of 300 ports each, and 30,000 files take a minute.
func TestLargeEntriesAreRecorded(t *testing.T) {
	t.Parallel()
	const polls, files = 3, 300
	w := newWorld(t, time.Hour)
	at := time.Now().Add(-time.Hour)
	for range polls {
		at = at.Add(5 * time.Minute)
		e := narrow(7, at.Unix(), at, mostPorts)
		for i := range e.Measurements {
			e.Measurements[i].Instance = int64(i % files)
			e.Measurements[i].Time = at.Add(time.Duration(i/files) * time.Second)
		}
		if result, err := w.journal.Append(t.Context(), e); err != nil || result != journal.Accepted {
			t.Fatalf("append: %v, %v", result, err)
		}
		w.poll(2, 3)
	}
	r := w.record()
	w.drained()
	if n := r.counter("pollux_rrd_updates_total", "accepted"); n != polls*(mostPorts+2*3) {
		t.Errorf("%.0f lines are accepted, want %d", n, polls*(mostPorts+2*3))
	}
	for _, result := range []string{"refused", "removed"} {
		if n := r.counter("pollux_rrd_updates_total", result); n != 0 {
			t.Errorf("%.0f lines are %s", n, result)
		}
	}
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 0 {
		t.Errorf("%.0f entries are undecodable", n)
	}
}
