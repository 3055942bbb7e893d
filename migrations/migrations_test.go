package migrations_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"pollux/config"
	"pollux/migrations"
	"pollux/polluxtest"
	"pollux/secret"
)

var update = flag.Bool("update", false, "write the golden schemas anew")

// engines open a fresh database; each call of what they return is another connection pool to it.
func engines() map[string]func(*testing.T) func() *bun.DB {
	return map[string]func(*testing.T) func() *bun.DB{
		"sqlite": func(t *testing.T) func() *bun.DB {
			file := filepath.Join(t.TempDir(), "pollux.db")
			return func() *bun.DB {
				pool := open(t, "sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
				return bun.NewDB(pool, sqlitedialect.New())
			}
		},
		"mysql": func(t *testing.T) func() *bun.DB {
			c := polluxtest.MariaDB(t)
			return func() *bun.DB {
				return bun.NewDB(open(t, "mysql", login(c)+"@tcp("+address(c)+")/"+c.Name+"?parseTime=true&multiStatements=false"), mysqldialect.New())
			}
		},
		"pgsql": func(t *testing.T) func() *bun.DB {
			c := polluxtest.PostgreSQL(t)
			return func() *bun.DB {
				return bun.NewDB(open(t, "pgx", "postgres://"+url.UserPassword(c.Username, c.Password.Reveal()).String()+"@"+address(c)+"/"+c.Name), pgdialect.New())
			}
		},
	}
}

func login(c config.Database) string   { return c.Username + ":" + c.Password.Reveal() }
func address(c config.Database) string { return fmt.Sprintf("%s:%d", c.Host, c.Port) }

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func migrator(t *testing.T, db *bun.DB, c migrations.Config) *migrations.Migrator {
	t.Helper()
	m, err := migrations.New(db, c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A fixed key, since each engine's tests open their database several times.
func keyed() migrations.Config { return migrations.Config{Key: numbered(1)} }

// numbered is a key of the bytes n, n+1, n+2, ...
func numbered(n byte) secret.Key {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = n + byte(i)
	}
	key, err := secret.ParseKey(secret.New("base64:" + base64.StdEncoding.EncodeToString(raw)))
	if err != nil {
		panic(err)
	}
	return key
}

func onEachEngine(t *testing.T, run func(t *testing.T, connect func() *bun.DB)) {
	for name, fresh := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, fresh(t))
		})
	}
}

func up(t *testing.T, m *migrations.Migrator) []string {
	t.Helper()
	done, err := m.Up(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, connect func() *bun.DB) {
		db := connect()
		m := migrator(t, db, keyed())
		if list, err := m.Status(t.Context()); err != nil || len(list) < 2 || list[0].Applied || list[0].Name != "0001_inventory" {
			t.Fatalf("status of an empty database: %+v, %v", list, err)
		}
		if empty := schema(t, db); empty != "" {
			t.Fatalf("the status changed the database: %s", empty)
		}
		all := up(t, m)
		first := schema(t, db)
		golden(t, db, first)
		if list, err := m.Status(t.Context()); err != nil || len(list) != len(all) || !list[0].Applied || time.Since(list[0].At).Abs() > time.Hour {
			t.Errorf("status after up: %+v, %v", list, err)
		}
		if again := up(t, m); len(again) != 0 {
			t.Errorf("a second up did %v", again)
		}
		id := identity(t, m)
		down, err := m.Down(t.Context(), false)
		if err != nil || len(down) != 1 || down[0] != all[len(all)-1] {
			t.Errorf("one step down: %v, %v", down, err)
		}
		if err := m.Check(t.Context()); !errors.Is(err, migrations.ErrOld) {
			t.Errorf("check after one step down: %v", err)
		}
		if redone := up(t, m); len(redone) != 1 || identity(t, m) != id || schema(t, db) != first {
			t.Errorf("up again did %v, identity %v before, %v now", redone, id, identity(t, m))
		}
		if down, err = m.Down(t.Context(), true); err != nil || len(down) != len(all) {
			t.Errorf("all down: %v, %v", down, err)
		}
		if left := schema(t, db); left != "" {
			t.Errorf("all down left %s", left)
		}
		up(t, m)
		if schema(t, db) != first {
			t.Errorf("up after down differs:\n%s", schema(t, db))
		}
		if identity(t, m).ClusterID == id.ClusterID {
			t.Error("a new database got the id of the old one")
		}
	})
}

// What an engine can roll back, it is to roll back: its names say so.
func TestMigrationsOfEnginesThatRollBackAreTransactions(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"sqlite", "pgsql"} {
		names, err := filepath.Glob(filepath.Join(folder, "*.sql"))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if !strings.Contains(name, ".tx.") {
				t.Errorf("%s is no transaction", name)
			}
		}
	}
}

// A crash in the middle of a migration leaves its lock and, where DDL cannot be rolled back, some tables.
func TestCrashIsRecoverable(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, connect func() *bun.DB) {
		db := connect()
		c := keyed()
		c.LockWait = time.Millisecond
		m := migrator(t, db, c)
		if removed, err := m.Unlock(t.Context()); removed || err != nil {
			t.Errorf("unlock of an empty database: %v, %v", removed, err)
		}
		up(t, m)
		halves := []string{ // 0002 stopped half-way
			"DELETE FROM bun_migrations WHERE name = '0002'", "DROP TABLE device_outages",
		}
		left := 2
		if db.Dialect().Name() == dialect.MySQL { // 0003, 0005 and 0011 too, after the columns that they add; elsewhere they would have been rolled back
			halves = append(halves, "DELETE FROM bun_migrations WHERE name IN ('0003', '0005', '0011')", "DROP TABLE node_history", "DROP TABLE credential_sets")
			left = 5
		}
		for _, statement := range append(halves,
			"DELETE FROM bun_migrations WHERE name = '0001'", "DELETE FROM cluster_identity", // 0001 was not marked yet
			"INSERT INTO bun_migration_locks (table_name) VALUES ('bun_migrations')",
		) {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Up(t.Context()); !errors.Is(err, migrations.ErrLocked) || !strings.Contains(err.Error(), "pollux migrate unlock") {
			t.Errorf("up with the lock of a crashed process: %v", err)
		}
		if _, err := m.Down(t.Context(), true); !errors.Is(err, migrations.ErrLocked) {
			t.Errorf("down with the lock of a crashed process: %v", err)
		}
		if removed, err := m.Unlock(t.Context()); !removed || err != nil {
			t.Errorf("unlock: %v, %v", removed, err)
		}
		if done := up(t, m); len(done) != left {
			t.Errorf("after the crash up did %v", done)
		}
		golden(t, db, schema(t, db))
		identity(t, m)
	})
}

func TestUpWaitsForTheLock(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, connect func() *bun.DB) {
		db := connect()
		up(t, migrator(t, db, keyed()))
		if _, err := db.Exec("INSERT INTO bun_migration_locks (table_name) VALUES ('bun_migrations')"); err != nil {
			t.Fatal(err)
		}
		waiting := &signalLog{seen: make(chan struct{})}
		m, err := migrations.New(connect(), keyed(), slog.New(waiting))
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() {
			_, err := m.Up(t.Context())
			result <- err
		}()
		<-waiting.seen
		if _, err := migrator(t, db, keyed()).Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Errorf("it waited and got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Up(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// signalLog tells that something was logged.
type signalLog struct {
	slog.Handler
	once sync.Once
	seen chan struct{}
}

func (s *signalLog) Enabled(context.Context, slog.Level) bool { return true }

func (s *signalLog) Handle(context.Context, slog.Record) error {
	s.once.Do(func() { close(s.seen) })
	return nil
}

func TestSeveralNodesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, connect func() *bun.DB) {
		const nodes = 4
		applied := make(chan []string, nodes)
		var wait sync.WaitGroup
		for range nodes {
			m := migrator(t, connect(), keyed())
			wait.Go(func() {
				done, err := m.Up(t.Context())
				if err != nil {
					t.Error(err)
				}
				applied <- done
			})
		}
		wait.Wait()
		close(applied)
		total := 0
		for done := range applied {
			total += len(done)
		}
		db := connect()
		if list, err := migrator(t, db, keyed()).Status(t.Context()); err != nil || total != len(list) {
			t.Errorf("%d migrations were applied, status %+v, %v", total, list, err)
		}
		golden(t, db, schema(t, db))
	})
}

func TestAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, connect func() *bun.DB) {
		db := connect()
		mine, other := numbered(1), numbered(100)
		up(t, migrator(t, db, migrations.Config{Key: mine}))
		try := func(key secret.Key) error {
			_, err := migrator(t, db, migrations.Config{Key: key}).Up(t.Context())
			return err
		}
		err := try(other.WithFormer(numbered(200)))
		if !errors.Is(err, migrations.ErrKey) {
			t.Fatalf("up with another key: %v", err)
		}
		for _, id := range []string{mine.ID(), other.ID(), numbered(200).ID()} {
			if !strings.Contains(err.Error(), id) {
				t.Errorf("the error does not name the key %s: %v", id, err)
			}
		}
		if err := try(other.WithFormer(mine)); err != nil {
			t.Errorf("up with the key as a former one: %v", err)
		}
		// A key of the same name is no proof.
		if _, err := db.Exec("UPDATE cluster_identity SET key_check = ?", strings.Repeat("5a", 16)); err != nil {
			t.Fatal(err)
		}
		if err := try(mine); !errors.Is(err, migrations.ErrKey) {
			t.Errorf("up with another key of the same name: %v", err)
		}
	})
}

func identity(t *testing.T, m *migrations.Migrator) migrations.Identity {
	t.Helper()
	id, err := m.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{18}$`).MatchString(id.ClusterID) || id.KeyID != keyed().Key.ID() {
		t.Errorf("identity %+v", id)
	}
	return id
}

// golden compares a schema with the committed one of its engine.
func golden(t *testing.T, db *bun.DB, got string) {
	t.Helper()
	file := filepath.Join("testdata", fmt.Sprintf("schema.%s.golden", db.Dialect().Name()))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the schema is not that of %s (run the test with -update when that is meant):\n%s", file, got)
	}
}
