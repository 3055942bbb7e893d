package measurement_test

import (
	"testing"

	"pollux/measurement"
)

// TestOwnFilesAreLibreNMSs: names and sources of what is known of a device without its help.
func TestOwnFilesAreLibreNMSs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind     measurement.Kind
		of, name string
		sources  []string
		max      float64
	}{
		{measurement.KindICMP, "", "icmp-perf", []string{"avg", "xmt", "rcv", "min", "max"}, 65535},
		{measurement.KindPollerPerf, "", "poller-perf", []string{"poller"}, 0},
		{measurement.KindPollerPerf, "entity-physical", "poller-perf-entity-physical", []string{"poller"}, 0},
		{measurement.KindAvailability, "86400", "availability-86400", []string{"availability"}, 100},
	} {
		if name := measurement.OwnName(c.kind, c.of); name != c.name {
			t.Errorf("%d of %q is %s, want %s", c.kind, c.of, name, c.name)
		}
		schema, err := measurement.Schema(c.kind, 300, 600, 0, nil)
		if err != nil || len(schema.Sources) != len(c.sources) || len(c.kind.Sources()) != len(c.sources) || !c.kind.Named() || !c.kind.Valid() {
			t.Fatalf("%s: %+v, %v", c.name, schema, err)
		}
		for i, source := range schema.Sources {
			if source.Name != c.sources[i] || source.Name != c.kind.Sources()[i] || source.Type != "GAUGE" || source.Min != 0 || source.Heartbeat != 600 || c.max != 0 && source.Max != c.max {
				t.Errorf("%s: %+v", c.name, source)
			}
		}
		for _, generation := range []int{0, 12} {
			m := measurement.Measurement{Kind: c.kind, Name: c.name}
			file := m.File("sw1", generation)[len("sw1/"):]
			if kind, instance, g, ours := measurement.ParseName(file); !ours || kind != c.kind || instance != 0 || g != generation {
				t.Errorf("%s is read as %v %d %d %v", file, kind, instance, g, ours)
			}
		}
	}
	for _, name := range []string{"icmp-perf-x.rrd", "poller-perf-.rrd.bak", "poller-perf-A.rrd", "availability-.rrd", "availability-0.rrd", "availability-1d.rrd", "ping-perf.rrd", "poller-perf-a/b.rrd"} {
		if _, _, _, ours := measurement.ParseName(name); ours {
			t.Errorf("%q is taken for one of ours", name)
		}
	}
}
