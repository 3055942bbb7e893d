package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pollux/ops"
	"pollux/polluxtest"
)

// listeningAt is the site of a process whose operators' listener is at a known port.
func (s *site) listeningAt() (at *site, address string) {
	address = fmt.Sprintf("127.0.0.1:%d", polluxtest.FreePort(s.t))
	return s.with("POLLUX_OPS_LISTEN=" + address), address
}

// says waits until the health check names what is wrong.
func (s *site) says(what string) {
	s.t.Helper()
	var last result
	polluxtest.Eventually(s.t, roleLimit, "the health check names "+what, func() bool {
		last = s.call("healthcheck")
		return last.code == exitFailure && strings.Contains(last.errout, "not ready: start: ") && strings.Contains(last.errout, what)
	})
}

// What is wrong at the start of a process is said in one line and by its
// health check, and when it is mended the process goes on by itself.
func TestRoleKeepsTryingToStart(t *testing.T) {
	t.Parallel()
	redis, rrd := polluxtest.Redis(t), polluxtest.RRDCached(t)
	s, address := newSite(t, append(databaseVariables(polluxtest.MariaDB(t)), "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+rrd.Address)...).listeningAt()
	consumer := s.start("consumer", "--keep-trying")
	s.says("pollux migrate up")
	redis.Stop()
	s.ok("migrate", "up")
	s.says("redis")
	redis.Start()
	(&role{running: consumer, address: address}).ready(http.StatusOK, ops.StateOK)
	if out := s.ok("healthcheck"); out != "ok\n" {
		t.Errorf("healthcheck says %q", out)
	}

	wrong, _ := s.with("APP_KEY="+anotherKey(t), "NODE_ID=node-2").listeningAt()
	stranger := wrong.start("consumer", "--keep-trying")
	wrong.says("APP_KEY is not the one")
	if text := stranger.errout.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "APP_KEY is not the one") {
		t.Errorf("it does not say so in one line: %s", text)
	}
	stranger.end()
	consumer.end()
}

// A configuration that cannot be read is named by the health check itself.
func TestRoleKeepsTryingWithAMalformedConfiguration(t *testing.T) {
	t.Parallel()
	s, _ := newSite(t, "REDIS_PORT=none").listeningAt()
	p := s.start("producer", "--keep-trying")
	polluxtest.Eventually(t, roleLimit, "it says what is wrong", func() bool { return strings.Contains(p.errout.String(), "REDIS_PORT is a number") })
	s.call("healthcheck").fails(exitUsage, "REDIS_PORT is a number")
	p.end()
}
