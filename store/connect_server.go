package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"pollux/config"
)

// exchangeTimeout ends a MySQL exchange on a connection that went dead without a word.
const exchangeTimeout = 60 * time.Second

func openMySQL(c config.Database, log *slog.Logger) (*sql.DB, error) {
	m := mysql.NewConfig()
	m.User, m.Passwd, m.DBName = c.Username, c.Password.Reveal(), c.Name
	m.Net, m.Addr = "tcp", hostPort(c, 3306)
	if c.Socket != "" {
		m.Net, m.Addr = "unix", c.Socket
	}
	m.Timeout, m.ReadTimeout, m.WriteTimeout = connectTimeout, exchangeTimeout, exchangeTimeout
	// An UPDATE then counts the rows that it matched, as PostgreSQL and SQLite
	// do, and not those whose values it changed.
	m.ClientFoundRows = true
	m.ParseTime, m.Loc = true, time.UTC
	m.RejectReadOnly = true // after a failover: leave a server that became a replica
	m.Logger = driverLog{log}
	// TRADITIONAL: refuse what does not fit instead of cutting it silently. It
	// also turns off ANSI_QUOTES and NO_BACKSLASH_ESCAPES, with which bun's quoting would be wrong.
	m.Params = map[string]string{"sql_mode": "'TRADITIONAL'", "time_zone": "'+00:00'"}
	tls, err := tlsConfig(c)
	switch {
	case err != nil:
		return nil, err
	case c.Socket != "":
	case tls != nil:
		m.TLS = tls
	case c.SSLMode == "":
		m.TLSConfig = "preferred"
	}
	connector, err := mysql.NewConnector(m)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to MySQL: %w", err)
	}
	return limitPool(sql.OpenDB(connector)), nil
}

func openPostgreSQL(c config.Database) (*sql.DB, error) {
	// The driver takes what is left out here from PG* variables of the environment; all that matters is set below.
	p, err := pgx.ParseConfig("host=localhost user=pollux dbname=pollux sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to PostgreSQL: %w", err)
	}
	p.User, p.Password, p.Database = c.Username, c.Password.Reveal(), c.Name
	p.Host, p.Port = c.Host, port(c, 5432)
	p.Fallbacks, p.TLSConfig = nil, nil
	p.ConnectTimeout = connectTimeout
	// bun writes arguments into the text, so no statement comes twice: preparing each would double the exchanges.
	p.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	p.RuntimeParams = map[string]string{
		"application_name": "pollux", "client_encoding": "UTF8", "standard_conforming_strings": "on", "TimeZone": "UTC",
	}
	tls, err := tlsConfig(c)
	switch {
	case err != nil:
		return nil, err
	case c.Socket != "":
		p.Host, p.Port = socketFolder(c.Socket, p.Port)
	case tls != nil:
		p.TLSConfig = tls
	case c.SSLMode == "":
		p.TLSConfig = unverified()
		p.Fallbacks = []*pgconn.FallbackConfig{{Host: p.Host, Port: p.Port}}
	}
	return limitPool(stdlib.OpenDB(*p)), nil
}

// socketFolder accepts the folder of PostgreSQL's socket or the socket itself, ".s.PGSQL.5432" in that folder.
func socketFolder(socket string, port uint16) (string, uint16) {
	number, found := strings.CutPrefix(filepath.Base(socket), ".s.PGSQL.")
	if !found {
		return socket, port
	}
	if n, err := strconv.ParseUint(number, 10, 16); err == nil {
		port = uint16(n)
	}
	return filepath.Dir(socket), port
}

func port(c config.Database, standard uint16) uint16 {
	if c.Port == 0 {
		return standard
	}
	return c.Port
}

func hostPort(c config.Database, standard uint16) string {
	return net.JoinHostPort(c.Host, strconv.Itoa(int(port(c, standard))))
}

// describe names the database in errors; no login in it.
func describe(c config.Database) string {
	switch {
	case c.Connection == config.SQLite:
		return "sqlite file " + c.Name
	case c.Socket != "":
		return c.Connection + " " + c.Name + " at " + c.Socket
	case c.Connection == config.PostgreSQL:
		return c.Connection + " " + c.Name + " at " + hostPort(c, 5432)
	default:
		return c.Connection + " " + c.Name + " at " + hostPort(c, 3306)
	}
}

// driverLog takes what the MySQL driver would print to standard error; the errors themselves are returned besides.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Print(v ...any) {
	d.log.Log(context.Background(), slog.LevelDebug, "mysql driver", "text", fmt.Sprint(v...))
}
