package main

import (
	"context"
	"database/sql"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/settings"
)

// execute changes the site's SQLite file by hand.
func (s *site) execute(statements ...string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestConfigListByPrefix(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	for _, item := range decode[list](s.call("config", "list", "snmp.", "--json")).Items {
		if key, _ := item["key"].(string); !strings.HasPrefix(key, "snmp.") {
			t.Errorf("listed: %v", item)
		}
	}
	out := s.ok("config", "list", "service_")
	if !strings.HasPrefix(out, "KEY ") || strings.Count(out, "\n") != 8 {
		t.Errorf("the settings of services:\n%s", out)
	}
	for _, row := range []string{
		`service_loglevel +info +default +node +debug, info, warn or error +.*POLLUX_LOG_LEVEL`, `service_poller_workers +100 +default +node +1 to 10000 +`,
		`service_poller_frequency +300 +default +device +10 to 3600 s +`,
	} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out) {
			t.Errorf("no row %s in:\n%s", row, out)
		}
	}
	s.call("config", "list", "snmpp").fails(exitNotFound, "snmpp", "config list")
	s.call("config", "list", "a", "b").fails(exitUsage, "pollux config list [PREFIX]")
	if out := s.ok("config", "list", "--help"); !strings.Contains(out, "POLLUX_LOG_LEVEL over service_loglevel") {
		t.Errorf("the help does not say what wins:\n%s", out)
	}
}

func TestConfigSetStoresWhatIsMeant(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	for _, c := range []struct{ key, typed, stored string }{
		{"service_loglevel", "WARNING", "warn"}, {"snmp.version", "V3, v1", "v3,v1"}, {"snmp.transports", "tcp", "tcp"}, {"default_poller_group", "0", "0"},
	} {
		if out := s.ok("config", "set", c.key, c.typed); !strings.HasPrefix(out, c.key+" = "+c.stored+"; in effect") {
			t.Errorf("config set says %q", out)
		}
		if out := s.ok("config", "get", c.key); out != c.stored+"\n" {
			t.Errorf("%s is %q, want %q", c.key, out, c.stored)
		}
	}
	before := dump(t, s.database())
	for _, c := range []struct {
		key, value string
		code       int
		says       string
	}{
		{"service_loglevel", "loud", exitUsage, "service_loglevel is debug, info, warn or error"}, {"snmp.version", "v2c,v2c", exitUsage, "snmp.version is a list of v1,v2c,v3"},
		{"snmp.transports", "", exitUsage, "udp"}, {"snmp.max_oid", "1", exitUsage, "2 to 100"}, {"default_poller_group", "7", exitNotFound, "no poller group 7"},
		{"default_poller_group", "General", exitUsage, "whole number"}, {"service_loglevl", "info", exitNotFound, "did you mean service_loglevel?"},
		{"distributed_poller_group", "1,2", exitNotFound, "pollux node set NODE --groups"}, {"internal:last_poller_group", "9", exitNotFound, "there is no setting"},
	} {
		s.call("config", "set", c.key, c.value).fails(c.code, c.says)
	}
	s.unchanged(before)
}

// What is stored and not in force is shown, and can be removed.
func TestConfigShowsWhatIsIgnored(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.execute("INSERT INTO settings VALUES ('snmp.timeout', 'many', 0, '')", "INSERT INTO settings VALUES ('gone.\x1b[2J', 'a'||char(10)||'b', 0, '')",
		"INSERT INTO settings VALUES ('internal:last_poller_group', '3', 0, '')")
	items := decode[list](s.call("config", "list", "--json")).Items
	if len(items) != len(settings.All())+1 {
		t.Errorf("%d settings are listed, want one more than %d", len(items), len(settings.All()))
	}
	for _, item := range items {
		checkNames(t, item)
		note, _ := item["note"].(string)
		switch item["key"] {
		case "snmp.timeout":
			if item["value"] != "1" || item["source"] != "default" || !strings.Contains(note, `not "many"`) || !strings.Contains(note, "config unset snmp.timeout") {
				t.Errorf("a value that is refused: %v", item)
			}
		case "gone.\x1b[2J":
			if item["value"] != "a\nb" || item["source"] != "database" || !strings.Contains(note, "not in force: there is no setting") {
				t.Errorf("a key that is none: %v", item)
			}
		default:
			if note != "" {
				t.Errorf("%v has a note", item)
			}
		}
	}
	out := s.ok("config", "list")
	if strings.Contains(out, "\x1b") || !regexp.MustCompile(`(?m)^gone\.\?\[2J +a b +database .*! not in force`).MatchString(out) || !regexp.MustCompile(`(?m)^snmp\.timeout +1 +default .*! stored, but not in force`).MatchString(out) {
		t.Errorf("the table:\n%s", out)
	}
	if out := s.ok("config", "unset", "gone.\x1b[2J"); !strings.Contains(out, "no setting of this version") || strings.Contains(out, "\x1b") {
		t.Errorf("config unset says %q", out)
	}
	s.ok("config", "unset", "snmp.timeout")
	s.call("config", "unset", "internal:last_poller_group").fails(exitNotFound)
	for _, item := range decode[list](s.call("config", "list", "--json")).Items {
		if item["note"] != nil {
			t.Errorf("still there: %v", item)
		}
	}
}

func TestLogLevelFollowsTheSetting(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED=unix:/nowhere/rrd.sock")
	// Both ask the database every few seconds, which the log tells at debug level.
	following, fixed := s.start("producer"), s.with("POLLUX_LOG_LEVEL=info").start("consumer")
	const debug = `"level":"DEBUG"`
	polluxtest.Eventually(t, cliLimit, "both run", func() bool {
		return strings.Contains(following.errout.String(), `"level":"INFO"`) && strings.Contains(fixed.errout.String(), `"level":"INFO"`)
	})
	if strings.Contains(following.errout.String(), debug) {
		t.Error("it logs at debug level by default")
	}
	changed := time.Now()
	s.ok("config", "set", "service_loglevel", "DEBUG")
	polluxtest.Eventually(t, cliLimit, "the producer logs at debug level", func() bool { return strings.Contains(following.errout.String(), debug) })
	t.Logf("in force after %v", time.Since(changed).Round(time.Millisecond))
	at := strings.Count(following.errout.String(), debug)
	polluxtest.Eventually(t, cliLimit, "the consumer has asked too", func() bool { return strings.Count(following.errout.String(), debug) > at+2 })
	if strings.Contains(fixed.errout.String(), debug) {
		t.Error("POLLUX_LOG_LEVEL does not win over the setting")
	}
	following.end()
	fixed.end()
}

func TestLogLevelGoesBack(t *testing.T) {
	t.Parallel()
	var log buffer
	p := &program{errout: &log}
	p.level.Set(slog.LevelWarn) // as the demo has it
	stored := map[string]string{}
	live := settings.NewLive(func(context.Context) (map[string]string, error) { return stored, nil }, slog.New(slog.DiscardHandler))
	following, fixed := p.logger(""), p.logger("error")
	p.followLevel(live)
	for _, c := range []struct {
		stored string
		least  slog.Level
	}{{"", slog.LevelWarn}, {"debug", slog.LevelDebug}, {"ERROR", slog.LevelError}, {"info", slog.LevelInfo}, {"loud", slog.LevelWarn}, {"warn", slog.LevelWarn}, {"", slog.LevelWarn}} {
		if stored = nil; c.stored != "" {
			stored = map[string]string{settings.KeyLogLevel: c.stored}
		}
		if err := live.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !following.Enabled(t.Context(), c.least) || following.Enabled(t.Context(), c.least-1) {
			t.Errorf("stored %q: the least level is not %v", c.stored, c.least)
		}
		if fixed.Enabled(t.Context(), slog.LevelError-1) || !fixed.Enabled(t.Context(), slog.LevelError) {
			t.Errorf("stored %q: a fixed level changed", c.stored)
		}
	}
}
