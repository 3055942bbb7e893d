package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/simulator"
)

// pairSite is a node with two RRDCached that have recorded some polls of one device of 3 ports.
type pairSite struct {
	*site
	a, b  *polluxtest.Server
	files []string
}

func newPair(t *testing.T) *pairSite {
	t.Helper()
	a, b := polluxtest.RRDCached(t), polluxtest.RRDCached(t)
	p := &pairSite{a: a, b: b}
	p.site = migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+a.Address+","+b.Address)
	p.ok("device", "add", "sw1", "--address", "127.0.0.1", "-r", agents(t, simulator.Config{}), "-2", "-c", canaryCommunity)
	p.ok("config", "set", "rrd.rra", "AVERAGE:1x60 MAX:6x20")
	consumer := p.role("consumer")
	p.spawn("device", "poll", "sw1").works()
	for _, port := range decode[object](p.call("device", "show", "sw1", "--json"))["ports"].([]any) {
		id, _ := port.(object)["id"].(float64)
		p.files = append(p.files, "sw1/port-id"+portText(uint16(id))+".rrd")
	}
	p.files = append(p.files, "sw1/uptime.rrd")
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
	if page := p.spawn("rrd", "verify").works(); !strings.Contains(page, p.a.Address+" and "+p.b.Address+": 0 of 4 files of 1 devices differ, 0 behind; ") {
		t.Errorf("it says %q", page)
	}
	all := decode[list](p.spawn("rrd", "verify", "--json"))
	checkNames(t, all.Items[0])
	if one := all.Items[0]; len(all.Items) != 1 || one["from"] != p.a.Address || one["to"] != p.b.Address || one["equal"] != true || one["files"] != 4.0 {
		t.Errorf("in JSON: %v", one)
	}
	for _, args := range [][]string{{"--device", "sw1"}, {"--sample", "5"}, {"--from", p.b.Address, "--to", p.a.Address}} {
		if page := p.spawn(append([]string{"rrd", "verify"}, args...)...).works(); !strings.Contains(page, ": 0 of 4 files of 1 devices differ") {
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
}

// TestRRDCopySeedsANewRRDCached gives a third RRDCached the files of the first one, and lets it record in place of the second one.
func TestRRDCopySeedsANewRRDCached(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	c := polluxtest.RRDCached(t)
	copying := []string{"rrd", "copy", "--tree", p.a.Base, "--from", p.a.Address, "--to", c.Address}
	r := p.spawn(copying...)
	if r.code != exitOK || !strings.Contains(r.errout, "4 files copied") || !strings.Contains(r.errout, "add "+c.Address+" to RRDCACHED") {
		t.Fatalf("exit code %d: %s", r.code, r.errout)
	}
	unpack := exec.Command("tar", "-x", "-C", c.Base)
	unpack.Stdin = strings.NewReader(r.out)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	p.spawn(copying...).fails(exitFailure, "has a cursor", "pollux journal forget")
	if told := p.events("journal"); len(told) != 1 || !strings.Contains(told[0], "seeded with 4 files") {
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
	if page := moved.spawn("rrd", "verify").works(); !strings.Contains(page, ": 0 of 4 files of 1 devices differ, 0 behind") {
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
	with(filepath.Join(p.dir, "nowhere"), p.a.Address, c.Address).fails(exitFailure, "no such file")
}

// TestRRDOrphansAreListedAndRemoved removes a device, and its files once it is long ago.
func TestRRDOrphansAreListedAndRemoved(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	foreign := filepath.Join(p.a.Base, "sw1", "processor-hr-1.rrd")
	if err := os.WriteFile(foreign, []byte("of LibreNMS"), 0o644); err != nil {
		t.Fatal(err)
	}
	orphans := func(more ...string) []string { return append([]string{"rrd", "orphans", "--tree", p.a.Base}, more...) }
	none := decode[object](p.spawn(orphans("--json")...))
	checkNames(t, none)
	if found, _ := none["items"].([]any); len(found) != 0 || none["owned"] != 4.0 || none["deleted"] != nil {
		t.Errorf("of a device that is there: %v", none)
	}
	p.ok("device", "remove", "sw1")
	if page := p.spawn(orphans("--delete", "--yes")...).works(); !strings.Contains(page, "0 orphans, 4 files that something owns") {
		t.Errorf("lately removed:\n%s", page)
	}
	p.execute("UPDATE removed_devices SET removed_at = 1795340000000")
	if page := p.spawn(orphans("--delete", "--yes")...).works(); !strings.Contains(page, "0 orphans, 0 files that something owns, 4 without owner that were changed too lately") {
		t.Errorf("lately changed:\n%s", page)
	}
	for _, file := range p.files {
		if err := os.Chtimes(filepath.Join(p.a.Base, file), time.Now(), time.Now().Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	p.spawn(orphans("--delete")...).fails(exitUsage, "4 RRD files", "--yes")
	page := p.spawn(orphans("--older", "2h", "--delete", "--yes")...).works()
	for _, part := range append([]string{"4 orphans", "4 files and 0 directories removed", "not a file of Pollux", "was removed at 2026-"}, p.files...) {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	left, err := os.ReadDir(filepath.Join(p.a.Base, "sw1"))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(foreign) {
		t.Errorf("left are %v, %v", left, err)
	}
	if told := p.events("journal"); len(told) != 1 || !strings.Contains(told[0], "4 orphaned RRD files") {
		t.Errorf("the eventlog says %q", told)
	}
	p.spawn("rrd", "orphans").fails(exitUsage, "--tree is needed")
	p.spawn(orphans("--older", "soon")...).fails(exitUsage, "--older is a time")
	p.spawn("rrd", "orphans", "--tree", p.dir).fails(exitUsage, "not the RRD tree", "_pollux.rrd")
}
