//go:build faults

package main_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
)

// plannedMove is a line of what rrd rebalance --dry-run prints.
type plannedMove struct {
	Hostname string
	From, To int
}

// TestDataShards gives a cluster with two RRDCached a second shard with two
// more, and moves devices there under load, with their history. Then the first
// shard's daemons are killed: what they had in memory only is sent again, and none of it brings a file back that has moved.
func TestDataShards(t *testing.T) {
	t.Parallel()
	rrds := map[int][]*polluxtest.Server{}
	for shard := range 2 {
		rrds[shard] = []*polluxtest.Server{polluxtest.RRDCachedTCP(t, shortWindow...), polluxtest.RRDCachedTCP(t, shortWindow...)}
	}
	w := newDataWorld(t, polluxtest.PostgreSQL, dataSetup{targets: rrds[0]})
	second := followLog(t, w.client, "pollux:{journal:1}")
	w.healed("all devices have a history", time.Now(), 2)
	cli(t, w.dir, w.env, "config", "set", "rrd.shards", "1="+rrds[1][0].Address+","+rrds[1][1].Address)
	planned := w.dryRun()
	if len(planned) < w.devices/4 || len(planned) > w.devices*3/4 {
		t.Fatalf("%d of %d devices belong into a second shard", len(planned), w.devices)
	}
	shards := journal.NewShards(w.client)
	until(t, time.Minute, "the new shard has recorders", func() bool {
		status, err := shards.Shard(1).Status(t.Context())
		return err == nil && len(status.Targets) == 2 && !slices.ContainsFunc(status.Targets, func(s journal.TargetStatus) bool { return s.Recorder == "" })
	})
	began := time.Now()
	args := []string{"rrd", "rebalance", "--yes"}
	for _, servers := range rrds {
		for _, s := range servers {
			args = append(args, "--tree", s.Address+"="+s.Base)
		}
	}
	said := strings.TrimSpace(cli(t, w.dir, w.env, args...))
	t.Logf("figures: %s, in %v", said[strings.LastIndex(said, "\n")+1:], time.Since(began).Round(time.Millisecond))
	if left := w.dryRun(); len(left) > 0 {
		t.Errorf("after the moves the dry run says %v", left)
	}
	w.healed("all devices are polled in their shards", time.Now(), 2)
	for _, s := range rrds[0] {
		w.killTarget(s)
		s.Start()
	}
	w.healed("all devices are polled after the daemons were killed", time.Now(), 2)
	w.judgeShards(shards, rrds, planned, second)
}

// dryRun is what would move.
func (w *dataWorld) dryRun() (planned []plannedMove) {
	w.t.Helper()
	var shown struct{ Items []plannedMove }
	must(w.t, json.Unmarshal([]byte(cli(w.t, w.dir, w.env, "rrd", "rebalance", "--dry-run", "--json")), &shown))
	return shown.Items
}

// judgeShards ends the run: each device's files are in the trees of its shard,
// with its rates from the first poll on, and nowhere else.
func (w *dataWorld) judgeShards(shards *journal.Shards, rrds map[int][]*polluxtest.Server, planned []plannedMove, second *logTail) {
	w.t.Helper()
	w.settle()
	end := time.Now()
	w.drain(w.running("p")...)
	w.idle()
	until(w.t, time.Minute, "every target has what its log holds", func() bool {
		for shard := range rrds {
			status, err := shards.Shard(shard).Status(w.t.Context())
			if err != nil || slices.ContainsFunc(status.Targets, func(s journal.TargetStatus) bool { return s.Lag > 0 }) {
				return false
			}
		}
		return true
	})
	for _, p := range w.running("c") {
		w.watch.look(p)
	}
	w.drain(w.running("c")...)
	w.tail.stop()
	second.stop()
	w.judgeShardLines(shards, rrds, map[int]*logTail{0: w.tail, 1: second})
	w.fleet.stop()
	polls := w.polls(w.reads())
	missed, _ := w.missing(polls, w.calmAt, end.Add(-5*time.Second))
	twice := repeated(w.visits())
	w.t.Logf("figures: %d slots polled, %d missed, %d polled twice", len(polls), len(missed), len(twice))
	if len(missed)+len(twice) > 0 {
		w.t.Errorf("missed: %v, polled twice: %v", some(missed), some(twice))
	}
	logged := map[slot]tailed{}
	for _, e := range slices.Concat(w.tail.entries(), second.entries()) {
		logged[e.slot] = e
	}
	want := map[string]int{}
	for _, move := range planned {
		want[move.Hostname] = move.To
	}
	for shard, servers := range rrds {
		for _, server := range servers {
			writeOut(w.t, server)
			names, ports := w.filesOfShard(shard, server.Base, want)
			if found := filesOf(w.t, server); !slices.Equal(slices.Sorted(slices.Values(found)), slices.Sorted(maps.Keys(names))) {
				w.t.Errorf("shard %d: %s has %d files, its devices have %d", shard, server.Address, len(found), len(names))
			}
			r := w.compareFiles(ports, logged, end, w.kills.of(server.Base))
			w.t.Logf("figures: shard %d, %s: %v", shard, server.Address, r)
			w.report(r.judge())
		}
	}
}

// filesOfShard are the files of a shard's devices, and their ports. A device must be in the shard that the plan gave it.
func (w *dataWorld) filesOfShard(shard int, base string, want map[string]int) (names map[string]bool, ports []sampledPort) {
	w.t.Helper()
	names, inShard := map[string]bool{}, map[int]bool{}
	for number, id := range w.ids {
		d, err := w.store.Device(w.t.Context(), id)
		must(w.t, err)
		if d.Shard != want[d.Hostname] {
			w.t.Errorf("%s is in shard %d, the dry run said %d", d.Hostname, d.Shard, want[d.Hostname])
		}
		if d.Shard == shard {
			inShard[number] = true
			names[uptimeFile(d)] = true
			for _, name := range ownNames() {
				names[measurement.NamedPath(d.RRDDir, name, d.Generation)] = true
			}
		}
	}
	for _, p := range w.allPorts(w.fleet, base) {
		if inShard[p.device] {
			ports = append(ports, p)
			names[strings.TrimPrefix(p.file, base+string(filepath.Separator))] = true
		}
	}
	return names, ports
}

// ownNames are the files of what is known of a device that answers without its help.
func ownNames() []string {
	return []string{
		"icmp-perf", "poller-perf", "poller-perf-core", "poller-perf-icmp", "poller-perf-ports",
		"availability-86400", "availability-604800", "availability-2592000", "availability-31536000",
	}
}

func uptimeFile(d device.Device) string {
	return measurement.Path(d.RRDDir, measurement.KindUptime, 0, d.Generation)
}
