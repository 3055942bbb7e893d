package consumer_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
	"pollux/rrdcached"
	"pollux/simulator"
)

// host is what a simulated host answers. Its counters stand still, so their rates are 0.
const host = `1.3.6.1.2.1.1.1.0|4|Linux host1 6.1.0 x86_64
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10
1.3.6.1.2.1.1.3.0|67|360000
1.3.6.1.2.1.1.5.0|4|host1
1.3.6.1.2.1.7.1.0|65|100
1.3.6.1.2.1.7.2.0|65|101
1.3.6.1.2.1.7.3.0|65|102
1.3.6.1.2.1.7.4.0|65|103
1.3.6.1.2.1.25.1.5.0|66|3
1.3.6.1.2.1.25.1.6.0|66|211
1.3.6.1.4.1.2021.10.1.5.1|2|110
1.3.6.1.4.1.2021.10.1.5.2|2|90
1.3.6.1.4.1.2021.10.1.5.3|2|70
1.3.6.1.4.1.2021.11.50.0|65|1
1.3.6.1.4.1.2021.11.51.0|65|2
1.3.6.1.4.1.2021.11.52.0|65|3
1.3.6.1.4.1.2021.11.53.0|65|4
1.3.6.1.4.1.2021.13.15.1.1.2.1|4|sda
1.3.6.1.4.1.2021.13.15.1.1.3.1|65|5
1.3.6.1.4.1.2021.13.15.1.1.4.1|65|6
1.3.6.1.4.1.2021.13.15.1.1.5.1|65|7
1.3.6.1.4.1.2021.13.15.1.1.6.1|65|8
`

// TestFilesOfHostsAreFilled: what a host tells of itself as a whole is in
// LibreNMS's files, with the values that it has, as "rrdtool fetch" reads them.
func TestFilesOfHostsAreFilled(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	parts := running{t, log}
	recordings := t.TempDir()
	if err := os.WriteFile(filepath.Join(recordings, "host1.snmprec"), []byte(host), 0o600); err != nil {
		t.Fatal(err)
	}
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Recordings: recordings}, log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("simulator", agent.Run)
	<-agent.Ready()
	rrd, inventory := polluxtest.RRDCached(t), openStore(t, log)
	client := redis.NewClient(&redis.Options{Addr: polluxtest.Redis(t).Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	added, err := inventory.AddDevice(t.Context(), recorded("host1", agent.Addr(0)))
	if err != nil {
		t.Fatal(err)
	}
	runAll(t, parts, client, inventory, rrd.Address)
	daemon, err := rrdcached.Dial(t.Context(), rrd.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Close() })
	for name, want := range map[string][]float64{
		"ucd_load": {110, 90, 70}, "hr_processes": {211}, "hr_users": {3}, "ucd_cpu": {0, 0, 0, 0}, "ucd_ssCpuRawUser": {0},
		"ucd_diskio-sda": {0, 0, 0, 0}, "netstats-udp": {0, 0, 0, 0},
	} {
		file := filepath.Join(added.RRDDir, name+".rrd")
		var got []float64
		polluxtest.Eventually(t, patience, file+" holds a row", func() bool {
			if _, err := os.Stat(filepath.Join(rrd.Base, file)); err != nil {
				return false
			}
			if err := daemon.Flush(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			got = fetched(t, filepath.Join(rrd.Base, file))
			return got != nil
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", file, got, want)
		}
	}
	files, err := filepath.Glob(filepath.Join(rrd.Base, added.RRDDir, "*.rrd"))
	if text := strings.Join(files, " "); err != nil || strings.Contains(text, "netstats-ip") {
		t.Errorf("a file of what the host lacks: %s, %v", text, err)
	}
}
