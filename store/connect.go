package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"pollux/config"
)

const (
	connectTimeout = 5 * time.Second  // for one new connection
	pingTimeout    = 5 * time.Second  // for Ping, and for the first contact
	readTimeout    = 30 * time.Second // for one read
	maxOpen        = 16               // connections of one process: with 50 processes 800, below what servers are commonly set to
	maxIdle        = time.Minute      // then a connection is closed: opening one costs a server as much as dozens of statements
	maxLifetime    = 5 * time.Minute  // so that connections follow a failover of the server
	sqliteReaders  = 4
)

// connect opens the database and asks it something once. With SQLite the
// second pool is for reads: writers of one file wait for each other anyway, so
// they share one connection, and readers do not wait for them (WAL).
func connect(ctx context.Context, c config.Database, log *slog.Logger, create bool) (db, reads *bun.DB, err error) {
	var pool, readers *sql.DB
	var dialect func() schema.Dialect
	switch c.Connection {
	case config.MySQL:
		pool, err = openMySQL(c, log)
		dialect = func() schema.Dialect { return mysqldialect.New() }
	case config.PostgreSQL:
		pool, err = openPostgreSQL(c)
		dialect = func() schema.Dialect { return pgdialect.New() }
	case config.SQLite:
		pool, readers, err = openSQLite(c.Name, create)
		dialect = func() schema.Dialect { return sqlitedialect.New() }
	default:
		err = fmt.Errorf("%w: DB_CONNECTION is %.20q, want mysql, pgsql or sqlite", ErrInvalid, c.Connection)
	}
	if err != nil {
		return nil, nil, err
	}
	if readers == nil {
		readers = pool
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	// Before bun sees the pool: its MySQL dialect asks for the version and only prints when that fails.
	if err := pool.PingContext(ctx); err != nil {
		_ = readers.Close()
		_ = pool.Close()
		return nil, nil, err
	}
	db = bun.NewDB(pool, dialect()).WithQueryHook(queryLog{log: log})
	reads = db
	if readers != pool {
		reads = bun.NewDB(readers, dialect()).WithQueryHook(queryLog{log: log})
	}
	return db, reads, nil
}

func limitPool(pool *sql.DB) *sql.DB {
	pool.SetMaxOpenConns(maxOpen)
	pool.SetMaxIdleConns(maxOpen)
	pool.SetConnMaxIdleTime(maxIdle)
	pool.SetConnMaxLifetime(maxLifetime)
	return pool
}

// openSQLite opens the file. WAL lets readers go on beside the writer;
// synchronous=NORMAL may lose the last writes in a power cut but never the
// file (https://sqlite.org/wal.html), and what is lost is a poll's state,
// which the next poll writes again.
func openSQLite(path string, create bool) (writer, readers *sql.DB, err error) {
	if path == "" || path == ":memory:" {
		return nil, nil, fmt.Errorf("%w: DB_DATABASE must be the path of a file for sqlite", ErrInvalid)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, nil, fmt.Errorf("find the path of the SQLite file: %w", err)
	}
	if create {
		// Made here and not by SQLite, whose mode would be 0644: the file holds credentials, if sealed.
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("make the SQLite file: %w", err)
		}
		if err := file.Close(); err != nil {
			return nil, nil, fmt.Errorf("make the SQLite file: %w", err)
		}
	} else if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w (there is no file %s yet)", ErrSchemaOld, path)
	}
	if writer, err = sql.Open("sqlite", sqliteDSN(path, "journal_mode(WAL)")); err != nil {
		return nil, nil, fmt.Errorf("open the SQLite file: %w", err)
	}
	writer.SetMaxOpenConns(1)
	if readers, err = sql.Open("sqlite", sqliteDSN(path, "query_only(1)")); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the SQLite file: %w", err), writer.Close())
	}
	readers.SetMaxOpenConns(sqliteReaders)
	readers.SetMaxIdleConns(sqliteReaders)
	return writer, readers, nil
}

// sqliteDSN names the file as a URI (https://sqlite.org/uri.html). Transactions
// take the write lock when they begin: taken later, it can fail at once however long busy_timeout is.
func sqliteDSN(path, pragma string) string {
	busy := strconv.FormatInt(connectTimeout.Milliseconds(), 10)
	query := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(" + busy + ")", pragma, "foreign_keys(1)", "synchronous(NORMAL)"},
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}
