package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pollux/polluxtest"
	"pollux/secret"
	"pollux/settings"
)

func TestConfigSaysWhereAValueComesFrom(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ok("migrate", "up")
	value := func() (text, source string) {
		found := decode[object](s.call("config", "get", "snmp.timeout", "--json"))
		checkNames(t, found)
		text, _ = found["value"].(string)
		source, _ = found["source"].(string)
		return text, source
	}
	if text, source := value(); text != "1" || source != "default" {
		t.Errorf("at first: %s from %s", text, source)
	}
	if out := s.ok("config", "set", "snmp.timeout", "3"); !strings.HasPrefix(out, "snmp.timeout = 3; in effect") {
		t.Errorf("config set says %q", out)
	}
	if text, source := value(); text != "3" || source != "database" {
		t.Errorf("set: %s from %s", text, source)
	}
	if out := s.ok("config", "get", "snmp.timeout"); out != "3\n" {
		t.Errorf("config get says %q", out)
	}
	s.ok("config:set", "snmp.timeout", "4")
	if text, _ := value(); text != "4" {
		t.Errorf("config:set: %s", text)
	}
	found := decode[list](s.call("config", "list", "--json"))
	if len(found.Items) != len(settings.All()) {
		t.Errorf("%d settings are listed, there are %d", len(found.Items), len(settings.All()))
	}
	for _, item := range found.Items {
		checkNames(t, item)
		want := "default"
		if item["key"] == "snmp.timeout" {
			want = "database"
		}
		if item["source"] != want || item["help"] == "" || item["scope"] == "" || item["type"] == "" || item["range"] == "" || item["note"] != nil {
			t.Errorf("setting %v, want it from %s", item, want)
		}
	}
	if out := s.ok("config", "list"); !regexp.MustCompile(`(?m)^snmp\.timeout +4 +database +device +1 to 30 s +How `).MatchString(out) {
		t.Errorf("the table:\n%s", out)
	}
	s.ok("config", "unset", "snmp.timeout")
	if text, source := value(); text != "1" || source != "default" {
		t.Errorf("unset: %s from %s", text, source)
	}
}

func TestKeyGenerate(t *testing.T) {
	t.Parallel()
	s := newSite(t, "APP_KEY=", "DB_DATABASE=")
	first, second := s.ok("key", "generate"), s.ok("key", "generate")
	if first == second {
		t.Error("the same key twice")
	}
	if _, err := secret.ParseKey(secret.New(strings.TrimSpace(first))); err != nil {
		t.Error(err)
	}
}

func TestInitWritesOnceAndForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := filepath.Join(s.dir, "new.env")
	if out := s.ok("--env-file", file, "init"); !strings.Contains(out, file) || strings.Contains(out, "base64:") {
		t.Errorf("init says %q", out)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	s.call("--env-file", file, "init").fails(exitUsage, "is there already")
	link := filepath.Join(s.dir, "link.env")
	if err := os.Symlink(filepath.Join(s.dir, "nowhere.env"), link); err != nil {
		t.Fatal(err)
	}
	s.call("--env-file", link, "init").fails(exitUsage, "is there already")
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file changed (%v)", err)
	}
	s.environ = slices.DeleteFunc(s.environ, func(pair string) bool { return strings.HasPrefix(pair, "POLLUX_ENV_FILE=") })
	s.ok("--env-file", file, "migrate", "up")
	s.ok("--env-file", file, "device", "list")
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	missing := decode[list](s.call("migrate", "status", "--json"))
	for _, item := range missing.Items {
		checkNames(t, item)
		if item["applied_at"] != nil {
			t.Errorf("in an empty database: %v", item)
		}
	}
	if out := s.ok("migrate", "up"); strings.Count(out, "applied ") != len(missing.Items) || len(missing.Items) == 0 {
		t.Errorf("migrate up says %q", out)
	}
	if out := s.ok("migrate", "up"); out != "the schema is up to date\n" {
		t.Errorf("the second migrate up says %q", out)
	}
	for _, item := range decode[list](s.call("migrate", "status", "--json")).Items {
		if at, _ := item["applied_at"].(string); !jsonTime.MatchString(at) {
			t.Errorf("applied: %v", item)
		}
	}
	if info, err := os.Stat(s.database()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the database %v, %v", info.Mode(), err)
	}
	if out := s.ok("migrate", "unlock"); out != "there was no lock\n" {
		t.Errorf("unlock says %q", out)
	}
	s.ok("device", "add", "sw1", "-f", "-c", canaryCommunity)
	if out := s.ok("migrate", "down", "--yes", "--all"); strings.Count(out, "took back ") != len(missing.Items) {
		t.Errorf("migrate down says %q", out)
	}
	s.call("device", "list").fails(exitFailure, "pollux migrate up")
	if held := dump(t, s.database()); strings.Contains(held, "sw1") {
		t.Errorf("the database still holds:\n%s", held)
	}
	s.ok("migrate", "up")
	s.ok("device", "list")
}

// A database that comes up late is waited for as long as --wait says.
func TestMigrateWaits(t *testing.T) {
	t.Parallel()
	database := polluxtest.MariaDB(t)
	server := database.Port
	database.Port = uint16(polluxtest.FreePort(t))
	s := newSite(t, databaseVariables(database)...)
	p := s.start("migrate", "up", "--wait", "60s")
	polluxtest.Eventually(t, cliLimit, "it waits", func() bool { return strings.Contains(p.errout.String(), "does not answer yet") })
	late := &door{t: t, address: "127.0.0.1:" + portText(database.Port), to: "127.0.0.1:" + portText(server)}
	late.open()
	t.Cleanup(late.close)
	if code := p.wait(cliLimit); code != exitOK || !strings.Contains(p.out.String(), "applied ") {
		t.Errorf("exit code %d: %s%s", code, p.out.String(), p.errout.String())
	}
}

// So are the Redis and the RRDCached that are configured; who refuses is not.
func TestMigrateWaitsForAllServers(t *testing.T) {
	t.Parallel()
	redis, rrd := polluxtest.Redis(t), polluxtest.RRDCached(t)
	redis.Stop()
	rrd.Stop()
	s := newSite(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+rrd.Address)
	s.ok("migrate", "up") // needs neither
	p := s.start("migrate", "up", "--wait", "60s")
	polluxtest.Eventually(t, cliLimit, "it waits for Redis", func() bool { return strings.Contains(p.errout.String(), "Redis does not answer yet") })
	redis.Start()
	polluxtest.Eventually(t, cliLimit, "it waits for RRDCached", func() bool { return strings.Contains(p.errout.String(), "RRDCached does not answer yet") })
	rrd.Start()
	if code := p.wait(cliLimit); code != exitOK || !strings.Contains(p.out.String(), "up to date") {
		t.Errorf("exit code %d: %s%s", code, p.out.String(), p.errout.String())
	}
	rrd.Stop()
	s.call("migrate", "up", "--wait", "1ms").fails(exitUnreachable, "rrdcached")
	s.with("REDIS_USERNAME=nobody", "REDIS_PASSWORD="+canary).call("migrate", "up", "--wait", "60s").fails(exitCredentials, "REDIS_USERNAME")
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/nowhere")
	if out := s.ok("version"); !regexp.MustCompile(`^pollux \S+ \(go\S+\)\n$`).MatchString(out) {
		t.Errorf("version says %q", out)
	}
	if found := decode[map[string]string](s.call("version", "--json")); found["version"] == "" || !strings.HasPrefix(found["go"], "go") {
		t.Errorf("version --json says %v", found)
	}
	if out := s.ok("completion", "bash"); !strings.Contains(out, "__start_pollux") {
		t.Errorf("completion says %.200q", out)
	}
	for _, args := range [][]string{{}, {"device"}, {"config"}, {"migrate"}, {"key"}, {"device", "add", "--help"}} {
		if out := s.ok(args...); !strings.Contains(out, "Usage:") {
			t.Errorf("%q says %q", args, out)
		}
	}
	if out := s.ok("device", "add", "--help"); !strings.Contains(out, "visible to ps") || !strings.Contains(out, "env:NAME") {
		t.Errorf("the help of device add does not warn:\n%s", out)
	}
}

func TestSimulateEndsOnSIGTERM(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null")
	p := s.start("simulate", "--listen", "127.0.0.1:0", "--ports", "2")
	var match []string
	polluxtest.Eventually(t, cliLimit, "it simulates", func() bool {
		match = regexp.MustCompile(`answering SNMP from (127\.0\.0\.1:\d+) on`).FindStringSubmatch(p.out.String())
		return match != nil
	})
	var found object
	if err := json.Unmarshal([]byte(s.ok("inspect", match[1], "-2", "--json")), &found); err != nil || found["sysName"] != "sim-00000" {
		t.Errorf("%v: %v", err, found)
	}
	p.end()
	if p.errout.String() != "" {
		t.Errorf("it complains: %s", p.errout.String())
	}
}
