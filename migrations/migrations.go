// Package migrations holds the ordered SQL of the database, embedded, and
// brings a database to the newest schema or back.
//
// It must not open connections, and must not read or change what the tables
// hold, except the identity of the cluster, which the first migration makes.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/migrate"

	"pollux/secret"
)

// One folder per engine, because no SQL for counting ids, for collations and
// for indexes is common to all three. Files end in .tx.up.sql where the engine
// can roll DDL back; MySQL cannot, so its files must pass when they are run again.
//
//go:embed sqlite/*.sql mysql/*.sql pgsql/*.sql
var files embed.FS

// ErrOld says that the database lacks migrations which this program has.
var ErrOld = errors.New("the database schema is older than this program; run: pollux migrate up")

// ErrNew says that the database has migrations which this program does not know.
var ErrNew = errors.New("the database schema is newer than this program; upgrade the pollux binary of this node")

// Config is what a Migrator must be told.
type Config struct {
	Key      secret.Key    // the APP_KEY, which an empty database is put under, with the former ones
	LockWait time.Duration // how long to wait for the lock of another migration; 0 means 30 s
}

// defaultLockWait is longer than any migration of today takes, so that nodes which start together all succeed.
const defaultLockWait = 30 * time.Second

// Migrator brings one database to another schema.
type Migrator struct {
	db       *bun.DB
	migrator *migrate.Migrator
	known    migrate.MigrationSlice // ascending
	config   Config
	log      *slog.Logger
}

// Status is what is known of one migration.
type Status struct {
	Name    string    // such as "0001_inventory"; the number alone when this program does not have it
	Applied bool      // the database has it
	Known   bool      // this program has it
	At      time.Time // when it was applied; zero when it was not
}

// New prepares the migrations of the database's engine. It does not touch the database.
func New(db *bun.DB, config Config, log *slog.Logger) (*Migrator, error) {
	folder, err := folderOf(db)
	if err != nil {
		return nil, err
	}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil, fmt.Errorf("open the embedded migrations: %w", err)
	}
	set := migrate.NewMigrations()
	if err := set.Discover(sub); err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	if config.LockWait <= 0 {
		config.LockWait = defaultLockWait
	}
	return &Migrator{
		db: db,
		// Marked when it succeeded, not before: after a crash in the middle the migration is run again.
		migrator: migrate.NewMigrator(db, set, migrate.WithMarkAppliedOnSuccess(true)),
		known:    set.Sorted(), config: config, log: log,
	}, nil
}

func folderOf(db *bun.DB) (string, error) {
	switch name := db.Dialect().Name(); name {
	case dialect.SQLite:
		return "sqlite", nil
	case dialect.MySQL:
		return "mysql", nil
	case dialect.PG:
		return "pgsql", nil
	default:
		return "", fmt.Errorf("there are no migrations for the database %v", name)
	}
}

// Up applies every migration that the database lacks and returns their names.
// The first one makes the cluster's identity. Several nodes may call it at
// once: they take turns, and the later ones find nothing to do. Errors: ErrNew, ErrKey, ErrLocked.
func (m *Migrator) Up(ctx context.Context) ([]string, error) {
	var done []string
	err := m.locked(ctx, func(ctx context.Context) error {
		if err := m.refuseUnknown(ctx); err != nil {
			return err
		}
		if err := m.checkKey(ctx); err != nil {
			return err
		}
		group, err := m.migrator.Migrate(ctx)
		if err != nil {
			return fmt.Errorf("apply the migration %w", err)
		}
		for i := range group.Migrations {
			done = append(done, group.Migrations[i].String())
		}
		return m.ensureIdentity(ctx)
	})
	return done, err
}

// Down takes back the newest migration, or all of them, and returns their
// names, newest first. What their tables held is gone. Errors: ErrNew, ErrLocked.
func (m *Migrator) Down(ctx context.Context, all bool) ([]string, error) {
	var done []string
	err := m.locked(ctx, func(ctx context.Context) error {
		if err := m.refuseUnknown(ctx); err != nil {
			return err
		}
		state, err := m.migrator.MigrationsWithStatus(ctx)
		if err != nil {
			return fmt.Errorf("read which migrations are applied: %w", err)
		}
		applied := state.Applied()
		if !all && len(applied) > 1 {
			applied = applied[:1]
		}
		for i := range applied {
			step := &applied[i]
			if err := step.Down(ctx, m.migrator, step); err != nil {
				return fmt.Errorf("take back the migration %s: %w", step, err)
			}
			if err := m.migrator.MarkUnapplied(ctx, step); err != nil {
				return fmt.Errorf("mark the migration %s as taken back: %w", step, err)
			}
			done = append(done, step.String())
		}
		return nil
	})
	return done, err
}

// Status lists every migration in order, first to last. It changes nothing, not even in an empty database.
func (m *Migrator) Status(ctx context.Context) ([]Status, error) {
	applied, err := m.applied(ctx)
	if err != nil {
		return nil, err
	}
	var list []Status
	for i := range m.known {
		status := Status{Name: m.known[i].String(), Known: true}
		if at, found := applied[m.known[i].Name]; found {
			status.Applied, status.At = true, at
			delete(applied, m.known[i].Name)
		}
		list = append(list, status)
	}
	for name, at := range applied {
		list = append(list, Status{Name: name, Applied: true, At: at})
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Check returns ErrOld or ErrNew when the database's schema is not the one that this program was written for.
func (m *Migrator) Check(ctx context.Context) error {
	list, err := m.Status(ctx)
	if err != nil {
		return err
	}
	for _, status := range list {
		if !status.Known {
			return ErrNew
		}
	}
	for _, status := range list {
		if !status.Applied {
			return ErrOld
		}
	}
	return nil
}

func (m *Migrator) refuseUnknown(ctx context.Context) error {
	if err := m.Check(ctx); err != nil && !errors.Is(err, ErrOld) {
		return err
	}
	return nil
}

// applied returns when each migration of the database was applied, by its number.
func (m *Migrator) applied(ctx context.Context) (map[string]time.Time, error) {
	exists, err := m.tableExists(ctx, "bun_migrations")
	if err != nil || !exists {
		return nil, err
	}
	list, err := m.migrator.AppliedMigrations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read which migrations are applied: %w", err)
	}
	applied := make(map[string]time.Time, len(list))
	for i := range list {
		applied[list[i].Name] = list[i].MigratedAt
	}
	return applied, nil
}

// tableExists looks into the engine's own tables, since a failed query would say something else on each engine.
func (m *Migrator) tableExists(ctx context.Context, table string) (bool, error) {
	query := "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = ? AND table_schema = "
	switch m.db.Dialect().Name() {
	case dialect.SQLite:
		query = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
	case dialect.MySQL:
		query += "DATABASE()"
	default:
		query += "current_schema()"
	}
	var count int
	if err := m.db.NewRaw(query, table).Scan(ctx, &count); err != nil {
		return false, fmt.Errorf("look for the table %s: %w", table, err)
	}
	return count > 0, nil
}
