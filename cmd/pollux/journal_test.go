package main

import (
	"regexp"
	"strings"
	"testing"

	"pollux/polluxtest"
)

// targetsOf are those in what journal status --json prints, read without the program's own type: the names are the contract.
func targetsOf(shown object) (all []object) {
	list, _ := shown["targets"].([]any)
	for _, one := range list {
		target, _ := one.(object)
		all = append(all, target)
	}
	return all
}

// TestJournalFromStatusToForgetting looks at the journal of a node, and forgets its RRDCached when it was taken away.
func TestJournalFromStatusToForgetting(t *testing.T) {
	t.Parallel()
	rrd := polluxtest.RRDCached(t)
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+rrd.Address)
	status := func() object {
		t.Helper()
		shown := decode[items[object]](s.spawn("journal", "status", "--json"))
		if len(shown.Items) != 1 || shown.Items[0]["shard"] != 0.0 {
			t.Fatalf("one shard is shown as %v", shown)
		}
		return shown.Items[0]
	}
	fresh := status()
	checkNames(t, fresh)
	if all := targetsOf(fresh); fresh["entries"] != 0.0 || fresh["cut_lost"] != 0.0 || len(all) != 1 || all[0]["address"] != rrd.Address || all[0]["note"] == nil {
		t.Errorf("of a fresh installation: %v", fresh)
	}
	consumer := s.role("consumer")
	var id string
	polluxtest.Eventually(t, roleLimit, "the node records", func() bool {
		all := targetsOf(status())
		if len(all) != 1 || all[0]["recorder"] != "node-1" || all[0]["address"] != rrd.Address {
			return false
		}
		if report, ok := all[0]["write_out"].(object); !ok || report["idle_ratio"] != 1.0 || report["waiting_seconds"] != 0.0 { // told 10 s after the start
			return false
		}
		checkNames(t, all[0])
		id, _ = all[0]["target"].(string)
		return true
	})
	page := s.spawn("journal", "status").works()
	for _, part := range []string{"entries", "memory", "MiB of ", "window", "cut ", id, rrd.Address, "node-1", "WRITE-OUT", "100 % idle, 0 files/s"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	s.spawn("journal", "forget", id, "--yes").fails(exitFailure, "RRDCached at "+rrd.Address+" is target "+id, "take it out on every node")
	away := s.with("RRDCACHED=" + polluxtest.RRDCached(t).Address)
	if page := away.spawn("journal", "status").works(); !strings.Contains(page, "pollux journal forget "+id) {
		t.Errorf("nothing says what to do:\n%s", page)
	}
	away.spawn("journal", "forget", id, "--yes").fails(exitFailure, "a node records to this target", "take it out of RRDCACHED")
	consumer.end()
	s.spawn("journal", "forget", id, "--yes").fails(exitFailure, "RRDCached at "+rrd.Address+" is target "+id)
	rrd.Stop()
	s.spawn("journal", "forget", id, "--yes").fails(exitUnreachable, "RRDCached at "+rrd.Address+" may be target "+id, "take it out on every node", "must answer again")
	all := targetsOf(status())
	if len(all) != 2 || all[0]["lag_seconds"] == nil || all[1]["address"] != rrd.Address || all[1]["lag_seconds"] != nil || all[1]["unwritten_seconds"] != nil {
		t.Errorf("of one that does not answer: %v", all)
	}
	if page := s.spawn("journal", "status").works(); !regexp.MustCompile(`(?m)^` + rrd.Address + ` +- +- `).MatchString(page) {
		t.Errorf("of one that does not answer:\n%s", page)
	}
	away.spawn("journal", "forget", id).fails(exitUsage, "--yes")
	away.spawn("journal", "forget", "nonsense", "--yes").fails(exitNotFound, "pollux journal status")
	if out := away.spawn("journal", "forget", id, "--yes").works(); out != "target "+id+" is forgotten\n" {
		t.Errorf("it says %q", out)
	}
	away.spawn("journal", "forget", id, "--yes").fails(exitNotFound, "no such target")
	if told := s.events("journal"); len(told) != 1 || !strings.Contains(told[0], id) {
		t.Errorf("the eventlog says %q", told)
	}
}

// TestJournalOfAShardThatWasTakenOut has the target of a shard that is in rrd.shards no more: it is shown until it is forgotten, and then all is gone.
func TestJournalOfAShardThatWasTakenOut(t *testing.T) {
	t.Parallel()
	const wrote, reached = "aaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbb"
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	redis.Must("HSET", "pollux:{journal:0}:owners", wrote, "1", reached, "1")
	redis.Must("SADD", "pollux:{journal:1}:targets", wrote)
	redis.Must("HSET", "pollux:{journal:1}:cursor:"+wrote, "acked", "0-0", "durable", "0-0")
	redis.Must("XADD", "pollux:{journal:1}", "*", "e", "x")
	shown := decode[items[object]](s.spawn("journal", "status", "--json")).Items
	if len(shown) != 2 || shown[0]["in_force"] != true || shown[1]["in_force"] != false || shown[1]["shard"] != 1.0 || shown[1]["entries"] != 1.0 {
		t.Fatalf("shown are %v", shown)
	}
	checkNames(t, shown[1])
	if targets := targetsOf(shown[1]); len(targets) != 2 || targets[0]["target"] != wrote || targets[1]["target"] != reached {
		t.Errorf("its targets are %v", targets)
	}
	page := s.spawn("journal", "status").works()
	for _, part := range []string{"shard    1, which is not in rrd.shards\n", "pollux journal forget " + wrote, "pollux journal forget " + reached, "room     not known yet"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	for _, target := range []string{wrote, reached} {
		s.spawn("journal", "forget", target, "--yes").works()
	}
	if left := redis.Must("KEYS", "pollux:{journal:1}*"); left != "" {
		t.Errorf("of the shard there is left %q", left)
	}
	if shown := decode[items[object]](s.spawn("journal", "status", "--json")).Items; len(shown) != 1 {
		t.Errorf("shown are %v", shown)
	}
}
