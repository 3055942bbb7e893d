package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"pollux/migrations"
)

// What a caller may tell apart with errors.Is.
var (
	ErrUnavailable = errors.New("the database does not answer")
	ErrCredentials = errors.New("the database refuses the login")
	ErrNoDatabase  = errors.New("the server has no such database")
	ErrSchemaOld   = migrations.ErrOld
	ErrSchemaNew   = migrations.ErrNew
	ErrKeyMismatch = migrations.ErrKey
	ErrNotFound    = errors.New("not found")
	ErrDuplicate   = errors.New("there is one already")
	ErrInvalid     = errors.New("invalid")
	ErrChanged     = errors.New("somebody else changed it meanwhile")
)

// failure is an error in one line that says what to do.
type failure struct {
	text  string
	kinds []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.kinds }

// fail says what was being done. An error that the connection or the server
// caused becomes one of the sentinels and one line with what to do about it.
func (s *Store) fail(doing string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	sentinel, advice := s.diagnose(err)
	text := doing + ": "
	kinds := []error{err}
	if sentinel != nil {
		text += sentinel.Error() + " (" + s.where + "); " + advice + ": "
		kinds = []error{sentinel, err}
	}
	return &failure{text: text + oneLine(err.Error()), kinds: kinds}
}

// diagnose returns nil for an error that says all there is to say.
func (s *Store) diagnose(err error) (sentinel error, advice string) {
	switch {
	case refusesLogin(err):
		return ErrCredentials, "check DB_USERNAME and DB_PASSWORD, and what the user is granted"
	case s.file != "" && (hasCode(err, 0, "", sqlite3.SQLITE_CANTOPEN) || onFile(err)):
		return ErrNoDatabase, adviceOnFile(s.file)
	case hasCode(err, 1049, "3D000", 0), onFile(err):
		return ErrNoDatabase, "create it, or check DB_DATABASE"
	case hasCode(err, 0, "", sqlite3.SQLITE_NOTADB):
		return ErrNoDatabase, "the file is something else; check DB_DATABASE"
	case unavailable(err):
		return ErrUnavailable, "start it, or check DB_HOST, DB_PORT and DB_SOCKET"
	}
	return nil, ""
}

// adviceOnFile tells a folder that is missing from one that may not be used.
func adviceOnFile(file string) string {
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return "the folder " + folder + " does not exist; create it, or check --data-dir and DB_DATABASE"
	}
	return "check who may read and write it and its folder, or check DB_DATABASE"
}

// onFile says that a file or directory cannot be used, which is no matter of the network although its error has the same methods.
func onFile(err error) bool {
	var file *fs.PathError
	return errors.As(err, &file)
}

func refusesLogin(err error) bool {
	return hasCode(err, 1045, "28P01", 0) || hasCode(err, 1044, "28000", 0) || hasCode(err, 1698, "", 0)
}

// unavailable is any error that a server which is down, starting, stopping, full or behind a broken network causes.
func unavailable(err error) bool {
	var network net.Error
	var connecting *pgconn.ConnectError
	return lost(err) || errors.As(err, &network) || errors.As(err, &connecting) || errors.Is(err, context.DeadlineExceeded) ||
		hasCode(err, 1040, "53300", 0) || // too many connections
		hasCode(err, 1129, "57P03", sqlite3.SQLITE_BUSY) // host blocked; cannot connect now
}

// lost says that the connection broke, so that nobody knows whether the last statement was carried out.
func lost(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op != "dial" || pgconn.SafeToRetry(err) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		hasCode(err, 1053, "57P01", 0) || hasCode(err, 0, "57P02", 0) || hasClass(err, "08")
}

// transient says that the same transaction may succeed when it is tried again.
func transient(err error) bool {
	return hasCode(err, 1213, "40001", sqlite3.SQLITE_BUSY) || // deadlock; serialization failure
		hasCode(err, 1205, "40P01", sqlite3.SQLITE_LOCKED) || // lock wait timeout; deadlock
		hasCode(err, 1020, "55P03", 0) || // MariaDB: record changed since last read
		hasCode(err, 1290, "25006", 0) || // a server that became read-only
		errors.Is(err, errAgain) || lost(err)
}

// duplicate says that a row with a unique value was there already.
func duplicate(err error) bool {
	return hasCode(err, 1062, "23505", sqlite3.SQLITE_CONSTRAINT_UNIQUE) || hasCode(err, 1586, "", sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// orphan says that a row would have named another one that is not there, such as a group that was removed just now.
func orphan(err error) bool { return hasCode(err, 1452, "23503", sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) }

// hasCode compares with the code of MySQL, of PostgreSQL (SQLSTATE) or of
// SQLite, whichever engine the error is from; 0 and "" stand for none.
func hasCode(err error, my uint16, pg string, lite int) bool {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return my != 0 && m.Number == my
	}
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return pg != "" && p.Code == pg
	}
	var l *sqlite.Error
	if errors.As(err, &l) {
		// The low byte is the primary code, the rest tells variants apart (https://sqlite.org/rescode.html).
		return lite != 0 && (l.Code() == lite || lite <= 0xff && l.Code()&0xff == lite)
	}
	return false
}

func hasClass(err error, class string) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && strings.HasPrefix(p.Code, class)
}

// oneLine joins the lines of a driver's error.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
