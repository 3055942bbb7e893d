package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pollux/config"
	"pollux/polluxtest"
	"pollux/secret"
)

var schemaBehaviours = []behaviour{
	{"the cluster id is random and lasting", schemaClusterID},
	{"another APP_KEY is refused", schemaKey},
}

func schemaClusterID(t *testing.T, e engine) {
	id, err := e.ClusterID(t.Context())
	if err != nil || len(id) != 18 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("cluster id %q, %v", id, err)
	}
	migrate(t, e.config, e.key) // a second time: nothing to do
	if again, err := e.ClusterID(t.Context()); err != nil || again != id {
		t.Errorf("cluster id %q, then %q, %v", id, again, err)
	}
	if err := e.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func schemaKey(t *testing.T, e engine) {
	other := newKey(t)
	_, err := Open(t.Context(), e.config, other, quiet())
	if !errors.Is(err, ErrKeyMismatch) || !strings.Contains(err.Error(), e.key.ID()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("open: %v", err)
	}
	m, err := OpenMigrator(t.Context(), e.config, other, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Up(t.Context()); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("migrate: %v", err)
	}
}

func TestOpenRefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, key := database(t), newKey(t)
			refused := func(want error, text string) {
				t.Helper()
				if _, err := Open(t.Context(), c, key, quiet()); !errors.Is(err, want) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			refused(ErrSchemaOld, "pollux migrate up") // empty, or no file yet
			m, err := OpenMigrator(t.Context(), c, key, quiet())
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Down(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			refused(ErrSchemaOld, "pollux migrate up")
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.store.db.Exec("INSERT INTO bun_migrations (name, group_id) VALUES ('9999', 9)"); err != nil {
				t.Fatal(err)
			}
			refused(ErrSchemaNew, "upgrade")
			if _, err := m.Up(t.Context()); !errors.Is(err, ErrSchemaNew) {
				t.Errorf("migrate up: %v", err)
			}
			if _, err := m.Down(t.Context(), true); !errors.Is(err, ErrSchemaNew) {
				t.Errorf("migrate down: %v", err)
			}
		})
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) config.Database{"mysql": polluxtest.MariaDB, "pgsql": polluxtest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := database(t)
			for what, c := range map[string]struct {
				spoil func(*config.Database)
				want  error
				hint  string
			}{
				"wrong password":   {func(c *config.Database) { c.Password = secret.New("canary") }, ErrCredentials, "DB_PASSWORD"},
				"wrong user":       {func(c *config.Database) { c.Username = "nobody" }, ErrCredentials, "DB_USERNAME"},
				"no such database": {func(c *config.Database) { c.Name = "pollux_absent" }, ErrNoDatabase, "DB_DATABASE"},
				"nobody listens":   {func(c *config.Database) { c.Port = uint16(polluxtest.FreePort(t)) }, ErrUnavailable, "DB_HOST"},
				"no socket":        {func(c *config.Database) { c.Socket = "/nonexistent/.s.PGSQL.5432" }, ErrUnavailable, "DB_SOCKET"},
				"unknown sslmode":  {func(c *config.Database) { c.SSLMode = "MAYBE" }, ErrInvalid, "DB_SSLMODE"},
				"no CA file":       {func(c *config.Database) { c.SSLMode, c.SSLCA = "VERIFY_CA", "/nonexistent" }, ErrInvalid, "MYSQL_ATTR_SSL_CA"},
				"not verified":     {func(c *config.Database) { c.SSLMode = "VERIFY_CA" }, nil, ""},
			} {
				bad := good
				c.spoil(&bad)
				_, err := Open(t.Context(), bad, newKey(t), quiet())
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", what, err, c.want)
					continue
				}
				text := err.Error()
				if !strings.Contains(text, c.hint) || strings.Contains(text, "\n") || strings.Contains(text, "canary") || strings.Contains(text, good.Password.Reveal()) {
					t.Errorf("%s: %s", what, text)
				}
			}
			good.SSLMode = "" // TLS where the server speaks it, else plain text
			migrate(t, good, newKey(t))
		})
	}
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	c := config.Database{Connection: config.SQLite, Name: filepath.Join(t.TempDir(), "a.db")}
	if _, err := Open(t.Context(), c, newKey(t), quiet()); !errors.Is(err, ErrSchemaOld) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(c.Name); err == nil {
		t.Error("a look made the file")
	}
	migrate(t, c, newKey(t))
	if info, err := os.Stat(c.Name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	for _, name := range []string{"", ":memory:"} {
		if _, err := Open(t.Context(), config.Database{Connection: config.SQLite, Name: name}, newKey(t), quiet()); !errors.Is(err, ErrInvalid) {
			t.Errorf("file %q: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), config.Database{Connection: "oracle"}, newKey(t), quiet()); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown engine: %v", err)
	}
	c.Name = filepath.Join(t.TempDir(), "no", "folder.db")
	if _, err := OpenMigrator(t.Context(), c, newKey(t), quiet()); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a folder that does not exist: %v", err)
	}
}
