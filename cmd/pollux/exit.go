package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pollux/cluster"
	"pollux/config"
	"pollux/secret"
	"pollux/snmp"
	"pollux/standalone"
	"pollux/store"
)

// The exit codes; docs/cli.md lists them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2 // wrong words on the command line, or wrong configuration
	exitNotFound    = 3
	exitCredentials = 4 // APP_KEY, community, SNMPv3 keys, passwords
	exitUnreachable = 5 // a dependency or a device that does not answer
)

// failure is an error of a command that was understood: everything else is a wrong command line.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errUsage says that what was asked cannot be meant; the text says what can.
var errUsage = errors.New("usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// errNotFound says that something named on the command line does not exist.
var errNotFound = errors.New("not found")

// errUnreachable says that a device does not answer.
var errUnreachable = errors.New("no answer")

func exitCode(err error) int {
	var understood *failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &understood), errors.Is(err, errUsage), errors.Is(err, config.ErrInvalid), errors.Is(err, config.ErrExists),
		errors.Is(err, store.ErrInvalid):
		return exitUsage
	case errors.Is(err, errNotFound), errors.Is(err, store.ErrNotFound):
		return exitNotFound
	case errors.Is(err, store.ErrKeyMismatch), errors.Is(err, store.ErrCredentials), errors.Is(err, cluster.ErrCredentials),
		errors.Is(err, secret.ErrKey), errors.Is(err, secret.ErrOpen), errors.Is(err, snmp.ErrAuth):
		return exitCredentials
	case errors.Is(err, errUnreachable), errors.Is(err, store.ErrUnavailable), errors.Is(err, cluster.ErrUnavailable),
		errors.Is(err, snmp.ErrTimeout), errors.Is(err, standalone.ErrMissing), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	default:
		return exitFailure
	}
}

// maxErrorLine bounds what is printed of one error, in bytes.
const maxErrorLine = 500

// printError shows an error as one line.
func (p *program) printError(err error) {
	text := strings.TrimPrefix(err.Error(), errUsage.Error()+": ")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxErrorLine {
		text = strings.ToValidUTF8(text[:maxErrorLine], "")
	}
	fmt.Fprintln(p.errout, "pollux: "+text)
}
