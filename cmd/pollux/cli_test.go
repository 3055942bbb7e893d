package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

// What no output may ever hold: every result is searched for the word that they share.
const (
	canary          = "CANARY"
	canaryCommunity = "CANARY-community"
	canaryAuth      = "CANARY-auth-password"
	canaryPriv      = "CANARY-priv-password"
)

const cliLimit = 90 * time.Second // of one command; generous, since tests share few cores

// site is one node's configuration with a directory of its own.
type site struct {
	t       testing.TB
	dir     string
	environ []string // later ones win
}

// newSite has a key, a name and a SQLite file that does not exist yet. The
// configuration stands in a file, so that none of this machine's is read.
func newSite(t testing.TB, more ...string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pxc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	key, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "env")
	if err := os.WriteFile(file, []byte("APP_KEY="+key.Reveal()+"\nNODE_ID=node-1\nREDIS_TIMEOUT=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &site{t: t, dir: dir, environ: append([]string{
		"PATH=" + os.Getenv("PATH"), "POLLUX_ENV_FILE=" + file, "POLLUX_OPS_LISTEN=127.0.0.1:0", "DB_DATABASE=" + filepath.Join(dir, "pollux.db"),
	}, more...)}
}

// migrated is a newSite whose schema is there, whose SNMP does not wait long, and
// which may ask this machine. ICMP is for the tests of it: who runs this one may not be allowed to send it.
func migrated(t testing.TB, more ...string) *site {
	t.Helper()
	s := newSite(t, more...)
	s.ok("migrate", "up")
	s.ok("config", "set", "snmp.retries", "0")
	s.ok("config", "set", "nets.allow", "127.0.0.0/8")
	s.ok("config", "set", "icmp_check", "false")
	return s
}

// with is the site of another environment.
func (s *site) with(more ...string) *site {
	return &site{t: s.t, dir: s.dir, environ: append(append([]string{}, s.environ...), more...)}
}

// in is the site for a subtest.
func (s *site) in(t testing.TB) *site { return &site{t: t, dir: s.dir, environ: s.environ} }

func (s *site) database() string { return filepath.Join(s.dir, "pollux.db") }

// databaseVariables are those of .env for a database.
func databaseVariables(d config.Database) []string {
	return []string{
		"DB_CONNECTION=" + d.Connection, "DB_HOST=" + d.Host, fmt.Sprintf("DB_PORT=%d", d.Port), "DB_DATABASE=" + d.Name,
		"DB_USERNAME=" + d.Username, "DB_PASSWORD=" + d.Password.Reveal(), "DB_SSLMODE=" + d.SSLMode,
	}
}

// result is what one command line gave.
type result struct {
	t           testing.TB
	line        string
	code        int
	out, errout string
}

// call carries out a command line in this process.
func (s *site) call(args ...string) result { s.t.Helper(); return s.callWith("", args...) }

func (s *site) callWith(input string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cliLimit)
	defer cancel()
	var out, errout bytes.Buffer
	code := run(ctx, args, strings.NewReader(input), &out, &errout, s.environ)
	return s.result(args, code, out.String(), errout.String())
}

// spawn carries it out in a process of its own: what talks to Redis sets the library's logger for its process.
func (s *site) spawn(args ...string) result {
	s.t.Helper()
	p := s.start(args...)
	code := p.wait(cliLimit)
	return s.result(args, code, p.out.String(), p.errout.String())
}

func (s *site) result(args []string, code int, out, errout string) result {
	s.t.Helper()
	r := result{t: s.t, line: fmt.Sprintf("pollux %.300q", args), code: code, out: out, errout: errout}
	if strings.Contains(out+errout, canary) {
		s.t.Errorf("%s: a secret is shown:\n%s%s", r.line, out, errout)
	}
	return r
}

// ok is a command line that must work; it returns the standard output.
func (s *site) ok(args ...string) string { s.t.Helper(); return s.call(args...).works() }

func (r result) works() string {
	r.t.Helper()
	if r.code != exitOK || r.errout != "" {
		r.t.Fatalf("%s: exit code %d, want 0:\n%s%s", r.line, r.code, r.out, r.errout)
	}
	return r.out
}

// fails checks the exit code and the one line that says what to do. Lines of a log are not counted.
func (r result) fails(code int, says ...string) {
	r.t.Helper()
	if r.code != code {
		r.t.Errorf("%s: exit code %d, want %d", r.line, r.code, code)
	}
	var lines []string
	for line := range strings.Lines(r.errout) {
		if !strings.HasPrefix(line, `{"time":`) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "pollux: ") || !strings.HasSuffix(lines[0], "\n") {
		r.t.Errorf("%s: want one line of error, got:\n%s", r.line, r.errout)
		return
	}
	for _, word := range says {
		if !strings.Contains(lines[0], word) {
			r.t.Errorf("%s: the error does not say %q: %s", r.line, word, lines[0])
		}
	}
}

// decode reads the one JSON value of the output.
func decode[T any](r result) (value T) {
	r.t.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.works()))
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		r.t.Fatalf("%s: not one JSON value (%v):\n%s", r.line, err, r.out)
	}
	return value
}

// dump is all that a SQLite file holds, with its schema.
func dump(t testing.TB, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var text strings.Builder
	tables := rows(t, db, "SELECT name, sql FROM sqlite_master ORDER BY type, name")
	for _, table := range tables {
		fmt.Fprintln(&text, table...)
	}
	// The lock of the migrations comes and goes while another test migrates beside this one.
	for _, table := range rows(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'bun_migration_locks' ORDER BY name") {
		for _, row := range rows(t, db, fmt.Sprintf("SELECT * FROM %q ORDER BY 1, 2", table[0])) {
			if row[0] == "bun_migration_locks" {
				continue // counts how often the lock was taken
			}
			fmt.Fprintln(&text, append([]any{table[0]}, row...)...)
		}
	}
	return text.String()
}

// unchanged compares the site's database with an earlier dump.
func (s *site) unchanged(before string) {
	s.t.Helper()
	after := dump(s.t, s.database())
	if after == before {
		return
	}
	old := strings.Split(before, "\n")
	for i, line := range strings.Split(after, "\n") {
		if i >= len(old) || line != old[i] {
			s.t.Errorf("the database changed: now line %d is %q", i, line)
			return
		}
	}
	s.t.Errorf("the database lost lines")
}

func rows(t testing.TB, db *sql.DB, query string) (all [][]any) {
	t.Helper()
	found, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := found.Scan(places...); err != nil {
			t.Fatal(err)
		}
		all = append(all, values)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// freeUDP is a port at which nothing answers.
func freeUDP(t testing.TB) string { return strconv.Itoa(polluxtest.FreePort(t)) }

func portText(port uint16) string { return strconv.Itoa(int(port)) }
