package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/rrdcached"
	"pollux/simulator"
)

// pairSite is a node with two RRDCached that have recorded some polls of one device of 3 ports.
type pairSite struct {
	*site
	redis *polluxtest.Server
	a, b  *polluxtest.Server
	files []string
}

func newPair(t *testing.T) *pairSite {
	t.Helper()
	a, b := polluxtest.RRDCached(t), polluxtest.RRDCached(t)
	p := &pairSite{redis: polluxtest.Redis(t), a: a, b: b}
	p.site = migrated(t, "REDIS_SOCKET="+p.redis.Socket, "RRDCACHED="+a.Address+","+b.Address)
	p.ok("device", "add", "sw1", "--address", "127.0.0.1", "-r", agents(t, simulator.Config{}), "-2", "-c", canaryCommunity)
	p.ok("config", "set", "rrd.rra", "AVERAGE:1x60 MAX:6x20")
	consumer := p.role("consumer")
	p.spawn("device", "poll", "sw1").works()
	for _, port := range decode[object](p.call("device", "show", "sw1", "--json"))["ports"].([]any) {
		id, _ := port.(object)["id"].(float64)
		p.files = append(p.files, "sw1/port-id"+portText(uint16(id))+".rrd")
	}
	p.files = append(p.files, "sw1/uptime.rrd")
	for _, name := range []string{ // without ICMP, which is off here
		"poller-perf", "poller-perf-core", "poller-perf-ports", "availability-86400", "availability-604800", "availability-2592000", "availability-31536000",
	} {
		p.files = append(p.files, "sw1/"+name+".rrd")
	}
	p.recorded()
	consumer.end()
	return p
}

// recorded waits until both RRDCached have taken in the journal.
func (p *pairSite) recorded() {
	p.t.Helper()
	polluxtest.Eventually(p.t, roleLimit, "both have recorded", func() bool {
		all := targetsOf(decode[items[object]](p.spawn("journal", "status", "--json")).Items[0])
		for _, target := range all {
			if target["lag_seconds"] != 0.0 || target["target"] == "" || target["note"] != nil {
				return false
			}
		}
		_, errA := os.Stat(filepath.Join(p.a.Base, p.files[0]))
		_, errB := os.Stat(filepath.Join(p.b.Base, p.files[0]))
		return len(all) == 2 && errA == nil && errB == nil
	})
}

// TestRRDVerifyComparesTwoRRDCached finds a pair equal, and then a file that one of them lacks.
func TestRRDVerifyComparesTwoRRDCached(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	if page := p.spawn("rrd", "verify").works(); !strings.Contains(page, p.a.Address+" and "+p.b.Address+": 0 of 11 files of 1 devices differ, 0 behind; ") {
		t.Errorf("it says %q", page)
	}
	all := decode[list](p.spawn("rrd", "verify", "--json"))
	checkNames(t, all.Items[0])
	if one := all.Items[0]; len(all.Items) != 1 || one["from"] != p.a.Address || one["to"] != p.b.Address || one["equal"] != true || one["files"] != 11.0 {
		t.Errorf("in JSON: %v", one)
	}
	for _, args := range [][]string{{"--device", "sw1"}, {"--sample", "5"}, {"--from", p.b.Address, "--to", p.a.Address}} {
		if page := p.spawn(append([]string{"rrd", "verify"}, args...)...).works(); !strings.Contains(page, ": 0 of 11 files of 1 devices differ") {
			t.Errorf("%q: %q", args, page)
		}
	}

	if err := os.Remove(filepath.Join(p.b.Base, p.files[1])); err != nil {
		t.Fatal(err)
	}
	p.b.Stop() // it forgets the file, and leaves the others as they are
	p.b.Start()
	r := p.spawn("rrd", "verify")
	r.fails(exitFailure, "1 files differ")
	if want := p.files[1] + ": existence: there in " + p.a.Address + ", missing in " + p.b.Address + "\n"; !strings.HasPrefix(r.out, want) {
		t.Errorf("it says %q, want %q", r.out, want)
	}
	r = p.spawn("rrd", "verify", "--json")
	r.fails(exitFailure, "1 files differ")
	if !strings.Contains(r.out, `"what": "existence"`) || !strings.Contains(r.out, `"equal": false`) {
		t.Errorf("in JSON: %s", r.out)
	}

	p.spawn("rrd", "verify", "--from", p.a.Address).fails(exitUsage, "--from and --to go together")
	p.spawn("rrd", "verify", "--sample", "3", "--device", "sw1").fails(exitUsage, "--sample")
	p.spawn("rrd", "verify", "--device", "none").fails(exitNotFound, "there is no device")
	p.spawn("rrd", "verify", "--from", p.a.Address, "--to", p.a.Address).fails(exitUsage, "the same RRD tree")
	p.spawn("rrd", "verify", "--from", p.a.Address, "--to", "unix:/nowhere/rrd.sock").fails(exitUnreachable, "/nowhere/rrd.sock")
	p.with("RRDCACHED="+p.a.Address).spawn("rrd", "verify").fails(exitUsage, "nothing to compare")
	p.spawn("rrd", "verify", "--from", p.a.Address, "--to", "nonsense").fails(exitUsage, "nonsense", "host:port")
	p.spawn("config", "set", "rrd.shards", "1=127.0.0.1:1").works()
	p.spawn("rrd", "verify", "--from", p.a.Address, "--to", "127.0.0.1:1").fails(exitUsage, "of shards 0 and 1")
}

// TestRRDCopySeedsANewRRDCached gives a third RRDCached the files of the first one, and lets it record in place of the second one.
func TestRRDCopySeedsANewRRDCached(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	c := polluxtest.RRDCached(t)
	copying := []string{"rrd", "copy", "--tree", p.a.Base, "--from", p.a.Address, "--to", c.Address}
	r := p.spawn(copying...)
	if r.code != exitOK || !strings.Contains(r.errout, "11 files copied") || !strings.Contains(r.errout, "add "+c.Address+" to RRDCACHED") {
		t.Fatalf("exit code %d: %s", r.code, r.errout)
	}
	unpack := exec.Command("tar", "-x", "-C", c.Base)
	unpack.Stdin = strings.NewReader(r.out)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	p.spawn(copying...).fails(exitFailure, "has a cursor", "pollux journal forget")
	if told := p.events("journal"); len(told) != 1 || !strings.Contains(told[0], "seeded with 11 files") {
		t.Errorf("the eventlog says %q", told)
	}

	moved := &pairSite{site: p.with("RRDCACHED=" + p.a.Address + "," + c.Address), a: p.a, b: c, files: p.files}
	consumer := moved.role("consumer")
	moved.spawn("device", "poll", "sw1").works()
	polluxtest.Eventually(t, roleLimit, "the new one records", func() bool {
		for _, target := range targetsOf(decode[items[object]](moved.spawn("journal", "status", "--json")).Items[0]) {
			if target["address"] == c.Address && target["recorder"] == "node-1" && target["lag_seconds"] == 0.0 {
				return true
			}
		}
		return false
	})
	if page := moved.spawn("rrd", "verify").works(); !strings.Contains(page, ": 0 of 11 files of 1 devices differ, 0 behind") {
		t.Errorf("it says %q", page)
	}
	consumer.end()

	with := func(tree, from, to string) result {
		return p.spawn("rrd", "copy", "--tree", tree, "--from", from, "--to", to)
	}
	with("", p.a.Address, c.Address).fails(exitUsage, "--tree, --from and --to")
	with(p.a.Base, p.a.Address, p.a.Address).fails(exitUsage, "the same RRD tree")
	with(p.b.Base, p.a.Address, c.Address).fails(exitUsage, "not the RRD tree", "base (-b)")
	with(p.a.Base, p.a.Address, "unix:/nowhere/rrd.sock").fails(exitUnreachable, "/nowhere/rrd.sock")
	with(filepath.Join(p.dir, "nowhere"), p.a.Address, c.Address).fails(exitUsage, "no such file", "base (-b)")
	with(p.a.Base, p.a.Address, "nonsense").fails(exitUsage, "nonsense", "host:port")
	with(p.a.Base, p.a.Address, "127.0.0.1:1").fails(exitUnreachable, "RRDCached at 127.0.0.1:1", "no connection to rrdcached", "refused")
}

// TestRRDOrphansAreListedAndRemoved removes a device, and its files once it is long ago.
func TestRRDOrphansAreListedAndRemoved(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	foreign := filepath.Join(p.a.Base, "sw1", "fan-hr-1.rrd")
	if err := os.WriteFile(foreign, []byte("of LibreNMS"), 0o644); err != nil {
		t.Fatal(err)
	}
	orphans := func(more ...string) []string { return append([]string{"rrd", "orphans", "--tree", p.a.Base}, more...) }
	none := decode[object](p.spawn(orphans("--json")...))
	checkNames(t, none)
	if found, _ := none["items"].([]any); len(found) != 0 || none["owned"] != 11.0 || none["deleted"] != nil {
		t.Errorf("of a device that is there: %v", none)
	}
	p.ok("device", "remove", "sw1")
	if page := p.spawn(orphans("--delete", "--yes")...).works(); !strings.Contains(page, "0 orphans, 11 files that something owns") {
		t.Errorf("lately removed:\n%s", page)
	}
	p.execute("UPDATE removed_devices SET removed_at = 1795340000000")
	if page := p.spawn(orphans("--delete", "--yes")...).works(); !strings.Contains(page, "0 orphans, 0 files that something owns, 11 without owner that were changed too lately") {
		t.Errorf("lately changed:\n%s", page)
	}
	for _, file := range p.files {
		if err := os.Chtimes(filepath.Join(p.a.Base, file), time.Now(), time.Now().Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	p.spawn(orphans("--delete")...).fails(exitUsage, "11 RRD files", "--yes")
	page := p.spawn(orphans("--older", "2h", "--delete", "--yes")...).works()
	for _, part := range append([]string{"11 orphans", "11 files and 0 directories removed", "not a file of Pollux", "was removed at 2026-"}, p.files...) {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	left, err := os.ReadDir(filepath.Join(p.a.Base, "sw1"))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(foreign) {
		t.Errorf("left are %v, %v", left, err)
	}
	if told := p.events("journal"); len(told) != 1 || !strings.Contains(told[0], "11 orphaned RRD files") {
		t.Errorf("the eventlog says %q", told)
	}
	p.spawn("rrd", "orphans").fails(exitUsage, "--tree is needed")
	p.spawn(orphans("--moved")...).fails(exitUsage, "--delete")
	p.spawn(orphans("--yes")...).fails(exitUsage, "--delete")
	p.spawn("rrd", "orphans", "--tree", filepath.Join(p.dir, "nowhere")).fails(exitUsage, "no such file", "base (-b)")
	p.spawn(orphans("--older", "soon")...).fails(exitUsage, "--older is a time")
	p.spawn("rrd", "orphans", "--tree", p.dir).fails(exitUsage, "not the RRD tree", "_pollux.rrd")
}

// moved notes in journal and inventory that the device was moved to shard 1.
func (p *pairSite) moved() {
	p.t.Helper()
	p.redis.Must("HSET", "pollux:{journal:0}:moves", "1", "1")
	p.execute("UPDATE devices SET shard = 1")
}

// TestRRDOrphansOfMovedDevices offers what a move left, but does not remove it unless it is asked to.
func TestRRDOrphansOfMovedDevices(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for _, file := range p.files {
		if err := os.Chtimes(filepath.Join(p.a.Base, file), time.Now(), time.Now().Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	orphans := func(more ...string) result {
		return p.spawn(append([]string{"rrd", "orphans", "--tree", p.a.Base}, more...)...)
	}
	p.execute("UPDATE devices SET shard = 1") // by the inventory only
	if page := orphans("--delete", "--moved", "--yes").works(); !strings.Contains(page, "device 1 is in shard 1") || !strings.Contains(page, "0 orphans, 0 files") {
		t.Errorf("of a device that only the inventory has elsewhere:\n%s", page)
	}
	p.moved()
	found := decode[object](orphans("--json"))
	checkNames(t, found)
	items, _ := found["items"].([]any)
	if len(items) != len(p.files) || items[0].(object)["kind"] != "moved" {
		t.Errorf("found: %v", found)
	}
	page := orphans("--delete", "--yes").works()
	for _, part := range []string{"device 1 was moved to shard 1", "11 orphans, 0 files", "11 of the orphans are of devices that were moved", "--moved"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	if _, err := os.Stat(filepath.Join(p.a.Base, p.files[0])); err != nil {
		t.Fatalf("they were removed: %v", err)
	}
	if page := orphans("--delete", "--moved", "--yes").works(); !strings.Contains(page, "11 files and 1 directories removed") {
		t.Errorf("it says:\n%s", page)
	}
}

// counted makes a file of two counters that count 50 and 100 a second for ten minutes.
func counted(t testing.TB, server *polluxtest.Server, file string, from time.Time) {
	t.Helper()
	client, err := rrdcached.Dial(t.Context(), server.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	archives, err := rrdcached.ParseArchives("AVERAGE:1x120")
	if err != nil {
		t.Fatal(err)
	}
	from = from.Truncate(time.Minute)
	schema := rrdcached.Schema{Step: 60, Archives: archives, Sources: []rrdcached.Source{
		{Name: "IN", Type: "DERIVE", Heartbeat: 600, Max: rrdcached.NoLimit}, {Name: "OUT", Type: "DERIVE", Heartbeat: 600, Max: rrdcached.NoLimit},
	}}
	if err := client.Create(t.Context(), file, schema, from, ""); err != nil {
		t.Fatal(err)
	}
	for minute := range uint64(10) {
		update := rrdcached.Update{
			File: file, Time: from.Add(time.Duration(minute) * time.Minute), Sources: schema.Sources,
			Values: []rrdcached.Value{rrdcached.Counter(minute * 3000), rrdcached.Counter(minute * 6000)},
		}
		if err := client.Update(t.Context(), update); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRRDFetchReadsFromWhicheverAnswers compares with what rrdtool prints, and takes one RRDCached away and then the other.
func TestRRDFetchReadsFromWhicheverAnswers(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	start, end := strconv.FormatInt(time.Now().Unix()-3600, 10), strconv.FormatInt(time.Now().Unix(), 10)
	const name, file = "port-id77.rrd", "sw1/port-id77.rrd"
	for _, server := range []*polluxtest.Server{p.a, p.b} {
		counted(t, server, file, time.Now().Add(-time.Hour))
	}
	fetch := func(args ...string) result { return p.spawn(append([]string{"rrd", "fetch", "sw1"}, args...)...) }
	printed := fetch(name, "--start", start, "--end", end).works()
	rrdtool := exec.Command("rrdtool", "fetch", "--daemon", p.b.Address, file, "AVERAGE", "-s", start, "-e", end)
	rrdtool.Dir = p.b.Base
	want, err := rrdtool.Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(string(want), "-nan", "nan"); printed != text || !strings.Contains(printed, " 5.0000000000e+01 1.0000000000e+02\n") {
		t.Errorf("it prints\n%s\nrrdtool prints\n%s", printed, text)
	}
	port := decode[object](p.call("device", "show", "sw1", "--json"))["ports"].([]any)[0].(object)["if_name"].(string)
	for what, source := range map[string]string{"uptime": " uptime\n\n", port: " OUTOCTETS ", strings.TrimPrefix(p.files[0], "sw1/"): " OUTMULTICASTPKTS\n\n"} {
		if page := fetch(what).works(); !strings.Contains(page, source) {
			t.Errorf("of %s it prints\n%s", what, page)
		}
	}
	for _, server := range []*polluxtest.Server{p.a, p.b} {
		server.Stop()
		other := p.b
		if server == p.b {
			other = p.a
		}
		r := fetch(name, "--start", start, "--end", end)
		if r.code != exitOK || r.out != printed || (server == p.a) != strings.Contains(r.errout, "read from "+other.Address) {
			t.Errorf("without %s: exit code %d\n%s%s", server.Address, r.code, r.out, r.errout)
		}
		shown := object{}
		if err := json.Unmarshal([]byte(fetch(name, "--start", start, "--end", end, "--json").out), &shown); err != nil {
			t.Fatal(err)
		}
		checkNames(t, shown)
		rows, _ := shown["rows"].([]any)
		sources, _ := shown["sources"].([]any)
		if shown["rrdcached"] != other.Address || shown["file"] != file || len(sources) != 2 || len(rows) != strings.Count(printed, ":") {
			t.Errorf("in JSON: %v", shown)
		}
		server.Start()
	}
	fetch("port-id999.rrd").fails(exitNotFound, "port-id999.rrd")
	fetch("Gi9/9").fails(exitNotFound, "no port", "pollux device show sw1")
	fetch("../sw2/uptime.rrd").fails(exitUsage, "FILE is")
	fetch(name, "--cf", "MEDIAN").fails(exitUsage, "--cf is")
	fetch(name, "--start", "soon").fails(exitUsage, "--start is")
	fetch(name, "--start", "1h", "--end", "2h").fails(exitUsage, "--start must be before")
	p.a.Stop()
	p.b.Stop()
	fetch(name).fails(exitUnreachable, p.a.Address, p.b.Address)
}
