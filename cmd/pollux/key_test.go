package main

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

// keys are the ids of the keys that the site's configuration has.
func (s *site) keys() []string {
	s.t.Helper()
	c, err := config.Load("", s.environ)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.AppKey.IDs()
}

// envFile is the text of the site's .env.
func (s *site) envFile() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// keyFinding is the line of the doctor about the key.
func (s *site) keyFinding() string {
	s.t.Helper()
	return regexp.MustCompile(`(?m)^\w+ +key .*$`).FindString(s.spawn("doctor").out)
}

// stored is the text of a device's column as it stands in the database.
func (s *site) stored(hostname, column string) (text string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT "+column+" FROM devices WHERE hostname = ?", hostname).Scan(&text); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// announce registers a node of another process that has some keys.
func (s *site) announce(r *polluxtest.Server, id string, keys ...string) (gone func()) {
	s.t.Helper()
	client := openTestRedis(s.t, r)
	registry, err := cluster.NewRegistry(client, cluster.NodeInfo{Role: "consumer", NodeID: id, Host: "host-of-" + id, PID: 77, Keys: keys}, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := registry.Register(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := client.Del(s.t.Context(), "pollux:node:consumer:"+id).Err(); err != nil {
			s.t.Error(err)
		}
	}
}

func openTestRedis(t testing.TB, r *polluxtest.Server) cluster.Client {
	t.Helper()
	client, err := cluster.Connect(t.Context(), config.Redis{Socket: r.Socket}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestKeyRotateStepByStep(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("device", "add", "two", "-f", "-2", "-c", canaryCommunity)
	s.ok("device", "add", "three", "-f", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	before := s.envFile()
	old := s.keys()[0]
	former := s.with("APP_KEY=" + strings.TrimPrefix(strings.Split(before, "\n")[0], "APP_KEY="))
	if out := s.spawn("key", "rotate").works(); !strings.Contains(out, "nothing to do") || !strings.Contains(out, old) {
		t.Error(out)
	}
	if line := s.keyFinding(); !strings.HasPrefix(line, "ok ") || !strings.Contains(line, old) {
		t.Error(line)
	}

	out := s.ok("key", "rotate", "--prepare")
	keys := s.keys()
	if len(keys) != 2 || keys[1] != old || !strings.Contains(out, keys[0]) || !strings.Contains(out, "next:") || strings.Contains(out, "base64:") {
		t.Fatalf("keys %v, said:\n%s", keys, out)
	}
	next := keys[0]
	if rest := strings.Split(s.envFile(), "\n")[2:]; strings.Join(rest, "\n") != strings.Join(strings.Split(before, "\n")[1:], "\n") {
		t.Errorf("other lines changed:\n%s", s.envFile())
	}
	prepared := s.envFile()
	if out := s.ok("key", "rotate", "--prepare"); !strings.Contains(out, "already") || s.envFile() != prepared {
		t.Errorf("a second time: %s", out)
	}
	if line := s.keyFinding(); !strings.HasPrefix(line, "warning ") || !strings.Contains(line, "pollux key rotate") {
		t.Error(line)
	}

	dumped := dump(t, s.database())
	gone := s.announce(redis, "c9", old)
	s.announce(redis, "c8", next, old)
	for _, args := range [][]string{{"key", "rotate"}, {"key", "rotate", "--dry-run"}} {
		s.spawn(args...).fails(exitUsage, "1 live nodes do not have the key "+next, "consumer c9", "host-of-c9", "pid 77", "restart them")
	}
	gone()
	silent := s.announce(redis, "c7") // of a version that tells no keys
	s.spawn("key", "rotate").fails(exitUsage, "consumer c7")
	silent()
	if out := s.spawn("key", "rotate", "--dry-run").works(); !strings.Contains(out, "would encrypt anew: 3 credentials of 2 devices") {
		t.Error(out)
	}
	s.unchanged(dumped)

	if out := s.spawn("key", "rotate").works(); !strings.Contains(out, "encrypted anew: 3 credentials of 2 devices; left under another key: 0") || !strings.Contains(out, "remove APP_PREVIOUS_KEYS") {
		t.Error(out)
	}
	for host, column := range map[string]string{"two": "community", "three": "priv_password"} {
		if id := secret.SealedWith(s.stored(host, column)); id != next {
			t.Errorf("the %s of %s is under %s", column, host, id)
		}
	}
	former.spawn("device", "list").fails(exitCredentials, "APP_KEY is not the one", next, old)
	if got := s.credentials("three").Credentials; got.PrivPassword.Reveal() != canaryPriv || got.AuthPassword.Reveal() != canaryAuth {
		t.Error("the passwords changed")
	}
	if line := s.keyFinding(); !strings.HasPrefix(line, "warning ") || !strings.Contains(line, "remove APP_PREVIOUS_KEYS") {
		t.Error(line)
	}
	s.with("APP_PREVIOUS_KEYS=").ok("device", "list")
	s.ok("key", "rotate", "--prepare") // the next rotation, with a former key that nobody removed
	if keys := s.keys(); len(keys) != 3 || keys[1] != next || keys[2] != old {
		t.Errorf("keys %v", keys)
	}
}

func TestKeyRotateRefuses(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("device", "add", "two", "-f", "-2", "-c", canaryCommunity)
	s.ok("device", "add", "lost", "-f", "-2", "-c", canaryCommunity)
	own := strings.TrimPrefix(strings.Split(s.envFile(), "\n")[0], "APP_KEY=")
	text, before := s.envFile(), dump(t, s.database())
	for _, c := range []setup{
		{name: "both flags", args: []string{"key", "rotate", "--prepare", "--dry-run"}, code: exitUsage, says: []string{"not both"}},
		{name: "a word too many", args: []string{"key", "rotate", "now"}, code: exitUsage},
		{name: "another key", env: []string{"APP_KEY=" + anotherKey(t)}, args: []string{"key", "rotate"}, code: exitCredentials, says: []string{"APP_KEY is not the one"}},
		{name: "another key, prepared", env: []string{"APP_KEY=" + anotherKey(t)}, args: []string{"key", "rotate", "--prepare"}, code: exitCredentials},
		{name: "malformed former keys", env: []string{"APP_PREVIOUS_KEYS=CANARY"}, args: []string{"key", "rotate"}, code: exitUsage, says: []string{"APP_PREVIOUS_KEYS"}},
		{name: "key from the environment", env: []string{"APP_KEY=" + own}, args: []string{"key", "rotate", "--prepare"}, code: exitUsage, says: []string{"environment", "pollux key generate"}},
		{name: "former keys from the environment", env: []string{"APP_PREVIOUS_KEYS="}, args: []string{"key", "rotate", "--prepare"}, code: exitUsage, says: []string{"environment"}},
		{name: "no Redis", env: []string{"REDIS_SOCKET=", "APP_KEY=" + anotherKey(t), "APP_PREVIOUS_KEYS=" + own}, args: []string{"key", "rotate"}, code: exitUsage, says: []string{"REDIS_HOST"}},
		{name: "Redis down", env: []string{"REDIS_SOCKET=/nowhere/redis.sock", "APP_KEY=" + anotherKey(t), "APP_PREVIOUS_KEYS=" + own}, args: []string{"key", "rotate"}, code: exitUnreachable, says: []string{"which nodes are live"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.with(c.env...).in(t)
			s.spawn(c.args...).fails(c.code, c.says...)
			s.unchanged(before)
			if s.envFile() != text {
				t.Error("the file changed")
			}
		})
	}
}

// What no key opens is named, the rest is done, and the doctor does not forget it.
func TestKeyRotateNamesWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	s.ok("device", "add", "good", "-f", "-2", "-c", canaryCommunity)
	s.ok("device", "add", "lost", "-f", "-2", "-c", canaryCommunity)
	s.ok("key", "rotate", "--prepare")
	db, err := sql.Open("sqlite", "file:"+s.database()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE devices SET community = 'v1:01234567:AAAA' WHERE hostname = 'lost'"); err != nil {
		t.Fatal(err)
	}
	r := s.spawn("key", "rotate")
	r.fails(exitCredentials, "1 secrets stay as they are", "APP_PREVIOUS_KEYS")
	if want := "cannot open: device 2 lost community\n"; !strings.Contains(r.out, want) || !strings.Contains(r.out, "1 credentials of 1 devices; left under another key: 1") {
		t.Errorf("said %s", r.out)
	}
	if id := secret.SealedWith(s.stored("good", "community")); id != s.keys()[0] {
		t.Errorf("the other device is under %s", id)
	}
	s.spawn("doctor").fails(exitCredentials, "key: ", "1 credentials are under a key that this node does not have")
	s.call("key", "rotate", "--prepare").fails(exitUsage, "finish that first")
	s.call("device", "set", "lost", "--interval", "60").fails(exitCredentials, "set it anew")
	s.ok("device", "show", "lost")
	s.ok("device", "set", "lost", "-c", canaryCommunity)
	if out := s.spawn("key", "rotate").works(); !strings.Contains(out, "nothing to do") {
		t.Error(out)
	}
	if _, err := db.Exec("UPDATE devices SET community = 'v1:01234567:AAAA' WHERE hostname = 'lost'"); err != nil {
		t.Fatal(err)
	}
	s.ok("device", "remove", "lost")
	s.spawn("doctor").works()
}

func TestKeyPrepareOfADataDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t, "APP_KEY=", "NODE_ID=", "DB_DATABASE=")
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	key, id, err := config.Identity(data, secret.Key{}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.ok("--data-dir", data, "migrate", "up")
	out := s.ok("--data-dir", data, "key", "rotate", "--prepare") // the variables of the environment mean nothing here
	if !strings.Contains(out, filepath.Join(data, "node.env")) {
		t.Error(out)
	}
	next, sameID, err := config.Identity(data, secret.Key{}, "")
	if err != nil || sameID != id || fmt.Sprint(next.IDs()[1:]) != fmt.Sprint([]string{key.ID()}) {
		t.Errorf("keys %v, NODE_ID %s, %v", next.IDs(), sameID, err)
	}
	if info, err := os.Stat(filepath.Join(data, "node.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestDoctorSeesWhoCanReadTheKey(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	file := filepath.Join(s.dir, "env")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := s.spawn("doctor").works(); !strings.Contains(out, "chmod o-r "+file) {
		t.Error(out)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if out := s.spawn("doctor").works(); strings.Contains(out, "chmod") {
		t.Error(out)
	}
}

// A key that was named is not passed over for that of the data directory.
func TestADirectoryRefusesAnotherKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, "APP_KEY=", "NODE_ID=", "DB_DATABASE=")
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Identity(data, secret.Key{}, ""); err != nil {
		t.Fatal(err)
	}
	s.ok("--data-dir", data, "migrate", "up")
	other := anotherKey(t)
	s.with("APP_KEY="+other).call("--data-dir", data, "device", "list").fails(exitUsage, "APP_KEY of the environment is ", filepath.Join(data, "node.env"))
	file := filepath.Join(s.dir, "other.env")
	if err := os.WriteFile(file, []byte("APP_KEY="+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	named := newSite(t, "NODE_ID=", "DB_DATABASE=")
	named.environ = []string{"PATH=" + os.Getenv("PATH")}
	r := named.call("--env-file", file, "--data-dir", data, "device", "list")
	r.fails(exitUsage, "APP_KEY of "+file+" is ", filepath.Join(data, "node.env"))
	if strings.Contains(r.errout, other) {
		t.Errorf("the error shows the key: %s", r.errout)
	}
	s.ok("--data-dir", data, "key", "rotate", "--prepare") // the former key is one of the directory's
	key, _, err := config.Identity(data, secret.Key{}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.with("APP_KEY="+key.Former()[0].Text().Reveal()).ok("--data-dir", data, "device", "list")
}
