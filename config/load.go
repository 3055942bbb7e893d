package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"pollux/rrdcached"
	"pollux/secret"
)

// DefaultFile is read when nothing else names a .env file and the working directory has none.
const DefaultFile = "/etc/pollux/pollux.env"

// ErrInvalid says that a variable has a value that cannot be used, or a name
// that does not exist. Its text names the variable and never shows a secret.
var ErrInvalid = errors.New("invalid configuration")

var nodeID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// raw are the variables as text, by their names in the environment. Numbers
// are read here by hand, so that the error of a bad one is ours.
type raw struct {
	AppKey        string   `env:"APP_KEY"`
	PreviousKeys  string   `env:"APP_PREVIOUS_KEYS"`
	NodeID        string   `env:"NODE_ID"`
	DBConnection  string   `env:"DB_CONNECTION"`
	DBHost        string   `env:"DB_HOST"`
	DBPort        string   `env:"DB_PORT"`
	DBSocket      string   `env:"DB_SOCKET"`
	DBDatabase    string   `env:"DB_DATABASE"`
	DBUsername    string   `env:"DB_USERNAME"`
	DBPassword    string   `env:"DB_PASSWORD"`
	DBSSLMode     string   `env:"DB_SSLMODE"`
	DBSSLCA       string   `env:"MYSQL_ATTR_SSL_CA"`
	RRDCached     string   `env:"RRDCACHED"`
	Groups        string   `env:"DISTRIBUTED_POLLER_GROUP"`
	CacheDriver   string   `env:"CACHE_DRIVER"`
	QueueDriver   string   `env:"QUEUE_CONNECTION"`
	SessionDriver string   `env:"SESSION_DRIVER"`
	OpsListen     string   `env:"POLLUX_OPS_LISTEN"`
	OpsHosts      string   `env:"POLLUX_OPS_HOSTS"`
	WebListen     string   `env:"POLLUX_WEB_LISTEN"`
	DataDir       string   `env:"POLLUX_DATA_DIR"`
	Definitions   string   `env:"POLLUX_DEFINITIONS_DIR"`
	LogLevel      string   `env:"POLLUX_LOG_LEVEL"`
	EnvFile       string   `env:"POLLUX_ENV_FILE"`
	Redis         rawRedis `envPrefix:"REDIS_"`
	JournalRedis  rawRedis `envPrefix:"JOURNAL_REDIS_"`
}

type rawRedis struct {
	Scheme           string `env:"SCHEME"`
	Host             string `env:"HOST"`
	Port             string `env:"PORT"`
	Socket           string `env:"SOCKET"`
	DB               string `env:"DB"`
	Username         string `env:"USERNAME"`
	Password         string `env:"PASSWORD"`
	TLSCA            string `env:"TLS_CA"`
	Timeout          string `env:"TIMEOUT"`
	Sentinel         string `env:"SENTINEL"`
	SentinelService  string `env:"SENTINEL_SERVICE"`
	SentinelUsername string `env:"SENTINEL_USERNAME"`
	SentinelPassword string `env:"SENTINEL_PASSWORD"`
}

// Load reads the configuration: the .env file (file, else $POLLUX_ENV_FILE,
// else ./.env, else /etc/pollux/pollux.env; only the last two may be missing)
// under the environment, which wins. environ has the form of os.Environ.
func Load(file string, environ []string) (Config, error) {
	variables, file, err := merge(file, environ)
	if err != nil {
		return Config{}, err
	}
	if err := known(variables); err != nil {
		return Config{}, err
	}
	var r raw
	if err := env.ParseWithOptions(&r, env.Options{Environment: variables}); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c, err := r.config()
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c.File = file
	return c, nil
}

// known refuses names that start like ours and are none of ours: a misspelt
// variable must not pass for a default.
func known(variables map[string]string) error {
	ours := []string{"POLLUX_OPS_LISTEN", "POLLUX_OPS_HOSTS", "POLLUX_WEB_LISTEN", "POLLUX_DATA_DIR", "POLLUX_DEFINITIONS_DIR", "POLLUX_LOG_LEVEL", "POLLUX_ENV_FILE"}
	var unknown []string
	for name := range variables {
		if strings.HasPrefix(name, "POLLUX_") && !slices.Contains(ours, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("%w: %.100s is not a variable of this program; it knows %s", ErrInvalid, unknown[0], strings.Join(ours, ", "))
}

func (r raw) config() (Config, error) {
	c := Config{NodeID: r.NodeID, OpsListen: r.OpsListen, WebListen: r.WebListen, DataDir: r.DataDir, Definitions: r.Definitions, LogLevel: r.LogLevel}
	var err error
	if c.AppKey, err = appKey(r.AppKey, r.PreviousKeys); err != nil {
		return Config{}, err
	}
	if r.NodeID != "" && !nodeID.MatchString(r.NodeID) {
		return Config{}, fmt.Errorf("NODE_ID has 1 to 64 of the characters A-Z a-z 0-9 . _ -, not %.80q", r.NodeID)
	}
	if c.Database, err = r.database(); err != nil {
		return Config{}, err
	}
	if c.Redis, err = r.Redis.config("REDIS_"); err != nil {
		return Config{}, err
	}
	// The rest of JOURNAL_REDIS_* says how to reach one that is named, and nothing without it.
	own, err := r.JournalRedis.config("JOURNAL_REDIS_")
	if err != nil {
		return Config{}, err
	}
	if c.JournalRedis = c.Redis; r.JournalRedis.Host != "" || r.JournalRedis.Socket != "" || r.JournalRedis.Sentinel != "" {
		c.JournalOwn, c.JournalRedis = true, own
	}
	if c.RRDCached, err = targets(r.RRDCached); err != nil {
		return Config{}, err
	}
	if c.OpsHosts, err = opsHosts(r.OpsHosts); err != nil {
		return Config{}, err
	}
	if c.Groups, err = groups(r.Groups); err != nil {
		return Config{}, err
	}
	return c, r.checkRest()
}

// opsHost is a name or an address, without a port.
var opsHost = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)

// opsHosts reads the names and addresses under which the operators' listener may be asked.
func opsHosts(text string) ([]string, error) {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" && strings.TrimSpace(text) == "" {
			return nil, nil
		}
		if _, err := netip.ParseAddr(part); err != nil && !opsHost.MatchString(part) {
			return nil, fmt.Errorf("POLLUX_OPS_HOSTS: want names or addresses without a port, with commas between them, not %.80q", part)
		}
		if all = append(all, part); len(all) > maxOpsHosts {
			return nil, fmt.Errorf("POLLUX_OPS_HOSTS: more than %d names", maxOpsHosts)
		}
	}
	return all, nil
}

const maxOpsHosts = 100

func (r raw) checkRest() error {
	for name, value := range map[string]string{"CACHE_DRIVER": r.CacheDriver, "QUEUE_CONNECTION": r.QueueDriver, "SESSION_DRIVER": r.SessionDriver} {
		if value != "" && value != "redis" {
			return fmt.Errorf("%s: only redis is supported, not %.60q", name, value)
		}
	}
	for name, value := range map[string]string{"POLLUX_OPS_LISTEN": r.OpsListen, "POLLUX_WEB_LISTEN": r.WebListen} {
		if value == "" {
			continue
		}
		_, port, err := net.SplitHostPort(value)
		if err != nil {
			return fmt.Errorf("%s has the form host:port, not %.80q", name, value)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%s: the port is a number from 0 to 65535, not %.60q", name, port)
		}
	}
	if r.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, r.LogLevel) {
		return fmt.Errorf("POLLUX_LOG_LEVEL is debug, info, warn or error, not %.60q", r.LogLevel)
	}
	return nil
}

func (r raw) database() (Database, error) {
	d := Database{
		Connection: r.DBConnection, Host: r.DBHost, Socket: r.DBSocket, Name: r.DBDatabase, Username: r.DBUsername,
		Password: secret.New(r.DBPassword), SSLMode: r.DBSSLMode, SSLCA: r.DBSSLCA,
	}
	if d.Connection == "" {
		d.Connection = SQLite
		if d.Host != "" || d.Socket != "" {
			d.Connection = MySQL
		}
	}
	var fallback uint16
	switch d.Connection {
	case MySQL, "mariadb":
		d.Connection, fallback = MySQL, 3306
	case PostgreSQL, "postgres", "postgresql":
		d.Connection, fallback = PostgreSQL, 5432
	case SQLite:
		return d, nil
	default:
		return Database{}, fmt.Errorf("DB_CONNECTION is mysql, pgsql or sqlite, not %.60q", r.DBConnection)
	}
	var err error
	if d.Port, err = port("DB_PORT", r.DBPort, fallback); err != nil {
		return Database{}, err
	}
	if d.Host == "" && d.Socket == "" {
		d.Host = "localhost"
	}
	if d.Name == "" {
		d.Name = "pollux"
	}
	if d.Username == "" {
		d.Username = "pollux"
	}
	if !slices.Contains([]string{"", "DISABLED", "VERIFY_CA", "VERIFY_IDENTITY"}, d.SSLMode) {
		return Database{}, fmt.Errorf("DB_SSLMODE is DISABLED, VERIFY_CA or VERIFY_IDENTITY, not %.60q", d.SSLMode)
	}
	return d, nil
}

func (r rawRedis) config(prefix string) (Redis, error) {
	c := Redis{
		Scheme: r.Scheme, Host: r.Host, Socket: r.Socket, Username: r.Username, Password: secret.New(r.Password), TLSCA: r.TLSCA,
		SentinelService: r.SentinelService, SentinelUsername: r.SentinelUsername, SentinelPassword: secret.New(r.SentinelPassword),
	}
	if !slices.Contains([]string{"", "tcp", "tls"}, c.Scheme) {
		return Redis{}, fmt.Errorf("%sSCHEME is tcp or tls, not %.60q", prefix, c.Scheme)
	}
	var err error
	if c.Port, err = port(prefix+"PORT", r.Port, 6379); err != nil {
		return Redis{}, err
	}
	if r.DB != "" {
		if c.DB, err = strconv.Atoi(r.DB); err != nil || c.DB < 0 || c.DB > 16_383 {
			return Redis{}, fmt.Errorf("%sDB is a number from 0 to 16383%s", prefix, shown(r.DB))
		}
	}
	c.Timeout = 60 * time.Second
	if r.Timeout != "" {
		seconds, err := strconv.Atoi(r.Timeout)
		if err != nil || seconds < 0 || seconds > 86_400 {
			return Redis{}, fmt.Errorf("%sTIMEOUT is a number of seconds from 0 to 86400%s", prefix, shown(r.Timeout))
		}
		c.Timeout = time.Duration(seconds) * time.Second
	}
	if r.Sentinel != "" {
		if c.Sentinels, err = addresses(prefix+"SENTINEL", r.Sentinel, "26379"); err != nil {
			return Redis{}, err
		}
		if c.SentinelService == "" {
			c.SentinelService = "mymaster"
		}
	}
	return c, nil
}

// shown quotes a wrong value that looks like a slip of a number, as 1O or -1 do.
// Anything longer may be a password that went into the line above or below it.
func shown(text string) string {
	if len(text) > 6 {
		return "; what it has is something else"
	}
	return fmt.Sprintf(", not %q", text)
}

func port(name, text string, fallback uint16) (uint16, error) {
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is a number from 1 to 65535%s", name, shown(text))
	}
	return uint16(n), nil
}

func addresses(name, text, fallbackPort string) ([]string, error) {
	var all []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		host, number, err := net.SplitHostPort(word)
		if err != nil {
			host, number = word, fallbackPort
			if strings.Contains(word, ":") && net.ParseIP(word) == nil {
				host = ""
			}
		}
		if _, err := strconv.ParseUint(number, 10, 16); err != nil || host == "" || strings.ContainsAny(host, " /@") {
			return nil, fmt.Errorf("%s is a list of host:port separated by commas, not %.100q", name, text)
		}
		all = append(all, net.JoinHostPort(host, number))
	}
	return all, nil
}

func targets(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var all []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if _, _, err := rrdcached.ParseAddress(word); err != nil {
			return nil, fmt.Errorf("RRDCACHED: %w", err)
		}
		if slices.Contains(all, word) {
			return nil, fmt.Errorf("RRDCACHED names %.100s twice", word)
		}
		all = append(all, word)
	}
	return all, nil
}

func groups(text string) ([]int64, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all []int64
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("DISTRIBUTED_POLLER_GROUP is a list of group numbers separated by commas, not %.100q", text)
		}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all, nil
}
