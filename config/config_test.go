package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pollux/config"
	"pollux/secret"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A password or a number of the journal's Redis says nothing as long as none is named.
func TestTheJournalsRedisMustBeNamed(t *testing.T) {
	t.Parallel()
	for text, own := range map[string]bool{
		"JOURNAL_REDIS_PASSWORD=secret\nJOURNAL_REDIS_DB=3":      false,
		"JOURNAL_REDIS_SCHEME=tls\nJOURNAL_REDIS_PORT=1":         false,
		"JOURNAL_REDIS_HOST=j\nJOURNAL_REDIS_PASSWORD=secret":    true,
		"JOURNAL_REDIS_SOCKET=/run/journal.sock":                 true,
		"JOURNAL_REDIS_SENTINEL=s:1\nJOURNAL_REDIS_PASSWORD=sec": true,
	} {
		c, err := config.Load(write(t, "REDIS_HOST=queue\n"+text), nil)
		if err != nil || c.JournalOwn != own || !own && c.JournalRedis.Host != "queue" {
			t.Errorf("%s: of its own %v, at %s, %v", text, c.JournalOwn, c.JournalRedis.Host, err)
		}
	}
}

// namesOfLibreNMS is the .env of a node with the names that LibreNMS has, APP_KEY apart.
const namesOfLibreNMS = `
NODE_ID=node-1
DB_HOST=db.example.org
DB_PORT=3307
DB_SOCKET=/run/mysqld/mysqld.sock
DB_SSLMODE=VERIFY_CA
MYSQL_ATTR_SSL_CA=/etc/ssl/db.pem
DB_DATABASE=net
DB_USERNAME=monitor
DB_PASSWORD="a#b $x c"
REDIS_HOST=redis.example.org
REDIS_PORT=6380
REDIS_DB=2
REDIS_TIMEOUT=5
REDIS_USERNAME=ru
REDIS_PASSWORD=r$1{p}
REDIS_SENTINEL=s1:26379,s2
REDIS_SENTINEL_SERVICE=main
REDIS_SENTINEL_USERNAME=su
REDIS_SENTINEL_PASSWORD='s$p'
CACHE_DRIVER=redis
QUEUE_CONNECTION=redis
SESSION_DRIVER=redis
RRDCACHED=unix:/run/rrdcached.sock,rrd2:42217
DISTRIBUTED_POLLER_GROUP=1,2,3
`

func TestLibreNMSNamesAreHonoured(t *testing.T) {
	t.Parallel()
	key, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "APP_KEY="+key.Reveal()+namesOfLibreNMS)
	c, err := config.Load(file, []string{"NODE_ID=node-2", "HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	d, r := c.Database, c.Redis
	if c.NodeID != "node-2" {
		t.Errorf("NODE_ID %s: the environment must win over the file", c.NodeID)
	}
	if d.Connection != config.MySQL || d.Host != "db.example.org" || d.Port != 3307 || d.Name != "net" || d.Username != "monitor" || d.Password.Reveal() != "a#b $x c" {
		t.Errorf("database %+v", d)
	}
	if d.Socket != "/run/mysqld/mysqld.sock" || d.SSLMode != "VERIFY_CA" || d.SSLCA != "/etc/ssl/db.pem" {
		t.Errorf("the database's socket and TLS %+v", d)
	}
	if r.Host != "redis.example.org" || r.Port != 6380 || r.DB != 2 || r.Timeout.Seconds() != 5 || r.Username != "ru" || r.Password.Reveal() != "r$1{p}" {
		t.Errorf("redis %+v", r)
	}
	if strings.Join(r.Sentinels, " ") != "s1:26379 s2:26379" || r.SentinelService != "main" || r.SentinelUsername != "su" || r.SentinelPassword.Reveal() != "s$p" {
		t.Errorf("sentinel %+v", r)
	}
	if c.JournalRedis.Host != r.Host || c.JournalOwn {
		t.Errorf("the journal's Redis is %s, want the same as the other", c.JournalRedis.Host)
	}
	if len(c.RRDCached) != 2 || len(c.Groups) != 3 || c.Groups[2] != 3 {
		t.Errorf("rrdcached %v, groups %v", c.RRDCached, c.Groups)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load(write(t, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.Connection != config.SQLite || c.Redis.Port != 6379 || c.Redis.Timeout.Seconds() != 60 || c.RRDCached != nil || c.Groups != nil {
		t.Errorf("defaults %+v", c)
	}
	for _, text := range []string{"DB_HOST=db", "DB_SOCKET=/run/mysqld/mysqld.sock"} {
		if c, err = config.Load(write(t, text), nil); err != nil || c.Database.Connection != config.MySQL || c.Database.Port != 3306 {
			t.Errorf("%s: %+v, %v", text, c.Database, err)
		}
	}
	c, err = config.Load(write(t, "DB_CONNECTION=pgsql"), nil)
	if err != nil || c.Database.Port != 5432 || c.Database.Host != "localhost" {
		t.Errorf("pgsql %+v, %v", c.Database, err)
	}
}

func TestBadValuesNameTheVariable(t *testing.T) {
	t.Parallel()
	for text, name := range map[string]string{
		"APP_KEY=canary":                           "APP_KEY",
		"APP_KEY=base64:Y2FuYXJ5":                  "APP_KEY",
		"NODE_ID=a/b":                              "NODE_ID",
		"NODE_ID=" + strings.Repeat("x", 65):       "NODE_ID",
		"DB_PORT=canary\nDB_HOST=x":                "DB_PORT",
		"DB_PORT=0\nDB_HOST=x":                     "DB_PORT",
		"DB_CONNECTION=oracle":                     "DB_CONNECTION",
		"DB_HOST=x\nDB_SSLMODE=maybe":              "DB_SSLMODE",
		"REDIS_PORT=70000":                         "REDIS_PORT",
		"REDIS_DB=-1":                              "REDIS_DB",
		"REDIS_TIMEOUT=soon":                       "REDIS_TIMEOUT",
		"REDIS_SCHEME=http":                        "REDIS_SCHEME",
		"REDIS_SENTINEL=a:b:c":                     "REDIS_SENTINEL",
		"JOURNAL_REDIS_HOST=x\nJOURNAL_REDIS_DB=x": "JOURNAL_REDIS_DB",
		"RRDCACHED=nowhere":                        "RRDCACHED",
		"RRDCACHED=unix:relative":                  "RRDCACHED",
		"RRDCACHED=a:1,a:1":                        "RRDCACHED",
		"DISTRIBUTED_POLLER_GROUP=1,x":             "DISTRIBUTED_POLLER_GROUP",
		"CACHE_DRIVER=memcached":                   "CACHE_DRIVER: only redis is supported, not \"memcached\"",
		"QUEUE_CONNECTION=database":                "QUEUE_CONNECTION: only redis is supported, not \"database\"",
		"SESSION_DRIVER=file":                      "SESSION_DRIVER: only redis is supported, not \"file\"",
		"POLLUX_OPS_LISTEN=9160":                   "POLLUX_OPS_LISTEN",
		"POLLUX_OPS_LISTEN=127.0.0.1:99999":        "POLLUX_OPS_LISTEN",
		"POLLUX_LOG_LEVEL=loud":                    "POLLUX_LOG_LEVEL",
		"POLLUX_LOGLEVEL=info":                     "POLLUX_LOGLEVEL",
		"DB_PASSWORD=canary\nDB PASSWORD='canary":  "line 2",
	} {
		_, err := config.Load(write(t, text), nil)
		if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%.60q: %v", text, err)
			continue
		}
		if strings.Contains(err.Error(), "\n") || (strings.Contains(text, "APP_KEY") || strings.Contains(text, "PASSWORD")) && strings.Contains(err.Error(), "canary") {
			t.Errorf("%.60q: the error has several lines or shows a secret: %v", text, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("a named file that is missing: %v", err)
	}
}

func TestInitNeverOverwrites(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), ".env")
	id, err := config.Init(file)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := config.Init(file); !errors.Is(err, config.ErrExists) {
		t.Errorf("the second init: %v", err)
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file changed: %v", err)
	}
	c, err := config.Load(file, nil)
	if err != nil || c.NodeID != id || c.AppKey.ID() == "" {
		t.Errorf("loaded %+v, %v", c, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".env-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestIdentityIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, id, err := config.Identity(dir, secret.Key{}, "")
	if err != nil {
		t.Fatal(err)
	}
	again, sameID, err := config.Identity(dir, secret.Key{}, "another")
	if err != nil || again.ID() != key.ID() || sameID != id {
		t.Errorf("second time: %s %s, %v", again.ID(), sameID, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.env"), []byte("APP_KEY=canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	given, _, err := config.Identity(t.TempDir(), key, "mine")
	if err != nil || given.ID() != key.ID() {
		t.Errorf("a directory made with a given key has the key %s, %v", given.ID(), err)
	}
	if _, _, err := config.Identity(dir, secret.Key{}, ""); !errors.Is(err, config.ErrInvalid) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a damaged file: %v", err)
	}
}
