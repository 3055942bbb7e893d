package main

import (
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/polluxtest"
)

// seen writes the row of a consumer as its process would.
func (s *site) seen(id string, state device.NodeState, before time.Duration) {
	s.t.Helper()
	n := device.Node{Role: "consumer", NodeID: id, Host: "host-of-" + id, PID: 88, Version: "v0", State: state, LastSeen: time.Now().Add(-before), Started: time.Now().Add(-time.Hour)}
	if err := s.inventory().SaveNode(s.t.Context(), n); err != nil {
		s.t.Fatal(err)
	}
}

// A command that is pointed at an empty Redis neither believes it nor writes into it.
func TestCommandsRefuseAnEmptyRedis(t *testing.T) {
	t.Parallel()
	blank := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+blank.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("device", "add", "two", "-f", "-2", "-c", canaryCommunity)
	s.ok("key", "rotate", "--prepare")
	s.seen("c2", device.NodeActive, time.Hour)
	before := dump(t, s.database())
	for _, args := range [][]string{
		{"key", "rotate"}, {"key", "rotate", "--dry-run"}, {"node", "remove", "c2"}, {"queue", "list"}, {"queue", "pause", "poller:0"}, {"journal", "status"}, {"device", "poll", "two"}, {"doctor"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s.in(t).spawn(args...).fails(exitUsage, "lacks the key pollux:cluster", "correct REDIS_*")
		})
	}
	if r := s.spawn("node", "list"); r.code != exitOK || !strings.Contains(r.errout, "lacks the key pollux:cluster") || !strings.Contains(r.out, "unknown") {
		t.Errorf("node list: exit code %d: %s%s", r.code, r.out, r.errout)
	}
	if out := s.spawn("device", "why", "two").out; !strings.Contains(out, "lacks the key pollux:cluster") {
		t.Errorf("device why: %s", out)
	}
	s.unchanged(before)
	if answer := ask(t, blank, "DBSIZE"); answer != ":0" {
		t.Errorf("the Redis that is no one's has keys: %s", answer)
	}

	s.spawn("key", "rotate", "--stopped", "--prepare").fails(exitUsage, "--stopped")
	if out := s.spawn("key", "rotate", "--stopped").works(); !strings.Contains(out, "encrypted anew: 1 credentials") {
		t.Error(out)
	}
	s.spawn("node", "remove", "c2", "--stopped").works()
}

// A node that Redis does not know but the database has seen a moment ago may live.
func TestSilenceOfAMomentIsNoEnd(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("device", "add", "two", "-f", "-2", "-c", canaryCommunity)
	s.ok("key", "rotate", "--prepare")
	s.claimOwn(redis)
	s.seen("young", device.NodeActive, 90*time.Second)
	s.seen("old", device.NodeActive, 150*time.Second)
	s.seen("stopped", device.NodeStopped, time.Second)
	before := dump(t, s.database())
	for _, args := range [][]string{{"key", "rotate"}, {"key", "rotate", "--dry-run"}, {"node", "remove", "young"}} {
		r := s.spawn(args...)
		r.fails(exitUsage, "consumer young", "host-of-young", "pid 88", "--stopped")
		if strings.Contains(r.errout, "consumer old") || strings.Contains(r.errout, "consumer stopped") {
			t.Errorf("%q names others: %s", args, r.errout)
		}
	}
	s.unchanged(before)
	s.spawn("node", "remove", "old").works()
	s.spawn("node", "remove", "stopped").works()
	s.spawn("node", "remove", "young", "--stopped").works()
	s.spawn("key", "rotate").works()

	claim(t, redis) // --stopped is no way past another cluster
	s.seen("young", device.NodeActive, time.Second)
	s.spawn("node", "remove", "young", "--stopped").fails(exitUsage, "two clusters")
	s.spawn("key", "rotate", "--stopped").fails(exitUsage, "two clusters")
	redis.Kill()
	s.spawn("node", "remove", "young", "--stopped").works()
	if r := s.spawn("key", "rotate", "--stopped"); r.code != exitOK || !strings.Contains(r.out, "nothing to do") {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.errout)
	}
}

// claimOwn makes a Redis that of the site's cluster, as a node does.
func (s *site) claimOwn(redis *polluxtest.Server) {
	s.t.Helper()
	id, err := s.inventory().ClusterID(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if answer := ask(s.t, redis, "SET pollux:cluster "+id); answer != "+OK" {
		s.t.Fatalf("SET answers %q", answer)
	}
}

// A Redis that lost its data is the cluster's again while the nodes run on.
func TestNodeClaimsARedisThatLostItsData(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	producer := s.role("producer")
	if answer := ask(t, redis, "FLUSHALL"); answer != "+OK" {
		t.Fatal(answer)
	}
	s.spawn("queue", "list").fails(exitUsage, "within seconds")
	polluxtest.Eventually(t, roleLimit, "the node claims its Redis", func() bool { return ask(t, redis, "EXISTS pollux:cluster") == ":1" })
	s.spawn("queue", "list").works()
	producer.end()
}
