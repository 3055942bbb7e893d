// Package config holds what one node needs to know before it can reach
// anything: its key, its name, and the addresses of database, Redis and
// RRDCached, from the environment and a .env file.
//
// It must not open connections, and must not hold what the cluster shares:
// that is package settings, in the database.
package config

import (
	"time"

	"pollux/secret"
)

// Config is the boot configuration of one process. The names in the comments are those of the environment and of .env.
type Config struct {
	AppKey secret.Key // APP_KEY, with the former ones of APP_PREVIOUS_KEYS
	NodeID string     // NODE_ID; "" when missing, which only standalone and commands allow

	Database     Database // DB_*
	Redis        Redis    // REDIS_*
	JournalRedis Redis    // JOURNAL_REDIS_*; the same as Redis when none is given
	JournalOwn   bool     // JOURNAL_REDIS_* names a Redis of the journal's own
	RRDCached    []string // RRDCACHED: unix:/path or host:port, several targets of shard 0 separated by commas

	Groups []int64 // DISTRIBUTED_POLLER_GROUP; nil when missing

	OpsHosts  []string // POLLUX_OPS_HOSTS: names and addresses under which it may be asked, besides its own
	OpsListen string   // POLLUX_OPS_LISTEN; "" means the default of the role
	WebListen string   // POLLUX_WEB_LISTEN; "" means the default
	DataDir   string   // POLLUX_DATA_DIR
	// Definitions is the user's own directory of OS definitions (POLLUX_DEFINITIONS_DIR), "" for none.
	Definitions string
	LogLevel    string // POLLUX_LOG_LEVEL: debug, info, warn, error

	File string // the .env file that was read, "" for none
}

// The kinds of databases, as DB_CONNECTION names them.
const (
	MySQL      = "mysql" // MariaDB too
	PostgreSQL = "pgsql"
	SQLite     = "sqlite"
)

// Database says where the inventory is.
type Database struct {
	Connection string // DB_CONNECTION: mysql, pgsql or sqlite; default mysql when DB_HOST or DB_SOCKET is set, else sqlite
	Host       string // DB_HOST
	Port       uint16 // DB_PORT: 3306 or 5432
	Socket     string // DB_SOCKET: wins over host and port
	Name       string // DB_DATABASE: a schema's name; for sqlite the path of the file
	Username   string // DB_USERNAME
	Password   secret.String
	SSLMode    string // DB_SSLMODE: "", DISABLED, VERIFY_CA or VERIFY_IDENTITY
	SSLCA      string // MYSQL_ATTR_SSL_CA: file of the certificate authority
}

// Redis says where Redis is and how to log in.
type Redis struct {
	Scheme   string // REDIS_SCHEME: "", tcp or tls
	Host     string // REDIS_HOST
	Port     uint16 // REDIS_PORT
	Socket   string // REDIS_SOCKET: wins over host and port
	DB       int    // REDIS_DB
	Username string // REDIS_USERNAME
	Password secret.String
	TLSCA    string        // REDIS_TLS_CA: file of the certificate authority
	Timeout  time.Duration // REDIS_TIMEOUT: how long a process retries at its start

	Sentinels        []string // REDIS_SENTINEL: host:port, several; wins over host and socket
	SentinelService  string   // REDIS_SENTINEL_SERVICE
	SentinelUsername string
	SentinelPassword secret.String
}
