package polluxtest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the drivers that make a fresh database for a test
	_ "github.com/jackc/pgx/v5/stdlib"

	"pollux/config"
	"pollux/secret"
)

// sqlServer is one database server that all tests of a binary share, because
// making its system tables takes seconds. The guard ends it with the binary.
type sqlServer struct {
	once    sync.Once
	server  *Server
	release func() // of its guard: kept, since a collected pipe would end the server in mid-test
	port    int
	admin   *sql.DB
	err     error
}

var (
	mariaDB, postgreSQL sqlServer
	databases           atomic.Int64
)

const (
	sqlUser     = "pollux"
	sqlPassword = "correct horse"
)

// MariaDB returns a fresh, empty database of a real MariaDB.
func MariaDB(t testing.TB) config.Database {
	t.Helper()
	mariaDB.once.Do(func() { mariaDB.err = mariaDB.startMariaDB(t) })
	return mariaDB.fresh(t, config.MySQL, func(name string) []string {
		return []string{"CREATE DATABASE " + name + " CHARACTER SET utf8mb4"}
	})
}

// OwnMariaDB is MariaDB with a server that no other test uses, so that this one may end it.
func OwnMariaDB(t testing.TB) (config.Database, *Server) {
	t.Helper()
	own := &sqlServer{}
	own.err = own.startMariaDB(t)
	t.Cleanup(func() {
		if own.admin != nil {
			_ = own.admin.Close()
		}
		if own.server != nil && own.release != nil {
			own.server.Kill()
			own.release()
		}
	})
	database := own.fresh(t, config.MySQL, func(name string) []string {
		return []string{"CREATE DATABASE " + name + " CHARACTER SET utf8mb4"}
	})
	return database, own.server
}

// PostgreSQL returns a fresh, empty database of a real PostgreSQL.
func PostgreSQL(t testing.TB) config.Database {
	t.Helper()
	postgreSQL.once.Do(func() { postgreSQL.err = postgreSQL.startPostgreSQL(t) })
	return postgreSQL.fresh(t, config.PostgreSQL, func(name string) []string {
		return []string{"CREATE DATABASE " + name + " OWNER " + sqlUser}
	})
}

func (s *sqlServer) fresh(t testing.TB, connection string, statements func(name string) []string) config.Database {
	t.Helper()
	if s.err != nil {
		t.Fatalf("start the %s server: %v", connection, s.err)
	}
	name := fmt.Sprintf("pollux_%d", databases.Add(1))
	for _, statement := range statements(name) {
		if _, err := s.admin.Exec(statement); err != nil {
			t.Fatalf("make a fresh database: %v", err)
		}
	}
	return config.Database{
		Connection: connection, Host: "127.0.0.1", Port: uint16(s.port), Name: name,
		Username: sqlUser, Password: secret.New(sqlPassword), SSLMode: "DISABLED",
	}
}

func (s *sqlServer) prepare(name string) error {
	dir, err := os.MkdirTemp("/tmp", "pxt")
	if err != nil {
		return err
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	s.server = &Server{name: name, Dir: dir, Log: filepath.Join(dir, "log")}
	s.release, err = s.server.guard()
	return err
}

func (s *sqlServer) startMariaDB(t testing.TB) error {
	if err := s.prepare("mariadbd"); err != nil {
		return err
	}
	data, socket := filepath.Join(s.server.Dir, "data"), filepath.Join(s.server.Dir, "sock")
	// Two servers that are made at once must not share their temporary tables.
	common := []string{"--no-defaults", "--datadir=" + data, "--tmpdir=" + s.server.Dir, "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2"}
	who := "--user=" + currentUser()
	install := exec.Command("mariadb-install-db", append(append([]string{}, common...), who, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	s.server.t = t
	s.server.command = func() *exec.Cmd {
		return exec.Command("mariadbd", append(append([]string{}, common...), who, "--bind-address=127.0.0.1",
			"--port="+strconv.Itoa(s.port), "--socket="+socket, "--pid-file="+filepath.Join(s.server.Dir, "pid"), "--max-connections=500")...)
	}
	s.server.ready = func() error { return dial("unix", socket) }
	if err := s.server.start(); err != nil {
		return err
	}
	var err error
	if s.admin, err = sql.Open("mysql", "root@unix("+socket+")/"); err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE USER " + sqlUser + "@'127.0.0.1' IDENTIFIED BY '" + sqlPassword + "'",
		"GRANT ALL ON `pollux\\_%`.* TO " + sqlUser + "@'127.0.0.1'",
	} {
		if _, err := s.admin.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlServer) startPostgreSQL(t testing.TB) error {
	if err := s.prepare("postgres"); err != nil {
		return err
	}
	account, err := postgresAccount(s.server.Dir)
	if err != nil {
		return err
	}
	bin := "/usr/lib/postgresql"
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		bin = filepath.Dir(found[len(found)-1])
	}
	data := filepath.Join(s.server.Dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	initdb.SysProcAttr, initdb.Dir = account, s.server.Dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Everybody but the superuser on the unix socket gives a password, so that wrong ones can be tested.
	rules := "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(rules), 0o644); err != nil {
		return err
	}
	s.server.t = t
	s.server.command = func() *exec.Cmd {
		command := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port), "-k", s.server.Dir,
			"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=300", "-c", "shared_buffers=32MB")
		command.SysProcAttr, command.Dir = account, s.server.Dir
		return command
	}
	s.server.ready = func() error {
		admin, err := sql.Open("pgx", fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", s.server.Dir, s.port))
		if err != nil {
			return err
		}
		if err := admin.Ping(); err != nil {
			_ = admin.Close()
			return err
		}
		s.admin = admin
		return nil
	}
	if err := s.server.start(); err != nil {
		return err
	}
	_, err = s.admin.Exec("CREATE USER " + sqlUser + " PASSWORD '" + sqlPassword + "'")
	return err
}

// postgresAccount gives the folder to the postgres user when the tests run as root, because the server refuses root.
func postgresAccount(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func currentUser() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return "root"
}
