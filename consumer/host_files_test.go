package consumer_test

import (
	"fmt"
	"log/slog"
	"math"
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

// host is what a simulated host answers. Each of its counters grows by another rate, so that none can stand for another.
const host = `1.3.6.1.2.1.1.1.0|4|Linux host1 6.1.0 x86_64
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10
1.3.6.1.2.1.1.3.0|67|360000
1.3.6.1.2.1.1.5.0|4|host1
1.3.6.1.2.1.7.1.0|65r|100+11
1.3.6.1.2.1.7.2.0|65r|101+21
1.3.6.1.2.1.7.3.0|65r|102+31
1.3.6.1.2.1.7.4.0|65r|103+41
1.3.6.1.2.1.25.1.5.0|66|3
1.3.6.1.2.1.25.1.6.0|66|211
1.3.6.1.4.1.2021.10.1.5.1|2|110
1.3.6.1.4.1.2021.10.1.5.2|2|90
1.3.6.1.4.1.2021.10.1.5.3|2|70
1.3.6.1.4.1.2021.11.50.0|65r|1+51
1.3.6.1.4.1.2021.11.51.0|65r|2+61
1.3.6.1.4.1.2021.11.52.0|65r|3+71
1.3.6.1.4.1.2021.11.53.0|65r|4+81
1.3.6.1.4.1.2021.13.15.1.1.2.1|4|sda
1.3.6.1.4.1.2021.13.15.1.1.3.1|65r|5+91
1.3.6.1.4.1.2021.13.15.1.1.4.1|65r|6+101
1.3.6.1.4.1.2021.13.15.1.1.5.1|65r|7+111
1.3.6.1.4.1.2021.13.15.1.1.6.1|65r|8+121
`

// TestFilesOfHostsAreFilled: what a host tells of itself as a whole is in
// LibreNMS's files, with the values that it has, as "rrdtool fetch" reads them.
// The values are exact but for rates: the simulator counts when it answers, and a
// sample is of the middle between request and answer, so that a slow machine shifts them a little.
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
		"ucd_load": {110, 90, 70}, "hr_processes": {211}, "hr_users": {3}, // In the order of the sources: user, system, nice, idle; read, written, reads, writes; in, out, in with errors, to no port.
		"ucd_cpu": {51, 71, 61, 81}, "ucd_ssCpuRawUser": {51}, "ucd_ssCpuRawNice": {61}, "ucd_ssCpuRawSystem": {71}, "ucd_ssCpuRawIdle": {81},
		"ucd_diskio-sda": {91, 101, 111, 121}, "netstats-udp": {11, 41, 31, 21},
	} {
		file := filepath.Join(added.RRDDir, name+".rrd")
		var got []float64
		polluxtest.Eventually(t, patience, fmt.Sprintf("%s holds %v", file, want), func() bool {
			if _, err := os.Stat(filepath.Join(rrd.Base, file)); err != nil {
				return false
			}
			if err := daemon.Flush(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			got = fetched(t, filepath.Join(rrd.Base, file))
			return likely(got, want)
		})
	}
	files, err := filepath.Glob(filepath.Join(rrd.Base, added.RRDDir, "*.rrd"))
	if text := strings.Join(files, " "); err != nil || strings.Contains(text, "netstats-ip") {
		t.Errorf("a file of what the host lacks: %s, %v", text, err)
	}
}

// likely says whether a row holds values to one percent.
func likely(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(g, w float64) bool { return math.Abs(g-w) <= w/100 })
}
