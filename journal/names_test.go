package journal

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
)

func named(kind measurement.Kind, name string, values ...float64) measurement.Measurement {
	m := measurement.Measurement{Kind: kind, Instance: 7, Name: name, Generation: 2, Time: time.UnixMilli(1_795_340_000_123)}
	for _, v := range values {
		m.Values = append(m.Values, measurement.Gauge(v))
	}
	return m
}

func TestNamesOfFilesSurvive(t *testing.T) {
	t.Parallel()
	port := measurement.Measurement{Kind: measurement.KindUptime, Time: time.UnixMilli(1_795_340_000_000), Values: []measurement.Value{measurement.Gauge(5)}}
	want := Entry{
		DeviceID: 3, Slot: 1_795_340_000, Outcome: device.OutcomeUp, Dir: "sw1", Step: 10, Heartbeat: 600,
		Measurements: []measurement.Measurement{
			named(measurement.KindSensor, "sensor-temperature-ios-1", 38.5), port, named(measurement.KindMempool, "mempool-ucd-system-0", 10, 20),
		},
	}
	payload, err := (&encoder{}).encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	if payload[0] != 3 {
		t.Errorf("version %d: a program that knows no names would file it wrongly", payload[0])
	}
	got, err := (&decoder{}).decode(payload)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if _, err := (&decoder{newest: 2}).decode(payload); !errors.Is(err, errNewer) {
		t.Errorf("a program of version 2: %v", err)
	}
	only := want
	only.Measurements = []measurement.Measurement{port}
	if payload, err := (&encoder{}).encode(&only); err != nil || payload[0] != 1 {
		t.Errorf("an entry without names has version %d, %v", payload[0], err)
	}
	own := want
	own.Measurements = append(own.Measurements[:len(own.Measurements):len(own.Measurements)], named(measurement.KindAvailability, "availability-86400", 99.5))
	payload, err = (&encoder{}).encode(&own)
	if err != nil || payload[0] != 4 {
		t.Errorf("an entry with an availability has version %d, %v", payload[0], err)
	}
	if got, err := (&decoder{}).decode(payload); err != nil || !reflect.DeepEqual(got, own) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, own)
	}
	if _, err := (&decoder{newest: 3}).decode(payload); !errors.Is(err, errNewer) {
		t.Errorf("a program of version 3: %v", err)
	}
	if file := got.Measurements[0].File(got.Dir, 2); file != "sw1/sensor-temperature-ios-1-g2.rrd" {
		t.Errorf("file %s", file)
	}
}

func TestNamesThatCannotBeFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a/b", "../x", "a b", "line\nbreak", strings.Repeat("x", 201)} {
		e := Entry{
			DeviceID: 3, Slot: 1_795_340_000, Outcome: device.OutcomeUp, Dir: "sw1", Step: 10, Heartbeat: 600,
			Measurements: []measurement.Measurement{named(measurement.KindSensor, name, 1)},
		}
		if _, err := (&encoder{}).encode(&e); !errors.Is(err, ErrEntry) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	e := Entry{
		DeviceID: 3, Slot: 1_795_340_000, Outcome: device.OutcomeUp, Dir: "sw1", Step: 10, Heartbeat: 600,
		Measurements: []measurement.Measurement{{Kind: measurement.KindUptime, Name: "uptime", Time: time.UnixMilli(1), Values: []measurement.Value{measurement.Gauge(1)}}},
	}
	if _, err := (&encoder{}).encode(&e); !errors.Is(err, ErrEntry) {
		t.Errorf("a name for a kind that has none: %v", err)
	}
}
