package main

import (
	"strings"
	"testing"

	"pollux/polluxtest"
)

// A failover that could not work is seen before it is needed.
func TestDoctorLooksAtSentinelsAndReplicas(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	login := watched.Config()
	s := migrated(t, "RRDCACHED="+polluxtest.RRDCached(t).Address, "REDIS_SENTINEL="+strings.Join(login.Sentinels, ","),
		"REDIS_SENTINEL_PASSWORD="+login.SentinelPassword.Reveal(), "REDIS_USERNAME="+login.Username, "REDIS_PASSWORD="+login.Password.Reveal())
	says := func(s *site, status string, words ...string) {
		t.Helper()
		r := s.spawn("doctor", "--json")
		var details []string
		for _, item := range decode[examined](r).Items {
			if item["name"] == "redis" && item["status"] == status {
				details = append(details, item["detail"])
			}
		}
		for _, word := range words {
			if !strings.Contains(strings.Join(details, "\n"), word) {
				t.Errorf("no %s of Redis says %q:\n%s", status, word, r.out)
			}
		}
		if len(words) == 0 && len(details) > 0 {
			t.Errorf("%ss of Redis: %q", status, details)
		}
	}
	says(s, "ok", "3 of 3 Sentinels answer; the master of mymaster is "+watched.Nodes[0].Address, "user pollux, by Sentinels, database 0")
	says(s, "warning")
	says(s.with("REDIS_HOST=127.0.0.1"), "warning", "the Sentinels win")
	says(s.with("REDIS_SENTINEL="+login.Sentinels[0]), "warning", "names fewer than three (1)")

	liar := watched.Stray(polluxtest.Redis(t).Address)
	says(s.with("REDIS_SENTINEL="+strings.Join([]string{liar.Address, login.Sentinels[0], login.Sentinels[1]}, ",")), "warning",
		"the Sentinel "+liar.Address+" disagrees with the others: it says that the master of mymaster is 127.0.0.1:")

	watched.Watchers[2].Kill()
	watched.Nodes[0].Must("CONFIG", "SET", "min-replicas-to-write", "0")
	says(s, "ok", "2 of 3 Sentinels answer")
	says(s, "warning", "the Sentinel "+login.Sentinels[2]+": ", "nothing listens there", "min-replicas-to-write is 0")

	watched.Nodes[0].Must("CONFIG", "SET", "min-replicas-to-write", "1")
	watched.Nodes[2].Kill()
	polluxtest.Eventually(t, cliLimit, "a replica is missing", func() bool { return watched.Nodes[0].InfoField("connected_slaves") == "1" })
	says(s, "warning", "two replicas should follow the master, there are 1")
}

func TestDoctorWarnsOfARedisWithoutAPassword(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	_, port, _ := strings.Cut(server.Address, ":")
	s := migrated(t, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	if out := s.with("REDIS_HOST=127.0.0.1", "REDIS_PORT="+port).spawn("doctor").works(); !strings.Contains(out, "it asks for no password") {
		t.Errorf("no warning:\n%s", out)
	}
	if out := s.with("REDIS_SOCKET=" + server.Socket).spawn("doctor").works(); strings.Contains(out, "it asks for no password") {
		t.Errorf("a warning for a unix socket:\n%s", out)
	}
}
