package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pollux/admission"
	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/ping"
	"pollux/producer"
	"pollux/rrd"
	"pollux/rrdcached"
	"pollux/secret"
	"pollux/settings"
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
	exitCredentials = 4   // APP_KEY, community, SNMPv3 keys, passwords
	exitUnreachable = 5   // a dependency or a device that does not answer
	exitReaderGone  = 141 // 128 + SIGPIPE, as shells show it
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

// errInterrupted says that somebody ended the command before it was done.
var errInterrupted = errors.New("interrupted")

// errUnreachable says that a device does not answer.
var errUnreachable = errors.New("no answer")

// codes says which errors end the program with which code; the first that fits counts.
func codes() []struct {
	code   int
	errors []error
} {
	return []struct {
		code   int
		errors []error
	}{
		{exitUsage, []error{
			errUsage, config.ErrInvalid, config.ErrExists, store.ErrInvalid, store.ErrNoDatabase,
			cluster.ErrConfig, cluster.ErrNodeID, cluster.ErrTaken, cluster.ErrOtherCluster, cluster.ErrUnclaimed, journal.ErrOtherCluster,
			rrd.ErrSameTarget, rrd.ErrNotTree, admission.ErrNoCredentials, admission.ErrSet, settings.ErrNet,
		}},
		{exitNotFound, []error{errNotFound, store.ErrNotFound, producer.ErrNoQueue, journal.ErrNoTarget, admission.ErrNoSet}},
		{exitCredentials, []error{
			store.ErrKeyMismatch, store.ErrCredentials, cluster.ErrCredentials, cluster.ErrDenied, secret.ErrKey, secret.ErrOpen, snmp.ErrAuth,
		}},
		{exitUnreachable, []error{
			errUnreachable, store.ErrUnavailable, cluster.ErrUnavailable, rrdcached.ErrConnection, snmp.ErrTimeout, standalone.ErrMissing,
			admission.ErrSilent, ping.ErrSilent, context.DeadlineExceeded,
		}},
	}
}

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var understood *failure
	if !errors.As(err, &understood) {
		return exitUsage
	}
	if errors.Is(err, errReaderGone) {
		return exitReaderGone
	}
	for _, row := range codes() {
		for _, sentinel := range row.errors {
			if errors.Is(err, sentinel) {
				return row.code
			}
		}
	}
	return exitFailure
}

// maxErrorLine bounds what is printed of one error, in bytes.
const maxErrorLine = 500

// printError shows an error as one line that a terminal can print whatever a device or a server put into it.
func (p *program) printError(err error) {
	text := err.Error()
	for _, sentinel := range []error{errUsage, errNotFound} { // the rest of their texts says it
		text = strings.TrimPrefix(text, sentinel.Error()+": ")
	}
	fmt.Fprintln(p.errout, "pollux: "+plain(text))
}

// plain makes one line of any text that a terminal can print, of at most 500 bytes.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.Join(strings.Fields(text), " "))
	if len(text) > maxErrorLine {
		text = strings.ToValidUTF8(text[:maxErrorLine], "")
	}
	return text
}
