package main

import (
	"testing"

	"pollux/polluxtest"
)

// TestAShardIsNotTakenFromItsDevices moves a device in the inventory, in the journal, and in both.
func TestAShardIsNotTakenFromItsDevices(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	s.ok("device", "add", "sw1", "-f", "-c", canaryCommunity)
	s.spawn("config", "set", "rrd.shards", "1=127.0.0.1:1").works()
	const moves = "pollux:{journal:0}:moves"
	refused := func(says ...string) {
		t.Helper()
		s.spawn("config", "unset", "rrd.shards").fails(exitUsage, says...)
		s.spawn("config", "set", "rrd.shards", "2=127.0.0.1:2").fails(exitUsage, says...)
		s.spawn("config", "set", "rrd.shards", "1=127.0.0.1:3 2=127.0.0.1:2").works() // another address of it
		s.spawn("config", "set", "rrd.shards", "1=127.0.0.1:1").works()
	}
	redis.Must("HSET", moves, "1", "1")
	refused("such as sw1 in shard 1", "run first: pollux rrd rebalance")
	s.execute("UPDATE devices SET shard = 1")
	refused("shard 1 has 1 devices", "pollux rrd rebalance --without 1")
	redis.Must("HSET", moves, "1", "0") // it went back, and the inventory does not know
	refused("shard 1 has 1 devices")
	redis.Must("HSET", moves, "77", "1") // of a device that was removed
	s.execute("UPDATE devices SET shard = 0")
	redis.Must("SET", "pollux:{journal:0}:mover", "somebody")
	s.spawn("config", "unset", "rrd.shards").fails(exitFailure, "devices are being moved", "pollux rrd rebalance")
	redis.Must("DEL", "pollux:{journal:0}:mover")
	s.spawn("config", "unset", "rrd.shards").works()
	if left := redis.Must("EXISTS", "pollux:{journal:0}:mover"); left != "0" {
		t.Error("the lease of who moves devices is kept")
	}
	s.with("REDIS_SOCKET=/nowhere/redis.sock").spawn("config", "set", "rrd.shards", "1=127.0.0.1:1").fails(exitUnreachable)
}
