package measurement_test

import (
	"testing"

	"pollux/measurement"
)

func TestNamesOfComponents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, class, definition, index, descr, want string
	}{
		{"processor", "", "hr", "196608", "Intel", "processor-hr-196608"},
		{"mempool", "swap", "ucd", "0", "Swap", "mempool-ucd-swap-0"},
		{"storage", "", "hrstorage", "31", "/var/log ä", "storage-hrstorage-_var_log__"},
		{"sensor", "temperature", "ios", "1.2", "Inlet", "sensor-temperature-ios-1.2"},
		{"storage", "", "hr", "1", "/mnt/a..b", "storage-hr-_mnt_a_b"},
		{"storage", "", "hr", "1", "a.", "storage-hr-a_"},
		{"host", "", "host", "ucd_load", "", "ucd_load"},
		{"host", "", "host", "ucd_diskio-sda/1", "", "ucd_diskio-sda_1"},
		{"host", "", "host", "netstats-ip", "", "netstats-ip"},
		{"sensor", "state", "x", "a-g2", "", "sensor-state-x-a-g2_"}, // else it would be a generation
	} {
		name := measurement.ComponentName(c.kind, c.class, c.definition, c.index, c.descr)
		if name != c.want {
			t.Errorf("got %s, want %s", name, c.want)
		}
		for _, generation := range []int{0, 3} {
			path := measurement.NamedPath("d", name, generation)
			kind, parsed, g, ours := measurement.ParseComponent(path[2:])
			if !ours || parsed != name || g != generation || !kind.Named() {
				t.Errorf("%s is read as %v %q %d %v", path, kind, parsed, g, ours)
			}
			if k, _, g, ours := measurement.ParseName(path[2:]); !ours || k != kind || g != generation {
				t.Errorf("%s is none of ours", path)
			}
		}
	}
}

func TestFilesOfHostsHaveTheirKind(t *testing.T) {
	t.Parallel()
	for i, file := range measurement.HostFiles() {
		if want := measurement.KindUCDCPU + measurement.Kind(i); file.Kind != want || !file.Kind.Named() || !file.Kind.Valid() {
			t.Errorf("%s has kind %d, want %d", file.Name, file.Kind, want)
		}
		name := file.Name
		if name[len(name)-1] == '-' || name[len(name)-1] == '_' {
			name += "x"
		}
		if kind, parsed, _, ours := measurement.ParseComponent(name + ".rrd"); !ours || kind != file.Kind || parsed != name {
			t.Errorf("%s.rrd is read as %d %q %v", name, kind, parsed, ours)
		}
		schema, err := measurement.Schema(file.Kind, 10, 600, 0, nil)
		if err != nil || len(schema.Sources) != len(file.Kind.Sources()) {
			t.Fatalf("%s: %v", name, err)
		}
		seen := map[string]bool{}
		for _, source := range schema.Sources {
			if seen[source.Name] || len(source.Name) > 19 {
				t.Errorf("%s: source %s is there twice or too long", name, source.Name)
			}
			seen[source.Name] = true
		}
	}
}
