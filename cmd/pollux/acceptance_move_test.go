package main_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

// TestStandaloneMovesToServersApart takes one installation from children of
// standalone to a redis-server and an rrdcached apart, and then to a producer
// and a consumer, as docs/scale.md says: their files are taken along, the rest
// is configuration. The files of the ports show one run without a hole.
func TestStandaloneMovesToServersApart(t *testing.T) {
	t.Parallel()
	const devices = 20
	in := install(t)
	f := startFleet(t, in.dir, devices, 4, 10, 20*time.Millisecond)
	first := in.run("first")
	adding := time.Now()
	added := f.add(in.store)
	polled(t, first, 3*devices)
	stopped := time.Now()
	in.stop(first)

	redis, rrd := polluxtest.Redis(t, "--dir", filepath.Join(in.data, "redis")), polluxtest.RRDCached(t)
	if err := os.CopyFS(rrd.Base, os.DirFS(in.place.RRDBase)); err != nil {
		t.Fatal(err)
	}
	apart := []string{"REDIS_SOCKET=" + redis.Socket, "RRDCACHED=" + rrd.Address}
	as := func(name, role string) *process {
		return start(t, in.dir, name, apart, "--data-dir", in.data, role).ready()
	}
	second := as("second", "standalone")
	moved := leading(t, second)
	polled(t, second, 3*devices)
	for _, name := range []string{"redis-server", "rrdcached"} {
		if pid := in.child(name); pid != 0 {
			t.Errorf("standalone runs a %s of its own, %d", name, pid)
		}
	}
	left := time.Now()
	in.stop(second)

	producer, consumer := as("producer", "producer"), as("consumer", "consumer")
	parted := leading(t, producer)
	polled(t, consumer, 4*devices)
	end := time.Now()
	client := openRedis(t, redisAt(t, redis))
	logged := f.checkJournal(journalEntries(t, client), f.offered(adding, added), span{stopped, moved}, span{left, parted})
	checkQueues(t, client)
	ports, to := f.pick(in.store, rrd.Base, devices), end.Unix()/10*10-20
	files := f.fetch(rrd.Address, ports, added.Unix()-60, to)
	in.stop(producer, consumer)
	f.stop()
	reads := f.reads()
	f.polledTwice(reads, logged)
	checkAccuracy(t, f.compare(ports, files, reads, logged, to), delayed, devices*2*5)
}

// stop ends processes as an operator does.
func (in *installation) stop(running ...*process) {
	in.t.Helper()
	for _, p := range running {
		if code := p.end(syscall.SIGTERM); code != 0 {
			in.t.Errorf("%s ended with %d", p.name, code)
		}
	}
}
