//go:build e2e && faults

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// mistakes starts consumers with wrong settings beside those that run: each says
// in one line and by its health check what is wrong, and the others go on.
func (g *guide) mistakes() {
	g.t.Helper()
	for i, m := range []struct{ setting, named string }{
		{"APP_KEY=base64:" + strings.Repeat("A", 43) + "=", "APP_KEY"},
		{"APP_KEY=base64:short", "APP_KEY"},
		{"DB_PASSWORD=wrong", "database"},
		{"REDIS_PASSWORD=wrong", "edis"},
		{"DB_PORT=many", "DB_PORT"},
		{"REDIS_SCHEME=carrier-pigeon", "REDIS_SCHEME"},
	} {
		name := fmt.Sprintf("mistake-%d", i)
		g.compose("run", "-d", "--name", name, "-e", m.setting, "consumer")
		g.wrong(name, m.setting, m.named)
	}
	g.malformed()
	g.healthy(time.Minute)
	g.unmissed("consumers with wrong settings beside others")
}

// malformed makes two lines of .env no assignments. docker-compose 1.29 names
// both and leaves them out: what is missing then is told by the consumer that needs it.
// Compose v2 refuses such a file, which packaging/compose/check sees to.
func (g *guide) malformed() {
	g.t.Helper()
	file := filepath.Join(g.dir, ".env")
	good, err := os.ReadFile(file)
	must(g.t, err)
	defer func() { must(g.t, os.WriteFile(file, good, 0o600)) }()
	lines := strings.Split(strings.TrimRight(string(good), "\n"), "\n")
	key := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "APP_KEY=") })
	if key < 0 {
		g.t.Fatal(".env has no line APP_KEY=")
	}
	lines[key] = strings.Replace(lines[key], "APP_KEY=", "APP_KEY is ", 1)
	lines = append(lines, "THIS IS NOT A SETTING")
	must(g.t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	out := g.compose("run", "-d", "--name", "malformed", "consumer")
	for _, line := range []int{key + 1, len(lines)} {
		if !strings.Contains(out, fmt.Sprintf("could not parse statement starting at line %d\n", line)) {
			g.t.Errorf("Compose does not name line %d of .env: %s", line, out)
		}
	}
	g.wrong("malformed", "APP_KEY is ...", "APP_KEY is missing")
}

// wrong waits until a container says what is wrong with it, in one line of its log and, unless it has ended, in its health check, and removes it.
func (g *guide) wrong(name, setting, named string) {
	g.t.Helper()
	defer func() { g.docker("rm", "--force", name) }()
	var state struct {
		Status, Error string
		ExitCode      int
		Health        struct {
			Status string
			Log    []struct{ Output string }
		}
	}
	said := ""
	untilEvery(g.t, time.Second, 90*time.Second, setting+" is told", func() bool {
		if err := json.Unmarshal([]byte(g.docker("inspect", "--format", "{{json .State}}", name)), &state); err != nil {
			g.t.Fatal(err)
		}
		if n := len(state.Health.Log); n > 0 {
			said = strings.TrimSpace(state.Health.Log[n-1].Output)
		}
		return state.Status == "exited" || strings.Contains(said, named)
	})
	log := strings.TrimSpace(g.docker("logs", name))
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return !strings.Contains(line, named) })
	g.t.Logf("%s: health: %s; log: %s", setting, said, log)
	switch {
	case len(lines) != 1:
		g.t.Errorf("with %s the log names %s in %d lines, want one: %s", setting, named, len(lines), log)
	case state.Status == "exited" && state.ExitCode == 0:
		g.t.Errorf("with %s a consumer ends well", setting)
	case state.Status != "exited" && strings.Contains(said, "\n"):
		g.t.Errorf("with %s its health check says more than one line: %s", setting, said)
	}
}

// second runs another stack beside the first, with PostgreSQL.
func (g *guide) second() {
	g.t.Helper()
	dir := g.dir + "-2"
	g.do("cp -a . " + dir + " && rm -r " + filepath.Join(dir, ".env") + " " + filepath.Join(dir, "backup"))
	s := &stack{t: g.t, dir: dir}
	if out, err := s.run("", "make", "compose-env", "LOCAL=1"); err == nil || !strings.Contains(out, "PROJECT=NAME") {
		g.t.Errorf("make compose-env for a second stack of the same name: %v: %s", err, out)
	}
	// The line of the guide, with this test's ports and images.
	line := g.blocks("When something is wrong")[1]
	line = strings.NewReplacer("8081", g.env["ASYNQMON_PORT"], "9091", g.env["PROMETHEUS_PORT"]).Replace(strings.TrimSpace(line))
	s.must("", "bash", "-c", line+" LOCAL=1 PROFILES=demo,pgsql")
	if out, err := s.run("", "docker-compose", "up", "-d", "--no-deps", "asynqmon"); err == nil || !strings.Contains(out, "port is already allocated") && !strings.Contains(out, "address already in use") {
		g.t.Errorf("a second stack with the ports of the first: %v: %s", err, out)
	}
	s.must("", "sed", "-i", "s/^ASYNQMON_PORT=.*/ASYNQMON_PORT=20881/; s/^PROMETHEUS_PORT=.*/PROMETHEUS_PORT=20991/", ".env")
	var err error
	s.env, err = godotenv.Read(filepath.Join(dir, ".env"))
	must(g.t, err)
	two := openGuide(g.t, s)
	two.typed("Start", "docker compose up")
	two.healthy(5 * time.Minute)
	two.polled(50)
	two.late()
	two.pollux("config", "set", "eventlog_purge", "29")
	must(g.t, os.Mkdir(filepath.Join(dir, "backup"), 0o700))
	two.do(two.blocks("Backup")[1])
	if dump, err := os.ReadFile(filepath.Join(dir, "backup", "pollux.sql")); err != nil || !strings.Contains(string(dump), "demo-0001") {
		g.t.Errorf("the dump of PostgreSQL lacks a device: %v", err)
	}
	g.healthy(time.Minute)
	two.do("docker compose down --volumes")
	two.do(two.blocks("Restore")[1])
	two.healthy(5 * time.Minute)
	if kept := two.pollux("config", "get", "eventlog_purge"); !strings.Contains(kept, "29") {
		g.t.Errorf("a setting is not restored into PostgreSQL: %s", kept)
	}
	two.polled(50)
	two.do("docker compose down --volumes")
}

// late starts a consumer whose login the database does not know yet: it waits, and goes on by itself.
func (g *guide) late() {
	g.t.Helper()
	name := "late"
	g.compose("run", "-d", "--name", name, "-e", "DB_USERNAME=late", "-e", "DB_PASSWORD=late", "consumer")
	health := func(format string) string { return g.docker("inspect", "--format", format, name) }
	untilEvery(g.t, time.Second, 2*time.Minute, "it says that its login is wrong", func() bool {
		return strings.Contains(health("{{range .State.Health.Log}}{{.Output}}{{end}}"), "database")
	})
	g.do(`docker compose exec -T postgres psql --username=pollux --command "CREATE ROLE late LOGIN PASSWORD 'late'; GRANT pollux TO late" pollux`)
	untilEvery(g.t, time.Second, 2*time.Minute, "it is healthy", func() bool { return health("{{.State.Health.Status}}") == "healthy" })
	if restarts := health("{{.RestartCount}}"); restarts != "0" {
		g.t.Errorf("it was restarted %s times", restarts)
	}
	g.docker("stop", "-t", "60", name)
	g.docker("rm", name)
}
