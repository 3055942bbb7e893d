package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

// setup is a configuration with which no command can work.
type setup struct {
	name string
	env  []string
	args []string // device list when empty
	code int
	says []string
}

func anotherKey(t testing.TB) string {
	t.Helper()
	key, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

// write makes a file in the site's directory.
func (s *site) write(name, text string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func setupsOfConfiguration(t *testing.T, s *site) []setup {
	malformed := s.write("malformed", "NODE_ID=node-1\nDB_PASSWORD=\"CANARY\nAPP KEY='CANARY\n")
	latin := s.write("latin", "\x00\xff\xfe")
	key := "APP_KEY=" + anotherKey(t)
	return []setup{
		{name: "missing APP_KEY", env: []string{"APP_KEY="}, code: exitUsage, says: []string{"APP_KEY is missing", "pollux init"}},
		{name: "malformed APP_KEY", env: []string{"APP_KEY=CANARY"}, code: exitUsage, says: []string{"APP_KEY", "pollux key generate"}},
		{name: "short APP_KEY", env: []string{"APP_KEY=base64:Q0FOQVJZ"}, code: exitUsage, says: []string{"32 random bytes"}},
		{name: "another APP_KEY", env: []string{key}, code: exitCredentials, says: []string{"APP_KEY is not the one", "copy APP_KEY"}},
		{name: "another APP_KEY at a migration", env: []string{key}, args: []string{"migrate", "up"}, code: exitCredentials, says: []string{"APP_KEY is not the one"}},
		{name: "malformed .env", env: []string{"POLLUX_ENV_FILE=" + malformed}, code: exitUsage, says: []string{"malformed at line 2", "NAME=value"}},
		{name: "bytes that are no .env", env: []string{"POLLUX_ENV_FILE=" + latin}, code: exitUsage, says: []string{"malformed"}},
		{name: "missing .env", env: []string{"POLLUX_ENV_FILE=/nowhere/env"}, code: exitUsage, says: []string{"/nowhere/env", "no such file"}},
		{name: "unknown POLLUX variable", env: []string{"POLLUX_LOGLEVEL=info"}, code: exitUsage, says: []string{"POLLUX_LOGLEVEL", "POLLUX_LOG_LEVEL"}},
		{name: "unknown kind of database", env: []string{"DB_CONNECTION=oracle"}, code: exitUsage, says: []string{"mysql, pgsql or sqlite"}},
		{name: "no database", env: []string{"DB_DATABASE="}, code: exitUsage, says: []string{"DB_HOST", "DB_DATABASE", "--data-dir"}},
		{name: "producer without NODE_ID", env: []string{"NODE_ID="}, args: []string{"producer"}, code: exitUsage, says: []string{"NODE_ID is missing"}},
		{name: "consumer without NODE_ID", env: []string{"NODE_ID="}, args: []string{"consumer"}, code: exitUsage, says: []string{"NODE_ID is missing"}},
		{name: "producer with a bad NODE_ID", env: []string{"NODE_ID=a b"}, args: []string{"producer"}, code: exitUsage, says: []string{"NODE_ID has 1 to 64"}},
		{name: "consumer with a bad RRDCACHED", env: []string{"RRDCACHED=nowhere"}, args: []string{"consumer"}, code: exitUsage, says: []string{"unix:/path or host:port"}},
		{name: "init over a file", args: []string{"--env-file", malformed, "init"}, code: exitUsage, says: []string{"is there already", "left as it is"}},
		{name: "init nowhere", args: []string{"--env-file", "/nowhere/env", "init"}, code: exitFailure, says: []string{"/nowhere/env", "no such file"}},
	}
}

func setupsOfSQLite(t *testing.T, s *site) []setup {
	garbage := s.write("garbage.db", strings.Repeat("this is no database. ", 100))
	copied := func(name string, statements ...string) string {
		text, err := os.ReadFile(s.database())
		if err != nil {
			t.Fatal(err)
		}
		path := s.write(name, string(text))
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, statement := range statements {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	older := copied("older.db", "DELETE FROM bun_migrations WHERE id = (SELECT MAX(id) FROM bun_migrations)")
	newer := copied("newer.db", "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES ('9999', 9, '2030-01-01 00:00:00')")
	file := func(path string) []string { return []string{"DB_DATABASE=" + path} }
	up := []string{"migrate", "up"}
	return []setup{
		{name: "garbage", env: file(garbage), code: exitUsage, says: []string{"not a database", "DB_DATABASE"}},
		{name: "garbage at a migration", env: file(garbage), args: up, code: exitUsage, says: []string{"not a database", "DB_DATABASE"}},
		{name: "a directory", env: file(s.dir), code: exitUsage, says: []string{"DB_DATABASE"}},
		{name: "no file", env: file(filepath.Join(s.dir, "none.db")), code: exitFailure, says: []string{"pollux migrate up", "none.db"}},
		{name: "no folder at a migration", env: file(filepath.Join(s.dir, "absent", "p.db")), args: up, code: exitUsage, says: []string{"folder " + filepath.Join(s.dir, "absent") + " does not exist", "create it"}},
		{name: "older", env: file(older), code: exitFailure, says: []string{"older", "pollux migrate up"}},
		{name: "newer", env: file(newer), code: exitFailure, says: []string{"newer", "upgrade the pollux binary"}},
		{name: "newer at a migration", env: file(newer), args: up, code: exitFailure, says: []string{"newer"}},
	}
}

func setupsOfServers(t *testing.T) []setup {
	closed := "DB_PORT=" + strconv.Itoa(polluxtest.FreePort(t))
	maria, postgres := polluxtest.MariaDB(t), polluxtest.PostgreSQL(t)
	of := func(d config.Database, more ...string) []string { return append(databaseVariables(d), more...) }
	const wrong = "DB_PASSWORD=CANARY"
	up := []string{"migrate", "up"}
	return []setup{
		{name: "MariaDB down", env: of(maria, closed, wrong), code: exitUnreachable, says: []string{"does not answer", "start it, or check DB_HOST"}},
		{name: "PostgreSQL down", env: of(postgres, closed, wrong), code: exitUnreachable, says: []string{"does not answer", "start it, or check DB_HOST"}},
		{name: "MariaDB down at a consumer", env: of(maria, closed, wrong, "REDIS_HOST=127.0.0.1", "RRDCACHED=unix:/nowhere/rrd.sock"), args: []string{"consumer"}, code: exitUnreachable, says: []string{"does not answer", "check DB_HOST"}},
		{name: "PostgreSQL down at a producer", env: of(postgres, closed, wrong, "REDIS_HOST=127.0.0.1"), args: []string{"producer"}, code: exitUnreachable, says: []string{"does not answer", "check DB_HOST"}},
		{name: "PostgreSQL down at a migration", env: of(postgres, closed, wrong), args: up, code: exitUnreachable, says: []string{"does not answer"}},
		{name: "MariaDB unknown host", env: of(maria, "DB_HOST=no-such-host.invalid"), code: exitUnreachable, says: []string{"check DB_HOST"}},
		{name: "MariaDB wrong password", env: of(maria, wrong), code: exitCredentials, says: []string{"check DB_USERNAME and DB_PASSWORD"}},
		{name: "PostgreSQL wrong password", env: of(postgres, wrong), code: exitCredentials, says: []string{"check DB_USERNAME and DB_PASSWORD"}},
		{name: "MariaDB missing database", env: of(maria, "DB_DATABASE=pollux_none"), code: exitUsage, says: []string{"create it, or check DB_DATABASE"}},
		{name: "PostgreSQL missing database", env: of(postgres, "DB_DATABASE=pollux_none"), args: up, code: exitUsage, says: []string{"create it, or check DB_DATABASE"}},
		{name: "MariaDB not allowed", env: of(maria, "DB_DATABASE=mysql"), code: exitCredentials, says: []string{"what the user is granted"}},
		{name: "MariaDB without schema", env: of(maria), code: exitFailure, says: []string{"pollux migrate up"}},
		{name: "PostgreSQL without schema", env: of(postgres), code: exitFailure, says: []string{"pollux migrate up"}},
		{name: "MariaDB spoken to as PostgreSQL", env: of(maria, "DB_CONNECTION=pgsql"), code: exitUnreachable, says: []string{"does not answer"}},
	}
}

// A command that cannot work says why in one line, and the database stays as it was.
func TestBadSetupIsNamed(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.ok("device", "add", "known", "-f", "-2", "-c", canaryCommunity)
	before := dump(t, s.database())
	for kind, setups := range map[string][]setup{
		"configuration": setupsOfConfiguration(t, s), "SQLite": setupsOfSQLite(t, s), "servers": setupsOfServers(t),
	} {
		for _, c := range setups {
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				args := c.args
				if args == nil {
					args = []string{"device", "list", "--json"}
				}
				s := s.with(c.env...).in(t)
				r := s.call(args...)
				r.fails(c.code, c.says...)
				if r.out != "" {
					t.Errorf("the standard output is not empty: %s", r.out)
				}
				s.unchanged(before)
			})
		}
	}
}

// The same for Redis and RRDCached, for commands and for roles.
func TestBadRedisIsNamed(t *testing.T) {
	t.Parallel()
	guarded, refusing := polluxtest.Redis(t, "--requirepass", "CANARY-redis"), polluxtest.Redis(t, "--user", "narrow", "on", ">CANARY-redis", "~x:*", "+ping")
	other := polluxtest.Redis(t)
	s := migrated(t, "RRDCACHED=unix:/nowhere/rrd.sock")
	s.ok("device", "add", "known", "-f")
	before := dump(t, s.database())
	claim(t, other)
	at := func(r *polluxtest.Server, more ...string) []string {
		return append([]string{"REDIS_SOCKET=" + r.Socket}, more...)
	}
	for _, c := range []setup{
		{name: "none configured", code: exitUsage, says: []string{"REDIS_HOST"}},
		{name: "asks for a password", env: at(guarded), code: exitCredentials, says: []string{"asks for a password", "set REDIS_PASSWORD"}},
		{name: "wrong password", env: at(guarded, "REDIS_PASSWORD=CANARY"), code: exitCredentials, says: []string{"does not take the password", "REDIS_PASSWORD"}},
		{name: "wrong user", env: at(guarded, "REDIS_USERNAME=x", "REDIS_PASSWORD=CANARY"), code: exitCredentials, says: []string{"does not take the password"}},
		{name: "narrow user", env: at(refusing, "REDIS_USERNAME=narrow", "REDIS_PASSWORD=CANARY-redis"), code: exitCredentials, says: []string{"denies", "ACL"}},
		{name: "down", env: []string{"REDIS_HOST=127.0.0.1", fmt.Sprintf("REDIS_PORT=%d", polluxtest.FreePort(t))}, code: exitUnreachable, says: []string{"nothing listens there", "start redis-server"}},
		{name: "unknown host", env: []string{"REDIS_HOST=no-such-host.invalid"}, code: exitUnreachable, says: []string{"correct REDIS_HOST"}},
		{name: "no such database", env: at(guarded, "REDIS_PASSWORD=CANARY-redis", "REDIS_DB=99"), code: exitUsage, says: []string{"correct REDIS_DB"}},
		{name: "another cluster", env: at(other), code: exitUsage, says: []string{"two clusters", "correct DB_* or REDIS_*"}},
	} {
		for _, args := range [][]string{{"device", "poll", "known"}, {"producer"}, {"consumer"}} {
			t.Run(c.name+"/"+args[0], func(t *testing.T) {
				t.Parallel()
				s := s.with(c.env...).in(t)
				s.spawn(args...).fails(c.code, c.says...)
				s.unchanged(before)
			})
		}
	}
}

func TestConsumerNeedsRRDCached(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket)
	s.spawn("consumer").fails(exitUsage, "RRDCACHED is missing", "pollux standalone")
}

func TestConsumerRefusesAnRRDCachedThatRefuses(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	for _, target := range []string{polluxtest.RRDCached(t, "-P", "PING,STATS,INFO").Address, "unix:" + redis.Socket} {
		s.environ = append(s.environ, "RRDCACHED="+target)
		s.spawn("consumer").fails(exitUsage, "RRDCACHED="+target, "option -P", "correct RRDCACHED")
	}
}

// SQLite serves one node, so a second one is refused as soon as poller groups are on.
func TestSharedSQLiteIsRefused(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED=unix:/nowhere/rrd.sock")
	s.call("config", "set", "distributed_poller", "true").fails(exitUsage, "SQLite serves one node only")
	s.turnOnGroups()
	before := dump(t, s.database())
	s.spawn("consumer").fails(exitUsage, "SQLite serves one node only", "DB_CONNECTION")
	s.spawn("producer").fails(exitUsage, "SQLite serves one node only", "DB_CONNECTION")
	s.unchanged(before)
}

// turnOnGroups does what the command refuses to do with SQLite.
func (s *site) turnOnGroups() {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.database())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO settings VALUES ('distributed_poller', 'true', 0, '')"); err != nil {
		s.t.Fatal(err)
	}
}

// claim makes a Redis that of another cluster.
func claim(t testing.TB, redis *polluxtest.Server) {
	t.Helper()
	if answer := ask(t, redis, "SET pollux:cluster "+strings.Repeat("ab", 9)); answer != "+OK" {
		t.Fatalf("SET answers %q", answer)
	}
}

// ask sends Redis a line and returns the first line of the answer.
func ask(t testing.TB, redis *polluxtest.Server, command string) string {
	t.Helper()
	conn, err := net.Dial("unix", redis.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}
