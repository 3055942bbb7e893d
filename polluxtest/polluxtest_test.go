package polluxtest_test

import (
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	"pollux/polluxtest"
)

func TestServersRestartWithTheirData(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func() *polluxtest.Server{
		"redis":         func() *polluxtest.Server { return polluxtest.Redis(t) },
		"rrdcached":     func() *polluxtest.Server { return polluxtest.RRDCached(t) },
		"rrdcached tcp": func() *polluxtest.Server { return polluxtest.RRDCachedTCP(t) },
	} {
		s := start()
		if s.PID() == 0 {
			t.Errorf("%s does not run", name)
		}
		s.Kill()
		if s.PID() != 0 {
			t.Errorf("%s runs after Kill", name)
		}
		s.Start()
		s.Stop()
		if _, err := os.Stat(s.Dir); err != nil {
			t.Errorf("%s lost its data: %v", name, err)
		}
	}
}

func TestDatabasesAreFresh(t *testing.T) {
	t.Parallel()
	maria := polluxtest.MariaDB(t)
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%d)/%s", maria.Username, maria.Password.Reveal(), maria.Host, maria.Port, maria.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pg := polluxtest.PostgreSQL(t)
	pgdb, err := sql.Open("pgx", fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable", pg.Host, pg.Port, pg.Username, pg.Password.Reveal(), pg.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer pgdb.Close()
	for name, db := range map[string]*sql.DB{"MariaDB": db, "PostgreSQL": pgdb} {
		if _, err := db.Exec("CREATE TABLE x (id INTEGER)"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if again := polluxtest.MariaDB(t); again.Name == maria.Name {
		t.Error("the second database is the first")
	}
}

func TestSentinelsFailOver(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]polluxtest.SentinelOptions{
		"a password":  {},
		"a user, TLS": {WatcherUser: "pollux", TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := polluxtest.Sentinels(t, options)
			first := f.Master()
			if first != f.Nodes[0] {
				t.Fatalf("the master is %v", first)
			}
			killed := f.KillMaster()
			if now := f.Successor(killed, time.Minute); now == first {
				t.Error("the killed server is the master")
			}
			killed.Start()
			f.Complete(time.Minute)
			if role := killed.InfoField("role"); role != "slave" {
				t.Errorf("the killed server came back as %s", role)
			}
		})
	}
}
