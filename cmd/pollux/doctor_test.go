package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pollux/polluxtest"
)

// examined is what doctor --json prints, read without the program's own type: the names are the contract.
type examined struct {
	Items []map[string]string `json:"items"`
}

// failing are the names of the findings that fail.
func (e examined) failing() (names []string) {
	for _, item := range e.Items {
		if item["status"] == "failing" {
			names = append(names, item["name"])
		}
	}
	return names
}

// illness is a broken set-up and what the doctor must say of it.
type illness struct {
	name    string
	env     []string
	code    int
	finding string
	says    []string
}

func illnesses(t *testing.T) []illness {
	guarded, evicting, other := polluxtest.Redis(t, "--requirepass", "CANARY-redis"), polluxtest.Redis(t, "--maxmemory-policy", "allkeys-lru"), polluxtest.Redis(t)
	claim(t, other)
	silent, noCreate := narrow(t, "UPDATE,BATCH,PING,CREATE"), narrow(t, "UPDATE,BATCH,FLUSH,FORGET,FETCH,LAST,INFO,STATS,PING")
	down := fmt.Sprintf("127.0.0.1:%d", polluxtest.FreePort(t))
	maria := databaseVariables(polluxtest.MariaDB(t))
	at := func(r *polluxtest.Server, more ...string) []string {
		return append([]string{"REDIS_SOCKET=" + r.Socket}, more...)
	}
	return []illness{
		{"no APP_KEY", []string{"APP_KEY="}, exitUsage, "identity", []string{"APP_KEY is missing", "pollux init"}},
		{"no NODE_ID", []string{"NODE_ID="}, exitUsage, "identity", []string{"NODE_ID is missing"}},
		{"another APP_KEY", []string{"APP_KEY=" + anotherKey(t)}, exitCredentials, "db", []string{"APP_KEY is not the one"}},
		{"no database", []string{"DB_DATABASE="}, exitUsage, "db", []string{"DB_HOST"}},
		{"database down", append(slices.Clone(maria), fmt.Sprintf("DB_PORT=%d", polluxtest.FreePort(t))), exitUnreachable, "db", []string{"does not answer", "DB_PORT"}},
		{"database password", append(slices.Clone(maria), "DB_PASSWORD=CANARY"), exitCredentials, "db", []string{"DB_PASSWORD"}},
		{"no such database", append(slices.Clone(maria), "DB_DATABASE=pollux_none"), exitUsage, "db", []string{"check DB_DATABASE"}},
		{"no schema", maria, exitFailure, "db", []string{"pollux migrate up"}},
		{"no Redis configured", []string{"REDIS_SOCKET="}, exitUsage, "redis", []string{"REDIS_HOST"}},
		{"Redis down", []string{"REDIS_SOCKET=", "REDIS_HOST=127.0.0.1", "REDIS_PORT=" + strings.TrimPrefix(down, "127.0.0.1:")}, exitUnreachable, "redis", []string{"start redis-server"}},
		{"Redis asks for a password", at(guarded), exitCredentials, "redis", []string{"set REDIS_PASSWORD"}},
		{"Redis has another password", at(guarded, "REDIS_PASSWORD=CANARY"), exitCredentials, "redis", []string{"does not take the password"}},
		{"Redis evicts", at(evicting), exitFailure, "redis", []string{"allkeys-lru", "set it to noeviction"}},
		{"Redis of another cluster", at(other), exitUsage, "redis", []string{"two clusters"}},
		{"no RRDCached configured", []string{"RRDCACHED="}, exitUsage, "rrdcached", []string{"RRDCACHED is missing"}},
		{"RRDCached down", []string{"RRDCACHED=" + down}, exitUnreachable, "rrdcached", []string{down, "start rrdcached"}},
		{"RRDCached without STATS", []string{"RRDCACHED=" + silent}, exitFailure, "rrdcached", []string{silent, "to use STATS, FLUSH, FORGET, FETCH, LAST, INFO", "option -P"}},
		{"RRDCached without CREATE", []string{"RRDCACHED=" + noCreate}, exitFailure, "rrdcached", []string{noCreate, "to use CREATE", "option -P"}},
		{"RRDCached is another server", []string{"RRDCACHED=unix:" + other.Socket}, exitUnreachable, "rrdcached", []string{other.Socket, "correct RRDCACHED"}},
		{"RRDCached of another cluster", []string{"RRDCACHED=" + foreignTree(t)}, exitUsage, "rrdcached", []string{"belongs to another cluster", "correct RRDCACHED"}},
		{"RRDCached address", []string{"RRDCACHED=nowhere"}, exitUsage, "config", []string{"unix:/path or host:port"}},
		{"unknown variable", []string{"POLLUX_DATADIR=/x"}, exitUsage, "config", []string{"POLLUX_DATADIR", "POLLUX_DATA_DIR"}},
	}
}

// narrow is the address of an RRDCached that allows some commands only. Its
// option -P counts for the sockets that come after it, so this is a second one.
func narrow(t *testing.T, commands string) string {
	t.Helper()
	address := "unix:" + filepath.Join(newSite(t).dir, "narrow.sock")
	polluxtest.RRDCached(t, "-P", commands, "-l", address)
	return address
}

// foreignTree is the address of an RRDCached whose tree another cluster has marked.
func foreignTree(t *testing.T) string {
	t.Helper()
	server := polluxtest.RRDCached(t)
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+server.Address)
	s.role("consumer").metric(`pollux_rrdcached_up`, 1)
	return server.Address
}

func TestDoctorNamesTheCause(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	for _, c := range illnesses(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := s.with(c.env...).in(t)
			r := s.spawn("doctor")
			r.fails(c.code, append([]string{c.finding + ":"}, c.says...)...)
			line := regexp.MustCompile(`(?m)^failing  ` + c.finding + ` .*$`).FindString(r.out)
			for _, word := range c.says {
				if !strings.Contains(line, word) {
					t.Errorf("the finding %q does not say %q:\n%s", line, word, r.out)
				}
			}
			asJSON := s.spawn("doctor", "--json")
			asJSON.fails(c.code)
			var found examined
			if err := json.Unmarshal([]byte(asJSON.out), &found); err != nil {
				t.Fatalf("%v:\n%s", err, asJSON.out)
			}
			if failing := found.failing(); !slices.Equal(failing, []string{c.finding}) {
				t.Errorf("failing are %q, want %q alone:\n%s", failing, c.finding, asJSON.out)
			}
		})
	}
}

func TestDoctorIsContentWithAHealthySetup(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	before := dump(t, s.database())
	if out := s.spawn("doctor").works(); strings.Contains(out, "failing") {
		t.Error(out)
	}
	found := decode[examined](s.spawn("doctor", "--json"))
	var names []string
	for _, item := range found.Items {
		if item["name"] == "" || item["status"] != "ok" && item["status"] != "warning" || item["detail"] == "" {
			t.Errorf("item %v", item)
		}
		names = append(names, item["name"])
	}
	for _, name := range []string{"config", "identity", "db", "key", "redis", "clock", "journal", "rrdcached"} {
		if !slices.Contains(names, name) {
			t.Errorf("no finding %s in %q", name, names)
		}
	}
	s.unchanged(before)
	if answer := ask(t, redis, "DBSIZE"); answer != ":0" {
		t.Errorf("Redis holds something after the doctor: %s", answer)
	}
}
