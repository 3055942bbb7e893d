package measurement_test

import (
	"math"
	"strings"
	"testing"

	"pollux/measurement"
	"pollux/rrdcached"
)

func TestPortFileIsLibreNMSs(t *testing.T) {
	t.Parallel()
	archives, err := rrdcached.ParseArchives("AVERAGE:1x120 MAX:6x20")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := measurement.Schema(measurement.KindPort, 300, measurement.Heartbeat(300), measurement.PortMax(0), archives)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(schema.Sources) != 15 || schema.Sources[0].Name != "INOCTETS" || schema.Sources[14].Name != "OUTMULTICASTPKTS" {
		t.Errorf("sources %v", schema.Sources)
	}
	for i, s := range schema.Sources {
		if s.Type != "DERIVE" || s.Heartbeat != 600 || s.Min != 0 || s.Max != 12_500_000_000 || s.Name != measurement.KindPort.Sources()[i] {
			t.Errorf("source %+v", s)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"sw1/port-id7.rrd":      measurement.Path("sw1", measurement.KindPort, 7, 0),
		"sw1/port-id7-g2.rrd":   measurement.Path("sw1", measurement.KindPort, 7, 2),
		"sw1/uptime.rrd":        measurement.Path("sw1", measurement.KindUptime, 0, 0),
		"sw~2/uptime-g1.rrd":    measurement.Path("sw~2", measurement.KindUptime, 0, 1),
		"10.0.0.1/port-id1.rrd": measurement.Path("10.0.0.1", measurement.KindPort, 1, 0),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := rrdcached.CheckFile(got); err != nil {
			t.Error(err)
		}
	}
}

// TestNames: a name is read back as what it was made of, and no other name is taken for one of ours.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		kind       measurement.Kind
		instance   int64
		generation int
	}{{measurement.KindPort, 7, 0}, {measurement.KindPort, 1_234_567, 12}, {measurement.KindUptime, 0, 0}, {measurement.KindUptime, 0, 3}} {
		_, name, _ := strings.Cut(measurement.Path("sw1", want.kind, want.instance, want.generation), "/")
		kind, instance, generation, ours := measurement.ParseName(name)
		if !ours || kind != want.kind || instance != want.instance || generation != want.generation {
			t.Errorf("%s is read as %v %d %d %v, want %+v", name, kind, instance, generation, ours, want)
		}
	}
	for _, name := range []string{
		"", ".rrd", "processor.rrd", "fan-hr-1.rrd", "sensor-a/b.rrd", "port-id.rrd", "port-id0.rrd", "port-id07.rrd", "port-id7-g0.rrd", "port-id7-g01.rrd", "port-id7.rrd.bak",
		"port-id7-adsl.rrd", "port-id99999999999999999999.rrd", "uptime-g.rrd", "Uptime.rrd", "_pollux.rrd", "uptime.rrd\n",
	} {
		if _, _, _, ours := measurement.ParseName(name); ours {
			t.Errorf("%q is taken for one of ours", name)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if got := measurement.Heartbeat(10); got != 600 {
		t.Errorf("heartbeat at 10 s: %d", got)
	}
	if got := measurement.Heartbeat(3600); got != 7200 {
		t.Errorf("heartbeat at 3600 s: %d", got)
	}
	if got := measurement.PortMax(400_000_000_000); got != 62_500_000_000 {
		t.Errorf("maximum of 400 Gbit/s: %d", got)
	}
	if got := measurement.PortMax(math.MaxUint64); got < measurement.DefaultPortMax {
		t.Errorf("maximum of an absurd speed: %d", got)
	}
}

func TestUnknownKindHasNoFile(t *testing.T) {
	t.Parallel()
	if _, err := measurement.Schema(measurement.Kind(99), 300, 600, 0, nil); err == nil {
		t.Error("a schema for kind 99")
	}
	if measurement.Kind(99).Valid() || measurement.Kind(99).Sources() != nil {
		t.Error("kind 99 is known")
	}
}

func TestGaugeIsFinite(t *testing.T) {
	t.Parallel()
	if !measurement.Gauge(math.NaN()).IsUnknown() || !measurement.Gauge(math.Inf(1)).IsUnknown() || measurement.Gauge(0).IsUnknown() {
		t.Error("what is not finite must be unknown, and zero must not")
	}
}
