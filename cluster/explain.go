package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"pollux/config"
)

// What keeps a process from using Redis.
var (
	// ErrUnavailable says that nothing usable answers at the address.
	ErrUnavailable = errors.New("Redis is not available")
	// ErrCredentials says that Redis or a Sentinel refuses user and password.
	ErrCredentials = errors.New("Redis refuses the credentials")
	// ErrDenied says that the ACL user may not do what Pollux needs.
	ErrDenied = errors.New("Redis denies a command or key")
	// ErrConfig says that the settings of Redis cannot work whatever Redis does.
	ErrConfig = errors.New("the Redis settings cannot work")
)

// explain turns what the client library says into one line that says what to
// do. final means that trying again cannot help. The library's error is not
// wrapped but quoted, so that no password in it can come out by another way.
func explain(err error, c config.Redis) (failure error, final bool) {
	text := redact(err.Error(), c)
	where := address(c)
	switch {
	case strings.Contains(text, "NOAUTH"), strings.Contains(text, "WRONGPASS"), strings.Contains(text, "ERR AUTH"),
		strings.Contains(text, "ERR invalid password"):
		return credentials(text, where, c), true
	case redis.IsPermissionError(err), strings.Contains(text, "NOPERM"):
		return fmt.Errorf("%w: %s at %s: give the ACL user %q the keys ~pollux:* ~asynq:* and the commands named in the documentation",
			ErrDenied, text, where, user(c.Username)), true
	case strings.Contains(text, "DB index is out of range"), strings.Contains(text, "invalid DB index"):
		return fmt.Errorf("%w: Redis at %s has no database %d: correct REDIS_DB", ErrConfig, where, c.DB), true
	}
	if hint, found := secureHint(err, c); found {
		return fmt.Errorf("%w at %s: %s: %s", ErrUnavailable, where, hint, text), true
	}
	return fmt.Errorf("%w at %s: %s: %s", ErrUnavailable, where, hint(err, c), text), false
}

func credentials(text, where string, c config.Redis) error {
	if len(c.Sentinels) > 0 && strings.Contains(text, "sentinel: ") {
		return fmt.Errorf("%w: a Sentinel of %s: set REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD: %s", ErrCredentials, where, text)
	}
	if c.Password.IsEmpty() {
		return fmt.Errorf("%w: Redis at %s asks for a password: set REDIS_PASSWORD (and REDIS_USERNAME for an ACL user)", ErrCredentials, where)
	}
	return fmt.Errorf("%w: Redis at %s does not take the password of user %q: correct REDIS_USERNAME and REDIS_PASSWORD",
		ErrCredentials, where, user(c.Username))
}

// secureHint recognizes failures of TLS, which do not pass by waiting.
func secureHint(err error, c config.Redis) (string, bool) {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is not signed by an authority known here: set REDIS_TLS_CA", true
	case errors.As(err, &certificate):
		return "its certificate does not fit: correct REDIS_HOST or the certificate", true
	case errors.As(err, &record):
		return "it does not speak TLS there: correct REDIS_SCHEME or REDIS_PORT", true
	case strings.Contains(err.Error(), "certificate required"):
		return "it asks for a client certificate, which Pollux does not send: set tls-auth-clients no", true
	}
	return "", false
}

// hint says what to look at when Redis does not answer.
func hint(err error, c config.Redis) string {
	settings := "REDIS_HOST and REDIS_PORT"
	if c.Socket != "" {
		settings = "REDIS_SOCKET"
	}
	if len(c.Sentinels) > 0 {
		settings = "REDIS_SENTINEL and REDIS_SENTINEL_SERVICE"
	}
	var resolve *net.DNSError
	var refusal redis.Error
	var apart *noMajorityError
	switch {
	case errors.As(err, &apart) && apart.answered() > 0:
		return "too few Sentinels agree: start the others, or correct " + settings
	case errors.Is(err, redis.Nil):
		return "the Sentinels do not know the service: correct REDIS_SENTINEL_SERVICE"
	case errors.As(err, &resolve):
		return "the name is not known: correct " + settings
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start redis-server or correct " + settings
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return "the socket cannot be opened: start redis-server, allow this user to write to the socket, or correct " + settings
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it closes the connection: if it speaks TLS, set REDIS_SCHEME=tls"
	case (errors.Is(err, context.DeadlineExceeded) || isTimeout(err)) && c.Scheme == schemeTLS:
		return "no answer in time: if it does not speak TLS there, correct REDIS_SCHEME or REDIS_PORT"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time: look at redis-server and the network, or correct " + settings
	case errors.As(err, &refusal):
		return "it answers, but refuses to work: look at its log"
	}
	return "look at redis-server, or correct " + settings
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func user(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

// redact takes the passwords out of a text of the server, which may quote the
// command that it refuses, and makes it one line.
func redact(text string, c config.Redis) string {
	for _, password := range []string{c.Password.Reveal(), c.SentinelPassword.Reveal()} {
		if password != "" {
			text = strings.ReplaceAll(text, password, "[redacted]")
		}
	}
	return printable(strings.ReplaceAll(text, "\n", "; "))
}

// LibraryLog passes what the Redis library logs to slog, at level debug: the
// changes that matter to people are logged by this package. The library has
// one logger per process, so only the command may install it.
type LibraryLog struct{ Log *slog.Logger }

// Printf implements the library's logging interface.
func (l LibraryLog) Printf(ctx context.Context, format string, values ...any) {
	if l.Log.Enabled(ctx, slog.LevelDebug) {
		l.Log.DebugContext(ctx, printable(fmt.Sprintf(format, values...)))
	}
}

// Install makes l the logger of the Redis library for the whole process.
func (l LibraryLog) Install() { redis.SetLogger(l) }
